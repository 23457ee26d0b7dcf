"""What one page serves: the folders named on the command line. The server sets it, Streamlit's script reads it."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from caer.web.bench import Bench
from caer.web.photo_store import PhotoStore
from caer.web.report_list import Reports
from preprocessing.errors import UserError

RUNS, REPORTS = Path("runs"), Path("reports")


@dataclass(frozen=True)
class Served:
    """The page's sources.

    Attributes:
        data: folder of a manifest to review; None without.
        runs: folder of trained runs; it may not be there yet.
        reports: folder of comparison reports; it may not be there yet.
        library: file that `python -m caer index` wrote; None without.
        allow_urls: whether photos may be fetched by address.
    """

    data: Path | None
    runs: Path
    reports: Path
    library: Path | None
    allow_urls: bool = False

    @cached_property
    def bench(self) -> Bench | None:
        """The review of `data`, one for all browsers; None without data."""
        return None if self.data is None else Bench(self.data)

    @cached_property
    def report_list(self) -> Reports:
        """The report pages of `reports` and `runs`."""
        return Reports(self.reports, self.runs)

    def check(self) -> None:
        """Raise a `UserError` on a folder or file that was named and cannot be served."""
        if self.bench is not None:
            self.bench.loaded()
        for option, folder, default in (("--runs", self.runs, RUNS), ("--reports", self.reports, REPORTS)):
            if folder != default and not folder.is_dir():
                raise UserError(f"{option} {folder}: no such folder")
        if self.library is not None:
            if not self.library.is_file():
                raise UserError(f"--library {self.library}: no such file; expected a library, as python -m caer index writes it")
            PhotoStore(self.library)


_current: list[Served] = []


def serve_from(served: Served) -> None:
    """Let this process's page serve from these places."""
    _current[:] = [served]


def current() -> Served:
    """What this process's page serves."""
    assert _current, "the page is started by python -m caer app"
    return _current[0]
