"""DeepFashion, Category and Attribute Prediction Benchmark (Liu et al., CVPR 2016): 289,222 photos of clothes with boxes.

Enters: the set's folder with its list files (`Anno/` or `Anno_coarse/` with `Eval/list_eval_partition.txt`; or `Anno_fine/` with
`train.txt`, `train_cate.txt` and so on) and the photos in `img/` or `Img/img/`. Leaves: the published splits, `category`,
`category_type`, and a column for each type of attributes: the tags that a photo has, joined by `|`, or `none`; where the set says
that a tag is unknown, the cell is empty. The box around the clothes stands in for the face; photos of one product are a group.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import numpy as np
from pydantic import Field

from preprocessing.datasets._deepfashion_lists import plain_lines, read_beside, read_names, read_states, read_words
from preprocessing.datasets.base import BaseConfig, existing_folder
from preprocessing.errors import UserError
from preprocessing.manifest import normalize_path
from preprocessing.types import Label, RawSample

COARSE = {1: "texture", 2: "fabric", 3: "shape", 4: "part", 5: "style"}
FINE = {1: "texture", 2: "sleeve", 3: "length", 4: "neckline", 5: "fabric", 6: "fit"}
"""Types of attributes -> the task that they annotate."""
CATEGORY_TYPES = {1: "upper_body", 2: "lower_body", 3: "full_body"}
SPLITS = ("train", "val", "test")
SEPARATOR, NONE = "|", "none"
FOLDERS = {"coarse": ("Anno", "Anno_coarse"), "fine": ("Anno_fine",)}
NAMES = ("list_category_cloth.txt", "list_attr_cloth.txt")
"""Lists of the names of categories and attributes."""
LISTS = {"cate": "list_category_img.txt", "attr": "list_attr_img.txt", "bbox": "list_bbox.txt"}
"""Of the coarse annotations, for all photos. The fine ones have `SPLIT_cate.txt` and so on, line by line with `SPLIT.txt`."""


class Config(BaseConfig):
    """Options of the dataset `deepfashion`."""

    type: Literal["deepfashion"] = "deepfashion"
    annotations: Literal["coarse", "fine"] = "coarse"
    """`coarse`: all photos, 1,000 tags found in their texts; `fine`: 20,000 photos, 26 tags, one of each type a photo."""
    attributes: list[str] = Field(default_factory=list)
    """The tags to take, as a multi-label task must declare them; default: all."""

    def suggested(self) -> dict[str, Any]:
        """The clothes' boxes instead of a face detector, and crops no wider than they are."""
        folder = annotation_folder(self)
        detector = {"type": "boxes", "files": [str(folder / LISTS["bbox"])]}
        if self.annotations == "fine":
            photos, boxes = ([str(folder / f"{split}{part}.txt") for split in SPLITS] for part in ("", "_bbox"))
            detector |= {"files": boxes, "photos": photos}
        return {"detector": detector, "face_scale": 1.0}


@dataclass(frozen=True)
class Tag:
    """An attribute: its place among a photo's values, and its name."""

    place: int
    name: str


class DeepFashion:
    """The dataset; see the module."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.notes: dict[str, Any] = {}
        self.folder = annotation_folder(config)
        nested = (config.root / "Img" / "img").is_dir()
        self.root: Path = config.root / "Img" if nested else config.root
        self.tags = self._tags()

    def samples(self) -> Iterator[RawSample]:
        """Samples in the order of the split lists; `notes` counts the tags that are unknown, and photos that a list lacks."""
        categories = self._categories()
        unknown, absent = Counter[str](), Counter[str]()
        attributes = self._attributes(unknown)
        partition = list(self._partition())
        if spare := len(attributes.keys() - {image for image, _ in partition}):
            self.notes["listed photos that the partition leaves out"] = spare
        for image, split in partition:
            absent.update(what for what, known in (("attributes", attributes), ("category", categories)) if image not in known)
            labels = {**categories.get(image, {}), **attributes.get(image, {})}
            path = normalize_path(image)
            yield RawSample(self.config.source, path, split, str(PurePosixPath(path).parent), labels)
        for note, counts in (("photos with unknown tags", unknown), ("photos that are not listed", absent)):
            if counts:
                self.notes[note] = dict(sorted(counts.items()))

    def _tags(self) -> dict[str, list[Tag]]:
        """Task -> the attributes of its type that are taken."""
        path = self.folder / "list_attr_cloth.txt"
        types = FINE if self.config.annotations == "fine" else COARSE
        wanted, tasks = set(self.config.attributes), defaultdict(list)
        for place, (name, kind) in enumerate(read_names(path)):
            if not wanted or name in wanted:
                tasks[_known(types, kind, path)].append(Tag(place, name))
        found = {tag.name for tags in tasks.values() for tag in tags}
        for name in sorted(wanted - found):
            raise UserError(f"{path}: no attribute {name!r} (dataset.attributes); that list has their names")
        return tasks

    def _values(self, part: str, count: int) -> Iterator[tuple[str, str, np.ndarray]]:
        """Place, photo and its `count` values, of all photos."""
        if self.config.annotations == "coarse":
            return read_states(self.folder / LISTS[part], count)
        files = ((self.folder / f"{split}.txt", self.folder / f"{split}_{part}.txt") for split in SPLITS)
        return chain.from_iterable(read_beside(photos, values, count) for photos, values in files)

    def _categories(self) -> dict[str, dict[str, Label]]:
        """Photo -> its labels `category` and `category_type`."""
        path = self.folder / "list_category_cloth.txt"
        names = [(name, _known(CATEGORY_TYPES, kind, path)) for name, kind in read_names(path)]
        labels: dict[str, dict[str, Label]] = {}
        for where, image, values in self._values("cate", 1):
            if not 1 <= values[0] <= len(names):
                raise UserError(f"{where}: category {values[0]}; expected a number from 1 to {len(names)}")
            name, kind = names[values[0] - 1]
            _once(image, labels, where)
            labels[image] = {"category": name, "category_type": kind}
        return labels

    def _attributes(self, unknown: Counter[str]) -> dict[str, dict[str, Label]]:
        """Photo -> its labels of the attributes' types; counts in `unknown` the cells that stay empty."""
        attributes: dict[str, dict[str, Label]] = {}
        total = len(read_names(self.folder / "list_attr_cloth.txt"))
        absent = 0 if self.config.annotations == "fine" else -1
        places = {task: np.array([tag.place for tag in tags]) for task, tags in self.tags.items()}
        for where, image, values in self._values("attr", total):
            if np.abs(values).max(initial=0) > 1:
                raise UserError(f"{where}: an attribute is {values[np.abs(values).argmax()]}; expected 1, -1 or 0 (unknown)")
            labels: dict[str, Label] = {}
            for task, tags in self.tags.items():
                states = values[places[task]]
                if ((states == 1) | (states == absent)).all():
                    labels[task] = SEPARATOR.join(tags[i].name for i in np.flatnonzero(states == 1)) or NONE
                else:
                    unknown[task] += 1
            _once(image, attributes, where)
            attributes[image] = labels
        return attributes

    def _partition(self) -> Iterator[tuple[str, str]]:
        """Photo and split."""
        if self.config.annotations == "fine":
            for split in SPLITS:
                for image in plain_lines(self.folder / f"{split}.txt"):
                    yield image, split
            return
        for where, image, split in read_words(self.config.root / "Eval" / "list_eval_partition.txt"):
            if split not in SPLITS:
                raise UserError(f"{where}: split {split!r}; expected {', '.join(SPLITS)}")
            yield image, split


def build(config: Config) -> DeepFashion:
    """The dataset of a config."""
    return DeepFashion(config)


def annotation_folder(config: Config) -> Path:
    """The folder with the list files.

    Raises:
        UserError: it is not there, or not all lists are.
    """
    existing_folder(config.root)
    names = FOLDERS[config.annotations]
    found = [config.root / name for name in names if (config.root / name).is_dir()]
    if config.annotations == "fine":
        lists = [*NAMES, *(f"{split}{part}.txt" for split in SPLITS for part in ("", "_cate", "_attr", "_bbox"))]
    else:
        lists = [*NAMES, *LISTS.values()]
    if not found:
        raise UserError(f"{config.root}: no folder {' or '.join(names)}; expected it with {', '.join(lists)}")
    expected = [found[0] / name for name in lists]
    if config.annotations == "coarse":
        expected.append(config.root / "Eval" / "list_eval_partition.txt")
    absent = [path.relative_to(config.root).as_posix() for path in expected if not path.is_file()]
    if absent:
        raise UserError(f"{config.root}: no {', '.join(absent)}; fetch DeepFashion's annotations again")
    return found[0]


def _once(image: str, listed: Mapping[str, Any], where: str) -> None:
    if image in listed:
        raise UserError(f"{where}: {image!r} is listed a second time; expected each photo once; fetch the list again")


def _known(types: Mapping[int, str], kind: int, path: Path) -> str:
    if kind not in types:
        raise UserError(f"{path}: type {kind}; expected {', '.join(f'{number} ({name})' for number, name in types.items())}")
    return types[kind]
