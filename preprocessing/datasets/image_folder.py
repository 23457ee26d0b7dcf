"""Photos in folders named by class: `split/class/file` or `class/file`; files in the root have no label.

Enters: a folder. Leaves: one sample per photo, the class as its only annotation. Deeper folders belong to the class above them.
"""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from preprocessing.datasets.base import SplitConfig, existing_folder, find_photos, split_name
from preprocessing.errors import UserError
from preprocessing.manifest import normalize_path
from preprocessing.types import RawSample


class Config(SplitConfig):
    """Options of the dataset `image_folder`."""

    type: Literal["image_folder"] = "image_folder"
    task: str = "emotion"
    """The task that the class folders annotate."""
    layout: Literal["auto", "split", "class"] = "auto"
    """What the first folder is; `auto`: a split if every first folder is called like one (train, test, ...), else a class."""


class ImageFolder:
    """The dataset; see the module."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.root: Path = existing_folder(config.root)
        self.notes: dict[str, Any] = {}

    def samples(self) -> Iterator[RawSample]:
        """Samples in the order of their paths."""
        paths, ignored = find_photos(self.root)
        if not paths:
            raise UserError(
                f"no photos found in {self.root}; expected split/class/file or class/file with files such as .jpg or .png"
            )
        if ignored:
            self.notes["ignored_files"] = dict(sorted(ignored.items()))
        normal = [normalize_path(path) for path in paths]
        by_split = self._has_splits(normal)
        self.notes["layout"] = "split/class/file" if by_split else "class/file"
        yield from self.config.complete([self._sample(path, by_split) for path in normal], self.notes)

    def _has_splits(self, paths: list[str]) -> bool:
        if self.config.layout != "auto":
            return self.config.layout == "split"
        first = {PurePosixPath(path).parts[0] for path in paths if "/" in path}
        return bool(first) and all(split_name(name) is not None for name in first)

    def _sample(self, path: str, by_split: bool) -> RawSample:
        folders = list(PurePosixPath(path).parts[:-1])
        split = folders.pop(0) if by_split and folders else ""
        labels = {self.config.task: folders[0]} if folders else {}
        return RawSample(self.config.source, path, split_name(split) or split, labels=labels)


def build(config: Config) -> ImageFolder:
    """The dataset of a config."""
    return ImageFolder(config)
