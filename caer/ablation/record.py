"""What an ablation's folder says of itself: `runs/NAME/ablation.json` with its settings, and why variants failed."""

from typing import Any

from caer.ablation.config import AblationConfig
from preprocessing.files import read_json, sha256_bytes, write_json

FILE = "ablation.json"
ELSEWHERE = {"runs", "reports"}
"""Where files lie says nothing about what they hold."""


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
