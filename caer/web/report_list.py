"""The report pages below the folders of runs and reports, and the addresses under which the page shows them.

Enters: the folders. Leaves: entries whose key stands in the address; a file is served only if a fresh listing names it.
"""

from dataclasses import dataclass
from pathlib import Path

from preprocessing.files import sha256_bytes

_OF_REPORTS = ("*.html", "*/*.html")
_OF_RUNS = ("seed*/eval/*/*.html", "*/seed*/eval/*/*.html", "*/seed*/*/*.html", "*/*/seed*/eval/*/*.html")


@dataclass(frozen=True)
class ReportEntry:
    """A page that this project's commands wrote: its name, the file, and the key in its address."""

    name: str
    file: Path
    key: str


class Reports:
    """Report pages.

    Args:
        reports: folder of comparisons (`reports/NAME/report.html`).
        runs: folder of runs (`runs/NAME/seedS/eval/SPLIT/report.html`).
    """

    def __init__(self, reports: Path, runs: Path) -> None:
        self.reports, self.runs = reports, runs

    def entries(self) -> list[ReportEntry]:
        """The pages there are now: comparisons first, each kind by name."""
        return [*self._found(self.reports, _OF_REPORTS, "reports"), *self._found(self.runs, _OF_RUNS, "runs")]

    def file(self, key: str) -> Path | None:
        """The page with a key."""
        return next((entry.file for entry in self.entries() if entry.key == key), None)

    def _found(self, folder: Path, patterns: tuple[str, ...], kind: str) -> list[ReportEntry]:
        inside = folder.resolve()
        files = sorted({file for pattern in patterns for file in folder.glob(pattern)})
        kept = [file for file in files if file.is_file() and file.resolve().is_relative_to(inside)]
        names = [f"{kind}/{file.relative_to(folder).as_posix()}" for file in kept]
        return [
            ReportEntry(name, file, sha256_bytes(name.encode("utf-8", "surrogateescape"))[:24])
            for name, file in zip(names, kept, strict=True)
        ]
