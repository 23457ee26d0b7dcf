"""A small ablation over a made manifest: face, context, sum and gating, each stage one epoch of tiny branches."""

from pathlib import Path
from typing import Any

import yaml
from made_manifest import made_config, made_manifest

SPLITS = {"train": 24, "val": 6, "test": 9}
SUM_STAGE = {"output": "fused", "init": {"face": "stage1", "context": "stage2"}, "data": "holdout", "epochs": 0}
VARIANTS: dict[str, Any] = {
    "face": {"stages": [1]},
    "context": {"stages": [2]},
    "sum": {"set": {"model.fusion": {"type": "sum"}, "stages.3": {**SUM_STAGE, "augmentation": None}}},
    "gating": None,
}


def made_ablation(folder: Path, manifest: Path | None = None, **changes: Any) -> Path:
    """Write base experiment, ablation and, where none is given, a manifest below `folder`; return the ablation's path."""
    manifest = manifest or made_manifest(folder / "data", SPLITS)
    base = made_config(manifest).model_dump(mode="json") | {"device": "cpu", "precision": "32"}
    (folder / "base.yaml").write_text(yaml.safe_dump(base))
    ablation = {"name": "made", "base": str(folder / "base.yaml"), "seeds": [3], "variants": VARIANTS}
    ablation |= {"runs": str(folder / "runs"), "reports": str(folder / "reports"), **changes}
    (folder / "ablation.yaml").write_text(yaml.safe_dump(ablation, sort_keys=False))
    return folder / "ablation.yaml"
