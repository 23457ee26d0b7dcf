"""The review of one output folder: manifest, samples and journal, read again when the manifest is.

Enters: the folder. Leaves: items for the browser, pictures' files, answers to decisions.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

from caer.web.journal import Journal
from caer.web.samples import SUSPECTS, Samples
from preprocessing.files import file_within, stamp
from preprocessing.manifest import read_manifest

_COLUMNS = {"face": "face_file", "photo": "image_file"}


@dataclass(frozen=True)
class Loaded:
    """One state of the folder."""

    samples: Samples
    journal: Journal
    version: str
    """Changes with the manifest's rows."""
    place: Mapping[str, int]
    """Sample id -> position of its row."""


class Bench:
    """A folder under review.

    Args:
        folder: of `manifest.parquet`, or that file.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "manifest.parquet" if folder.is_dir() else folder
        self.folder = self.path.parent
        self._lock = Lock()
        self._stamps: list[tuple[int, int]] = []
        self._loaded: Loaded | None = None

    def loaded(self) -> Loaded:
        """The folder as it is now; read again after preprocessing or an audit wrote to it.

        Raises:
            UserError: the manifest cannot be read.
        """
        with self._lock:
            now = [stamp(path) for path in (self.path, self.path.with_suffix(".json"), self.folder / SUSPECTS)]
            if self._loaded is None or now != self._stamps:
                manifest = read_manifest(self.path)
                place = {identity: i for i, identity in enumerate(manifest.rows["sample_id"])}
                version = str(manifest.meta.get("row_hash", ""))[:12]
                self._loaded = Loaded(Samples(manifest), Journal(manifest), version, place)
                self._stamps = now
            return self._loaded

    def picture(self, kind: str, sample_id: str) -> Path | None:
        """The file of a sample's `face` or `photo`; None where it has none."""
        loaded = self.loaded()
        if kind not in _COLUMNS or sample_id not in loaded.place:
            return None
        name = loaded.samples.rows[_COLUMNS[kind]].iloc[loaded.place[sample_id]]
        return file_within(self.folder, name)

    def decide(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Write a decision and say how its sample stands then, and how many samples were decided about.

        Raises:
            UserError: it does not fit.
            OSError: it cannot be written.
        """
        loaded = self.loaded()
        decisions = loaded.journal.decide(fields)
        identity = fields["sample_id"]
        row = loaded.samples.rows.iloc[loaded.place[identity]].to_dict()
        return {"standing": loaded.samples.standing(identity, row, decisions), "reviewed": len(decisions.history)}
