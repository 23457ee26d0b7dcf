"""The typed schema of an ablation (`configs/ablation_*.yaml`): a base experiment, variants of it, seeds, and what is claimed.

Enters: a YAML path and `--set key=value` overrides. Leaves: a frozen `AblationConfig`, from which `experiment` makes the `Config`
of one variant and seed. Contrasts and claims stand in the config, so that they are declared before anything is seen.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from caer.config import Config
from preprocessing.errors import UserError
from preprocessing.settings import StrictModel, apply_overrides, load_yaml, put, split_override, validate

SCHEMA_VERSION = 1
NAME = r"^\w[\w.-]*$"
Metric = Literal["accuracy", "macro_f1", "balanced_accuracy"]


def _as_mapping(given: Any) -> Any:
    return dict(split_override(text) for text in given) if isinstance(given, list) else given


Overrides = Annotated[dict[str, Any], BeforeValidator(_as_mapping)]
"""Dotted key -> value, or a list of `key.sub=value`; a value replaces what stood there, groups of settings included."""


class Variant(StrictModel):
    """One row of the comparison."""

    label: str | None = None
    """What tables call it; its name where not given."""
    base: Path | None = None
    """Another experiment than the ablation's (CAER-Net has settings of its own)."""
    set: Overrides = {}
    """Applied after the ablation's own `set`."""
    stages: list[int] | None = Field(None, min_length=1)
    """Train these stages only, and judge the last of them; all that the experiment declares where not given."""


class _Pair(StrictModel):
    """Two variants on one task, by one score."""

    a: str
    b: str
    task: str
    metric: Metric = "accuracy"

    @model_validator(mode="after")
    def _two_variants(self) -> Self:
        if self.a == self.b:
            raise ValueError(f"a and b are both {self.a!r}; name two variants")
        return self


class Contrast(_Pair):
    """A difference a - b that is tested; all contrasts of an ablation are corrected together."""

    name: str


class Claim(_Pair):
    """A statement about a - b that the data support, contradict, or leave open."""

    text: str
    number: int | None = Field(None, ge=1, le=5)
    """Which of the article's five claims it is."""
    kind: Literal["greater", "equivalent"] = "greater"
    """`greater`: a - b exceeds the margin; `equivalent`: it lies within plus or minus the margin."""
    margin: float = Field(0.0, ge=0, le=100)
    """In points (hundredths of the score)."""
    made_for: str | None = None
    """The set that the claim was made for, such as `V1-like`."""
    compare: Literal["equal_epochs", "equal_time"] | None = None
    """What a and b have in common where their cost differs."""

    @model_validator(mode="after")
    def _equivalence_has_a_margin(self) -> Self:
        if self.kind == "equivalent" and self.margin == 0:
            raise ValueError("an equivalence needs a margin above 0")
        return self


class AblationConfig(StrictModel):
    """A whole ablation."""

    schema_version: Literal[1] = 1
    name: str = Field(pattern=NAME)
    base: Path
    """The experiment (`configs/*.yaml`) that the variants change."""
    set: Overrides = {}
    """Settings common to all variants."""
    variants: dict[Annotated[str, Field(pattern=NAME)], Variant] = Field(min_length=1)
    seeds: list[Annotated[int, Field(ge=0)]] = Field(min_length=1)
    split: str = "test"
    """What the variants are judged on."""
    contrasts: list[Contrast] = []
    claims: list[Claim] = []
    adopt: list[Path] = []
    """Other runs (`runs/NAME`) whose finished stages are used where settings and data are the same."""
    runs: Path = Path("runs")
    """Where `NAME/VARIANT/seedS` lie."""
    reports: Path = Path("reports")
    """Where `NAME/report.html` lies."""

    @field_validator("variants", mode="before")
    @classmethod
    def _bare_names(cls, variants: Any) -> Any:
        """`sum:` with nothing behind it is the base as it stands."""
        return {name: value or {} for name, value in variants.items()} if isinstance(variants, dict) else variants

    @field_validator("seeds")
    @classmethod
    def _distinct(cls, seeds: list[int]) -> list[int]:
        if len(set(seeds)) != len(seeds):
            raise ValueError("a seed stands twice")
        return seeds

    @field_validator("split")
    @classmethod
    def _not_train(cls, split: str) -> str:
        if split == "train":
            raise ValueError("variants are not judged on the rows they were trained on; give test or val")
        return split

    @model_validator(mode="after")
    def _pairs_name_variants(self) -> Self:
        listed: list[tuple[str, Contrast | Claim]] = [
            *(("contrasts", pair) for pair in self.contrasts),
            *(("claims", pair) for pair in self.claims),
        ]
        for kind, pair in listed:
            for name in (pair.a, pair.b):
                if name not in self.variants:
                    raise ValueError(f"{kind}: {pair.a} - {pair.b}: no variant {name!r}; known: {', '.join(self.variants)}")
        names = [contrast.name for contrast in self.contrasts]
        if len(set(names)) != len(names):
            raise ValueError(f"contrasts: {next(n for n in names if names.count(n) > 1)!r} stands twice")
        return self

    @property
    def folder(self) -> Path:
        """`runs/NAME`."""
        return self.runs / self.name

    @property
    def report_folder(self) -> Path:
        """`reports/NAME`."""
        return self.reports / self.name

    def label(self, variant: str) -> str:
        """What tables call a variant."""
        return self.variants[variant].label or variant

    def stages(self, variant: str, config: Config) -> list[int]:
        """Numbers of the stages that a variant trains, in order; its experiment is `config`.

        Raises:
            UserError: it names a stage that the experiment does not declare.
        """
        chosen = self.variants[variant].stages
        for number in chosen or []:
            config.stage(number)
        return sorted(config.stages if chosen is None else chosen)


def load_ablation(path: str | Path, overrides: Sequence[str] = ()) -> AblationConfig:
    """Read and check an ablation's config.

    Args:
        path: the YAML file.
        overrides: `key=value`. Keys of the ablation (`name`, `split`, `runs`, ...) change it; all others are settings of the
            experiments, applied last and to every variant.

    Raises:
        UserError: with file, key and remedy, for anything that does not fit the schema.
    """
    own = [text for text in overrides if _first_part(text) in AblationConfig.model_fields]
    settings = apply_overrides(load_yaml(path), own)
    version = settings.get("schema_version", SCHEMA_VERSION)
    if version != SCHEMA_VERSION:
        raise UserError(f"{path}: schema_version {version!r} is unknown; this code reads {SCHEMA_VERSION}")
    ablation = validate(AblationConfig, settings, path)
    return with_settings(ablation, [split_override(text) for text in overrides if text not in own])


def _first_part(override: str) -> str:
    return split_override(override)[0].split(".")[0]


def with_settings(ablation: AblationConfig, settings: Sequence[tuple[str, Any]]) -> AblationConfig:
    """The ablation with settings of the experiments applied last to every variant."""
    if not settings:
        return ablation
    variants = {}
    for name, variant in ablation.variants.items():
        kept = {key: value for key, value in variant.set.items() if key not in dict(settings)}
        variants[name] = variant.model_copy(update={"set": kept | dict(settings)})
    return ablation.model_copy(update={"variants": variants})


def experiment(ablation: AblationConfig, variant: str, seed: int) -> Config:
    """The experiment of one variant and seed; its run folder is `runs/ABLATION/VARIANT/seedS`.

    Raises:
        UserError: the base is absent, or the variant's settings do not fit the schema.
    """
    chosen = ablation.variants[variant]
    base = chosen.base or ablation.base
    settings = load_yaml(base)
    place = f"{base} as variant {variant!r}"
    for key, value in (*ablation.set.items(), *chosen.set.items()):
        put(settings, key, value, place)
    settings |= {"name": variant, "seed": seed, "runs": ablation.folder}
    return validate(Config, settings, place)
