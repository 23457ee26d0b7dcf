"""What an ablation has to do: each variant with each seed, and which of their stages are one and the same.

Enters: an `AblationConfig`. Leaves: a list of `PlannedRun`, seed by seed, so that whatever is finished can be compared in pairs.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from caer.ablation.config import AblationConfig, experiment
from caer.ablation.sharing import manifest_hash, recipe
from caer.config import Config
from caer.data.rows import Rows
from caer.engine.checkpoint import finished, read_provenance
from caer.engine.provenance import check_same_settings
from caer.models import check_model
from caer.tasks import build_tasks
from preprocessing.errors import UserError, unknown_name
from preprocessing.files import read_json


@dataclass(frozen=True)
class PlannedRun:
    """One variant with one seed.

    Attributes:
        variant, seed: which one.
        config: its experiment.
        recipes: by stage number, in order, the hash of all that the stage depends on: equal where the weights are the same.
        shapes: the same without the seed: equal where the work is the same.
    """

    variant: str
    seed: int
    config: Config
    recipes: dict[int, str]
    shapes: dict[int, str]

    @property
    def folder(self) -> Path:
        """`runs/ABLATION/VARIANT/seedS`."""
        return self.config.run_folder

    @property
    def judged(self) -> Path:
        """The folder of the stage that is judged."""
        return self.stage(max(self.recipes))

    def stage(self, number: int) -> Path:
        """A stage's folder."""
        return self.folder / f"stage{number}"

    def number(self, made: str) -> int:
        """The number of the stage with a recipe."""
        return next(number for number, recipe in self.recipes.items() if recipe == made)


def plan(ablation: AblationConfig) -> list[PlannedRun]:
    """All runs of an ablation, seed by seed.

    Raises:
        UserError: settings of a variant that do not fit the schema.
    """
    return [_planned(ablation, variant, seed) for seed in ablation.seeds for variant in ablation.variants]


def _planned(ablation: AblationConfig, variant: str, seed: int) -> PlannedRun:
    config = experiment(ablation, variant, seed)
    numbers = ablation.stages(variant, config)
    for number in numbers:
        for part, origin in config.stage(number).init.items():
            if origin.removeprefix("stage").isdigit() and origin not in {f"stage{n}" for n in numbers}:
                raise UserError(f"variant {variant!r}: stage {number} takes its {part} from {origin}; add that to its stages")
    recipes = {number: recipe(config, number) for number in numbers}
    seedless = config.model_copy(update={"seed": 0})
    return PlannedRun(variant, seed, config, recipes, {number: recipe(seedless, number) for number in numbers})


def users(runs: Sequence[PlannedRun]) -> dict[str, list[PlannedRun]]:
    """By recipe the runs that need the stage, in the plan's order; the first one trains it."""
    found: dict[str, list[PlannedRun]] = {}
    for run in runs:
        for made in run.recipes.values():
            found.setdefault(made, []).append(run)
    return found


def shared_stages(run: PlannedRun, needed_by: Mapping[str, Sequence[PlannedRun]]) -> tuple[int, ...]:
    """Numbers of the stages that other runs need too (`users` of the whole plan), or that another run trained."""
    taken = {n for n in run.recipes if finished(run.stage(n)) and "taken_over_from" in read_provenance(run.stage(n))}
    return tuple(number for number, made in run.recipes.items() if len(needed_by[made]) > 1 or number in taken)


def select(runs: Sequence[PlannedRun], only: Collection[str]) -> list[PlannedRun]:
    """The runs of some variants; all where none is named.

    Raises:
        UserError: a variant that there is not.
    """
    known = dict.fromkeys(run.variant for run in runs)
    for name in only:
        if name not in known:
            raise unknown_name("variant", name, known)
    return [run for run in runs if not only or run.variant in only]


def is_judged(run: PlannedRun, split: str) -> bool:
    """Whether a run is trained to its end and judged with the weights that it holds."""
    metrics = run.folder / "eval" / split / "metrics.json"
    if not all(finished(run.stage(number)) for number in run.recipes) or not metrics.is_file():
        return False
    judged = read_json(metrics, "the metrics of an evaluation")["run"]["weights_sha256"]
    return judged == read_provenance(run.judged)["weights_sha256"]


def check(ablation: AblationConfig, runs: Sequence[PlannedRun]) -> None:
    """Find out before hours of training what would end them: absent data, no rows to judge, unknown tasks, other folders.

    Raises:
        UserError: the first of them.
    """
    for pair in (*ablation.contrasts, *ablation.claims):
        for name in (pair.a, pair.b):
            tasks = experiment(ablation, name, ablation.seeds[0]).tasks
            if pair.task not in tasks:
                raise UserError(f"{pair.a} - {pair.b}: variant {name!r} has no task {pair.task!r}; it has {', '.join(tasks)}")
    for run in runs:
        for source in run.config.data.sources:
            if manifest_hash(source.manifest) is None:
                raise UserError(f"{source.manifest}: no such file; expected a manifest, made by scripts/preprocess.sh")
        check_model(run.config)
        _check_folder(run)
    for config in {run.variant: run.config for run in runs}.values():
        Rows(config, build_tasks(config)).split(ablation.split)


def _check_folder(run: PlannedRun) -> None:
    for number in run.recipes:
        folder = run.stage(number)
        if (folder / "config.yaml").is_file() and (finished(folder) or (folder / "last.ckpt").is_file()):
            check_same_settings(folder, run.config, number)
    for folder in run.folder.glob("stage*"):
        if folder.name not in {f"stage{number}" for number in run.recipes} and finished(folder):
            raise UserError(
                f"{folder}: the variant {run.variant!r} no longer trains this stage; give it another name, or delete {folder}"
            )
