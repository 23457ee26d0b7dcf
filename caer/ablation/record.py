"""What an ablation's folder says of itself.

`runs/NAME/ablation.json`: its settings, and why variants failed. `runs/NAME/declared.jsonl`: append-only, a line whenever the
contrasts or claims are others than before, with the number of runs that had been judged by then, those to adopt from included: 0
is before anything was seen.
"""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from caer.ablation.config import AblationConfig
from preprocessing.files import read_json, sha256_bytes, write_atomic, write_json

FILE, DECLARED = "ablation.json", "declared.jsonl"
ELSEWHERE = {"runs", "reports"}
"""Where files lie says nothing about what they hold."""


@dataclass(frozen=True)
class Declaration:
    """When the contrasts and claims were first declared as they are now.

    Attributes:
        time: in UTC, ISO 8601.
        judged: how many runs had been judged by then.
    """

    time: str
    judged: int

    def __str__(self) -> str:
        when = (
            "before any run was judged"
            if self.judged == 0
            else f"after {self.judged} run{'s' * (self.judged != 1)} had been judged"
        )
        return f"{self.time}, {when}"


def config_hash(ablation: AblationConfig) -> str:
    """SHA-256 of an ablation's settings."""
    return sha256_bytes(ablation.model_copy(update={"seeds": sorted(ablation.seeds)}).model_dump_json(exclude=ELSEWHERE).encode())


def read_failures(ablation: AblationConfig) -> dict[tuple[str, int], str]:
    """Why variants failed when they were last tried, by (variant, seed)."""
    path = ablation.folder / FILE
    if not path.is_file():
        return {}
    failures: list[dict[str, Any]] = read_json(path, "an ablation's record")["failures"]
    known = {(failure["variant"], failure["seed"]): failure["reason"] for failure in failures}
    return {key: known[key] for key in known if key[0] in ablation.variants and key[1] in ablation.seeds}


def write_record(ablation: AblationConfig, failures: dict[tuple[str, int], str]) -> None:
    """Write the settings and failures."""
    listed = [{"variant": variant, "seed": seed, "reason": reason} for (variant, seed), reason in sorted(failures.items())]
    content = {"schema_version": 1, "config": ablation.model_dump(mode="json"), "config_hash": config_hash(ablation)}
    write_json(ablation.folder / FILE, {**content, "failures": listed})


def declare(ablation: AblationConfig) -> None:
    """Note the contrasts and claims where they are not the ones noted last."""
    if read_declaration(ablation) is not None:
        return
    now = datetime.now(UTC).isoformat(timespec="seconds")
    line = json.dumps({"time": now, "judged": _judged(ablation), **_declared(ablation)}, sort_keys=True, ensure_ascii=False)
    path = ablation.folder / DECLARED
    write_atomic(path, (path.read_text(encoding="utf-8") if path.is_file() else "") + line + "\n")


def _judged(ablation: AblationConfig) -> int:
    places = [(ablation.folder, "*/seed*"), *((folder, "seed*") for folder in ablation.adopt)]
    return sum(len(list(folder.glob(f"{runs}/eval/{ablation.split}/metrics.json"))) for folder, runs in places)


def read_declaration(ablation: AblationConfig) -> Declaration | None:
    """When the contrasts and claims became what they are; None where the folder notes others, or none."""
    path = ablation.folder / DECLARED
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    last = json.loads(lines[-1]) if lines else {}
    same = bool(last) and {key: last.get(key) for key in ("contrasts", "claims")} == _declared(ablation)
    return Declaration(last["time"], last["judged"]) if same else None


def _declared(ablation: AblationConfig) -> dict[str, Any]:
    return ablation.model_dump(mode="json", include={"contrasts", "claims"})
