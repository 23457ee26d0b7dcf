"""Settings: YAML files with dotted overrides, checked against pydantic models; and the settings of preprocessing itself.

Enters: a YAML path and `key.sub=value` strings. Leaves: validated, frozen models. Every complaint is a `UserError` of one line.
"""

import copy
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from preprocessing.errors import UserError


class StrictModel(BaseModel):
    """A frozen settings model in which an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


Model = TypeVar("Model", bound=BaseModel)


class Settings(StrictModel):
    """How a photo becomes face records; travels into the manifest and into each run trained on it."""

    detector: dict[str, Any] = Field(default_factory=lambda: {"type": "retinaface"})
    """`{type: NAME, ...}`; the options are the detector's own `Config`."""
    select: Literal["largest", "central", "best", "all"] = "largest"
    """Which of the detected faces become samples."""
    threshold: float = Field(0.9, ge=0, le=1)
    """Detections with a lower score are not faces."""
    min_size: float = Field(16.0, ge=1)
    """Shorter side of the face box in pixels of the photo; smaller ones get the status `too_small`."""
    face_scale: float = Field(2.0, ge=1, le=4)
    """Side of the stored upright crop in units of the box's longer side."""
    face_max: int = Field(384, ge=32)
    """Longest side of the stored face crop in pixels."""
    image_short: int = Field(256, ge=32)
    """Longest allowed short side of the stored photo in pixels."""
    jpeg_quality: int = Field(95, ge=50, le=100)
    max_pixels: int = Field(120_000_000, ge=1)
    """Photos with more pixels are refused as bombs before they are decoded."""


def load_yaml(path: str | Path) -> dict[str, Any]:
    """Read a YAML mapping.

    Raises:
        UserError: missing, unreadable, not UTF-8, not YAML, or not a mapping.
    """
    path = Path(path)
    try:
        loaded = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; expected a YAML config") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read as a UTF-8 YAML file ({error})") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f" at line {mark.line + 1}" if mark else ""
        raise UserError(f"{path}: not valid YAML{place}: {getattr(error, 'problem', None) or error}") from None
    if not isinstance(loaded, dict):
        raise UserError(f"{path}: expected a mapping of settings, found {type(loaded).__name__}")
    return loaded


def apply_overrides(settings: dict[str, Any], overrides: Iterable[str]) -> dict[str, Any]:
    """A copy of `settings` with `key.sub=value` strings applied; values are read as YAML.

    Keys that look like integers also match integer keys (`stages.3.epochs=2`). Whether a key is allowed is for the schema to say.
    """
    settings = copy.deepcopy(settings)
    for override in overrides:
        put(settings, *split_override(override), where=f"override {override!r}")
    return settings


def split_override(override: str) -> tuple[str, Any]:
    """Dotted key and value of `key.sub=value`.

    Raises:
        UserError: it is no such text, or its value is not YAML.
    """
    dotted, equals, text = override.partition("=")
    if not equals or not dotted:
        raise UserError(f"override {override!r}: expected key.sub=value")
    try:
        return dotted, yaml.safe_load(text)
    except yaml.YAMLError:
        raise UserError(f"override {override!r}: the value is not valid YAML") from None


def put(settings: dict[str, Any], dotted: str, value: Any, where: str) -> None:
    """Set the value at a dotted key in place; groups that are absent are made.

    Raises:
        UserError: part of the key is a value, not a group; `where` says whose settings these are.
    """
    node: Any = settings
    *parents, last = dotted.split(".")
    for part in parents:
        key = _key_in(node, part)
        if node.get(key) is None:
            node[key] = {}
        node = node[key]
        if not isinstance(node, dict):
            raise UserError(f"{where}: {key!r} is a value, not a group of settings")
    node[_key_in(node, last)] = copy.deepcopy(value)


def _key_in(node: dict[Any, Any], part: str) -> Any:
    """A part of a dotted key as the group has it: a number where it may be one, unless the file wrote it as text."""
    number = part.isascii() and part.isdigit() and part not in node
    return int(part) if number else part


def validate(model: type[Model], settings: Any, where: str | Path) -> Model:
    """Check settings against a pydantic model; the first complaint becomes a one-line `UserError`."""
    try:
        return model.model_validate(settings)
    except ValidationError as error:
        problems = error.errors(include_url=False)
        first = problems[0]
        place, holder = _locate(model, first["loc"])
        key = ".".join(place) or "settings"
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        if first["type"] == "extra_forbidden":
            known = f"; known: {', '.join(holder.model_fields)}" if holder is not None else ""
            raise UserError(f"{where}: unknown key {key!r}{known}{more}") from None
        given = "" if first["type"] == "missing" else f", given {_short(first['input'])}"
        message = first["msg"].removeprefix("Value error, ")
        raise UserError(f"{where}: {key}: {message}{given}{more}") from None


def _short(value: Any, limit: int = 80) -> str:
    text = repr(value)
    return text if len(text) <= limit else text[: limit - 3] + "..."


def _locate(model: type[BaseModel], location: Sequence[Any]) -> tuple[list[str], type[BaseModel] | None]:
    """A complaint's path without the tags that pydantic puts in for unions, and the model that holds its last part."""
    kept: list[str] = []
    node: type[BaseModel] | None = model
    rest = [str(part) for part in location]
    while rest:
        kept.append(rest.pop(0))
        field = node.model_fields.get(kept[-1]) if node is not None else None
        if rest:
            node, entries, tagged = _inner(field.annotation, rest) if field is not None else (None, 0, 0)
            kept += rest[:entries]
            del rest[: entries + tagged]
    return kept, node


def _inner(annotation: Any, rest: list[str]) -> tuple[type[BaseModel] | None, int, int]:
    """The model below a field, and how many parts of the location are a container's entry and how many a union's tag."""
    entries = 1 if get_origin(annotation) in (dict, list) and len(rest) > 1 else 0
    models = [m for m in (annotation, *get_args(annotation)) for m in (_plain(m),) if m is not None]
    if len(models) < 2:
        return (models[0] if models else None), entries, 0
    chosen = [m for m in models if "type" in m.model_fields and rest[entries] in get_args(m.model_fields["type"].annotation)]
    return (chosen[0] if chosen else None), entries, 1


def _plain(annotation: Any) -> type[BaseModel] | None:
    """The model that an annotation names, without `Annotated`."""
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None
