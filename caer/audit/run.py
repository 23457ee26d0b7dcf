"""The audit of a manifest from its path to its files.

Enters: a manifest, perhaps prediction files. Leaves: `audit.json`; where asked for, `suspects.csv`, `audit.html` and a second
manifest with splits that tear nothing.

`audit.json` (schema_version 1): `manifest` and its row hash, the thresholds, `leaks` (clusters and groups that straddle splits,
counted once where they overlap), counts by status, split, task and class, `copies`, `near_duplicates` and `groups` {straddling,
between: {"train/test": n}}, `contradictions` by task, `boxes`, `clusters` (each with its photos), `suspects` by task, `resplit`,
and what made it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from caer.audit.findings import find
from caer.audit.labels import suspects
from caer.audit.pictures import compare_pictures, read_audited
from caer.audit.resplit import balanced_task, resplit, write_resplit
from preprocessing.files import write_atomic, write_json
from preprocessing.fingerprint import AGREEMENT, DISTANCE

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Audit:
    """An audit.

    Attributes:
        findings: the content of `audit.json`.
        files: what was written, `audit.json` first.
    """

    findings: dict[str, Any]
    files: list[Path]


def audit_manifest(
    path: str | Path,
    out: Path | None = None,
    predictions: Sequence[Path] = (),
    new_splits: bool = False,
    task: str = "",
    page: bool = False,
) -> Audit:
    """Audit a manifest.

    Args:
        path: `manifest.parquet`, another manifest of its folder, or the folder.
        out: where to write; default: the manifest's folder.
        predictions: out-of-sample prediction files, for the label audit.
        new_splits: also write a second manifest, beside the first, whose splits tear no cluster and no group.
        task: whose class shares these keep.
        page: also write `audit.html` with the photos concerned.

    Raises:
        UserError: a manifest, its photos or a prediction file cannot be used.
    """
    path = Path(path)
    path = path / "manifest.parquet" if path.is_dir() else path
    manifest = read_audited(path)
    task = balanced_task(manifest.rows, task) if new_splits else ""
    suspected, suspect_counts = suspects(predictions, manifest.rows) if predictions else (None, None)
    pictures = compare_pictures(manifest)  # slow, so after all that the arguments can get wrong
    findings = {"schema_version": SCHEMA_VERSION, **_origin(path, manifest.meta), **find(pictures.rows)}
    if suspect_counts is not None:
        findings["suspects"] = suspect_counts
    new = resplit(pictures.rows, task) if new_splits else None
    out = out or path.parent
    prefix = "" if path.stem == "manifest" else f"{path.stem}_"
    files = [out / f"{prefix}audit.json"]
    if suspected is not None:
        files.append(out / f"{prefix}suspects.csv")
        write_atomic(files[-1], suspected.to_csv(index=False, float_format="%.6f"))
    if new is not None:
        files.append(write_resplit(pictures, path, new))
        findings["resplit"] = {"manifest": files[-1].name, **new.facts}
    if page:
        from caer.audit.page import audit_page

        files.append(out / f"{prefix}audit.html")
        write_atomic(files[-1], audit_page(findings, pictures, suspected))
    write_json(files[0], findings)
    return Audit(findings, files)


def _origin(path: Path, meta: dict[str, Any]) -> dict[str, Any]:
    from caer.engine.provenance import code_and_machine

    return {
        "manifest": path.name,
        "row_hash": meta["row_hash"],
        "source": meta.get("dataset", {}),
        "thresholds": {"phash_bits": DISTANCE, "agreement": AGREEMENT},
        "made_by": code_and_machine(),
    }
