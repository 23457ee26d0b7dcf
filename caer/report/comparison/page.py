"""A study's report: `report.html`, `report.md`, `results.csv`.

Enters: a `Study`. Leaves: three files in a folder; the page holds its pictures and needs nothing else.
"""

from pathlib import Path

from caer.comparison.study import Findings, Study, find
from caer.report import html
from caer.report.comparison.calibration import calibration_section
from caer.report.comparison.claims import claims_section, cost_section
from caer.report.comparison.classes import classes_section
from caer.report.comparison.closing import failures_section, provenance_section
from caer.report.comparison.contrasts import contrasts_section
from caer.report.comparison.curves import curves_section
from caer.report.comparison.gates import gates_section
from caer.report.comparison.head import header
from caer.report.comparison.markdown import report_markdown
from caer.report.comparison.results import results_csv
from caer.report.comparison.variants import variants_section
from preprocessing.files import write_atomic


def write_study(study: Study, folder: Path) -> Findings:
    """Compute the findings, write the three files, and return the findings.

    Raises:
        UserError: a declared pair names a task or variant that there is not.
    """
    findings = find(study)
    written = {"results.csv": results_csv, "report.md": report_markdown, "report.html": study_page}
    for name, text in {name: write(study, findings) for name, write in written.items()}.items():
        write_atomic(folder / name, text)
    return findings


def study_page(study: Study, findings: Findings) -> str:
    """The whole page."""
    return html.page(
        f"{study.name}: {study.kind}",
        header(study, findings),
        claims_section(study, findings),
        *(part for task in study.answers for part in _scores(study, findings, task)),
        contrasts_section(study, findings),
        cost_section(study, findings),
        *(part for task in study.answers for part in _details(study, findings, task)),
        curves_section(study),
        failures_section(study),
        provenance_section(study),
    )


def _heading(study: Study, task: str, what: str) -> list[str]:
    return [html.section(f"{what} of task {task}")] if len(study.answers) > 1 else []


def _scores(study: Study, findings: Findings, task: str) -> list[str]:
    return [*_heading(study, task, "Scores"), variants_section(study, findings, task)]


def _details(study: Study, findings: Findings, task: str) -> list[str]:
    return [
        *_heading(study, task, "Details"),
        classes_section(study, findings, task),
        calibration_section(study, findings, task),
        gates_section(study, findings, task),
    ]
