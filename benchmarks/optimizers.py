"""Cost and accuracy of Adam, SAM, ASAM and SAM at an interval on one stage of an experiment.

    python benchmarks/optimizers.py --config configs/demo.yaml --stage 1 --seeds 17 18 19 [--record]

Trains the stage once for each optimizer and seed through `fit_stage` (so a stopped benchmark goes on where it was) and prints a
Markdown table: passes an update, time against Adam, the best validation score. Besides equal epochs there is Adam with twice the
epochs, which is about SAM's time. Scores are on val, and picked at the best epoch of each: good for ranking, not for a claim.
"""

import argparse
import statistics
from typing import Any

import torch
from recording import record

from preprocessing.errors import UserError, run_command

VARIANTS: dict[str, tuple[dict[str, Any], int, str]] = {
    "adam": ({"type": "adam"}, 1, "1"),
    "adam_twice_the_epochs": ({"type": "adam"}, 2, "1"),
    "sam": ({"type": "sam", "base": "adam", "rho": 0.05}, 1, "2"),
    "sam_interval_2": ({"type": "sam", "base": "adam", "rho": 0.05, "interval": 2}, 1, "1.5"),
    "sam_interval_5": ({"type": "sam", "base": "adam", "rho": 0.05, "interval": 5}, 1, "1.2"),
    "asam": ({"type": "sam", "base": "adam", "rho": 0.5, "adaptive": True}, 1, "2"),
}
"""Name -> optimizer, factor on the epochs, passes an update."""


def main() -> None:
    """Train every variant, then print the table."""
    arguments = parse()
    from caer.config import load_config

    base = load_config(arguments.config, arguments.set)
    rows = [measure(base, name, arguments) for name in arguments.only or VARIANTS]
    lines = report(base, arguments, rows)
    print("\n".join(lines))
    if arguments.record:
        record(f"optimizers {base.name}", f"Optimizers on {base.name}, stage {arguments.stage}", lines)


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", required=True)
    parser.add_argument("--stage", type=int, default=1)
    parser.add_argument("--epochs", type=int, help="default: those of the config")
    parser.add_argument("--seeds", type=int, nargs="+", default=[17])
    parser.add_argument("--only", nargs="+", choices=list(VARIANTS), help="some of the variants")
    parser.add_argument("--set", nargs="+", action="extend", default=[], metavar="key=value")
    parser.add_argument("--record", action="store_true", help="replace this benchmark's block in benchmarks/RESULTS.md")
    return parser.parse_args()


def variant_config(base: Any, name: str, stage: int, epochs: int, seed: int) -> Any:
    """The experiment with only this stage, another optimizer at the config's own rate, and a name of its own.

    Raises:
        UserError: the stage starts from another one, so it cannot stand alone.
    """
    options, factor, _ = VARIANTS[name]
    settings = base.stage(stage)
    if any(origin.startswith("stage") for origin in settings.init.values()):
        raise UserError(f"stage {stage} starts from another stage; benchmark one that stands alone (1 or 2)")
    tree = base.model_dump()
    kept = {key: tree["stages"][stage]["optimizer"][key] for key in ("lr", "weight_decay")}
    chosen = {**tree["stages"][stage], "optimizer": {**kept, **options}, "epochs": epochs * factor}
    others = {number: part for number, part in tree["stages"].items() if number != stage}
    # The other stages stay declared: whether one of them asks for the holdout decides which rows this one trains on.
    tree.update(name=f"bench_{base.name}_{name}_{epochs}", seed=seed, stages={**others, stage: chosen})
    return type(base).model_validate(tree)


def measure(base: Any, name: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Train one variant with every seed: scores, seconds an epoch, seconds in all."""
    from caer.engine.run import fit_stage
    from preprocessing.files import read_json

    epochs = arguments.epochs or base.stage(arguments.stage).epochs
    scores, seconds, per_epoch = [], [], []
    for seed in arguments.seeds:
        result = fit_stage(variant_config(base, name, arguments.stage, epochs, seed), arguments.stage)
        facts = read_json(result.folder / "provenance.json", "a stage's provenance")
        scores.append(float(result.best_score))
        seconds.append(float(facts["seconds"]))
        per_epoch.append(float(facts["seconds"]) / max(result.epochs, 1))
    return {"name": name, "scores": scores, "seconds": statistics.mean(seconds), "per_epoch": statistics.mean(per_epoch)}


def report(base: Any, arguments: argparse.Namespace, rows: list[dict[str, Any]]) -> list[str]:
    """The table in Markdown, with what it was measured on."""
    first = rows[0]["per_epoch"] or float("nan")
    seeds = ", ".join(map(str, arguments.seeds))
    lines = [
        f"Seeds {seeds}; monitor {base.monitor.metric} on val at its best epoch; {torch.get_num_threads()} computing threads.",
        "",
        f"| optimizer | passes an update | s an epoch | against {rows[0]['name']} | s in all | score: mean (SD) |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        spread = f"{statistics.stdev(row['scores']):.4f}" if len(row["scores"]) > 1 else "one seed"
        lines.append(
            f"| {row['name']} | {VARIANTS[row['name']][2]} | {row['per_epoch']:.1f} | {row['per_epoch'] / first:.2f} "
            f"| {row['seconds']:.0f} | {statistics.mean(row['scores']):.4f} ({spread}) |"
        )
    return lines


if __name__ == "__main__":
    run_command(main)
