"""What a stage's `provenance.json` has to hold for others to rely on it.

Enters: the file's JSON. Leaves: nothing, or one complaint. What else stands there is for people only.
"""

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from preprocessing.errors import UserError
from preprocessing.settings import validate


class _Facts(BaseModel):
    """Facts as JSON has them: nothing is converted, more may stand there."""

    model_config = ConfigDict(strict=True, extra="allow", protected_namespaces=())


class _Manifest(_Facts):
    path: str
    row_hash: str | None
    settings: dict[str, Any] | None = None


class _Weights(_Facts):
    file: str
    sha256: str


class _Parameters(_Facts):
    total: int


class _Begun(_Facts):
    """A stage that has begun."""

    stage: int
    finished: bool
    precision: Literal["32", "bf16"]
    manifests: list[_Manifest]
    class_counts: dict[str, list[float]]
    init: dict[str, _Weights]
    weights: dict[str, _Weights] = {}
    parameters: _Parameters
    monitor: dict[str, Any] = {}
    rows: dict[str, int] = {}
    caching_seconds: float | None = None


class _Finished(_Begun):
    """A stage that is trained to its end."""

    best_score: float
    best_epoch: int
    epochs: int
    seconds: float
    weights_sha256: str


def check_facts(facts: Any, path: Path) -> None:
    """Raise `UserError` where facts read from `path` are not those of a stage."""
    remedy = f"delete {path.parent} and train that stage again"
    if not isinstance(facts, dict):
        raise UserError(f"{path}: expected the facts of a stage by name, given a {type(facts).__name__}; {remedy}")
    try:
        validate(_Finished if facts.get("finished") is True else _Begun, facts, path)
    except UserError as error:
        raise UserError(f"{error}; {remedy}") from None
