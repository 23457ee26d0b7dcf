"""What `ablate` prints: the plan before, and a short summary after."""

import statistics
from collections.abc import Sequence

from caer.ablation.plan import PlannedRun, is_judged, users
from caer.ablation.results import AblationResults
from caer.ablation.sharing import manifest_hash
from caer.engine.checkpoint import finished


def plan_lines(runs: Sequence[PlannedRun], split: str) -> list[str]:
    """Each run with its stages: done, to be trained, or shared with a run before it."""
    first = {made: shared[0] for made, shared in users(runs).items()}
    lines = [_run_line(run, first, split) for run in runs]
    missing = [made for made, run in first.items() if not finished(run.stage(run.number(made)))]
    lines.append(f"{len(runs)} runs, {len(first)} different stages, {len(missing)} of them to be trained")
    sources = dict.fromkeys(source.manifest for run in runs for source in run.config.data.sources)
    return lines + [f"{path} is not there yet" for path in sources if manifest_hash(path) is None]


def _run_line(run: PlannedRun, first: dict[str, PlannedRun], split: str) -> str:
    parts = []
    for number, made in run.recipes.items():
        owner = first[made]
        state = "done" if finished(run.stage(number)) else "train" if owner is run else f"as {owner.variant}"
        parts.append(f"stage {number} {state}")
    judged = "judged" if is_judged(run, split) else f"judge on {split}"
    return f"{run.variant} seed {run.seed}: {', '.join(parts)}, {judged}"


def summary_lines(results: AblationResults) -> list[str]:
    """By variant and task (with classes) the mean accuracy over seeds with its standard deviation, then what failed."""
    lines = []
    for variant, by_seed in results.results.items():
        judged = [(task, scores) for result in by_seed.values() for task, scores in result.metrics["tasks"].items()]
        for task in dict.fromkeys(task for task, scores in judged if "accuracy" in scores["rows"]["all"]):
            scores = [100 * result.metrics["tasks"][task]["rows"]["all"]["accuracy"]["value"] for result in by_seed.values()]
            spread = f", SD {statistics.stdev(scores):.1f}" if len(scores) > 1 else ""
            label = results.config.label(variant)
            lines.append(f"{label}: {task} accuracy {statistics.fmean(scores):.1f}{spread} ({len(scores)} seeds)")
    lines += [f"{variant} seed {seed} FAILED: {reason}" for (variant, seed), reason in results.failures.items()]
    return lines
