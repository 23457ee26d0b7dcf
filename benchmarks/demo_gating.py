"""Does gating beat the better branch on the drawn scenes, and does the gate notice faces that cannot be believed?

    python benchmarks/demo_gating.py [--config configs/demo.yaml] [--seeds 17 18 19] [--set key=value ...] [--record]

Enters: a demo config whose manifest was preprocessed from `python -m preprocessing demo`. Trains what is not trained yet (all
stages, each seed), judges each seed on test through `evaluate_run` (each a line in that run's ledger), prints the paired crossed
bootstrap over groups and seeds, the gap to each ceiling, and the gate on unreliable against reliable faces. `--record` also
replaces this benchmark's block in benchmarks/RESULTS.md.
"""

import argparse
import time
from pathlib import Path

import numpy as np

from caer.config import Config, load_config
from caer.data.rows import Rows
from caer.engine.provenance import commit, machine, machine_text
from caer.engine.run import fit_stage
from caer.evaluation import statistics
from caer.evaluation.ceilings import read_truth
from caer.evaluation.evaluate import Evaluation, evaluate_run
from caer.evaluation.predictions import TaskRows, read_predictions, task_rows
from caer.tasks import build_tasks
from gating.gate_stats import context_share
from preprocessing.errors import UserError, run_command
from preprocessing.files import write_atomic

RESULTS = Path(__file__).with_name("RESULTS.md")
BEGIN, END = "<!-- demo_gating begin -->", "<!-- demo_gating end -->"


def main() -> None:
    """Parse, run, print, perhaps record."""
    parser = argparse.ArgumentParser(description="Gating against the better branch on drawn scenes, over seeds.")
    parser.add_argument("--config", default="configs/demo.yaml")
    parser.add_argument("--seeds", type=int, nargs="+", default=[17, 18, 19])
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="key=value")
    parser.add_argument("--record", action="store_true", help="replace this benchmark's block in benchmarks/RESULTS.md")
    options = parser.parse_args()
    run_command(lambda: benchmark(options))


def benchmark(options: argparse.Namespace) -> None:
    """Train and judge each seed, then compare."""
    configs = [load_config(options.config, [*options.overrides, f"seed={seed}"]) for seed in options.seeds]
    task = next(iter(configs[0].tasks))
    evaluations = [judged(config) for config in configs]
    lines = report(configs[0], task, evaluations)
    print("\n".join(lines))
    if options.record:
        record(options, lines)


def judged(config: Config) -> Evaluation:
    """A run with all its stages trained, judged on test."""
    for stage in sorted(config.stages):
        fit_stage(config, stage)
    return evaluate_run(config.run_folder, "test", reuse=True)


def report(config: Config, task: str, evaluations: list[Evaluation]) -> list[str]:
    """Lines of the comparison."""
    rows = [task_rows(evaluation.predictions, task) for evaluation in evaluations]
    if any((r.rows["sample_id"] != rows[0].rows["sample_id"]).any() for r in rows):
        raise UserError("the seeds were judged on different rows; preprocess once and train all seeds on it")
    right = {"fused": np.stack([r.correct() for r in rows])}
    right |= {branch: np.stack([r.correct(r.branches[branch]) for r in rows]) for branch in ("face", "context")}
    better = better_on_val(evaluations, task)
    lines = [f"{len(rows)} seeds, {len(rows[0].targets)} test rows, {len(np.unique(rows[0].codes))} groups"]
    lines += accuracy_lines(right, evaluations[0].metrics["tasks"][task].get("ceilings", {}).get("on_these_labels"))
    for branch in ("face", "context"):
        gap = statistics.crossed_difference(right["fused"], right[branch], rows[0].codes)
        p = statistics.permutation_p(right["fused"], right[branch], rows[0].codes)
        name = f"{branch} (the better branch on val)" if branch == better else branch
        lines.append(f"gating - {name}: {shown(gap, signed=True)} points, crossed bootstrap over groups and seeds; p = {p:.4f}")
    return lines + gate_lines(config, rows)


def better_on_val(evaluations: list[Evaluation], task: str) -> str:
    """The branch with the higher mean val accuracy over the seeds."""
    means = {"face": 0.0, "context": 0.0}
    for evaluation in evaluations:
        val = task_rows(read_predictions(evaluation.folder.parent / "val" / "predictions.parquet"), task)
        for branch in means:
            means[branch] += float(val.correct(val.branches[branch]).mean())
    return max(means, key=lambda branch: means[branch])


def accuracy_lines(right: dict[str, np.ndarray], ceilings: dict[str, float] | None) -> list[str]:
    """Mean accuracy over the seeds, their SD, and the gap to the best that can be done with what is seen."""
    views = {"face": ["face"], "context": ["context"], "fused": ["both", "both_with_cue"]}
    lines = []
    for name, correct in right.items():
        by_seed = 100 * correct.mean(axis=1)
        spread = f", SD over seeds {by_seed.std(ddof=1):.1f}" if len(by_seed) > 1 else ""
        line = f"{name}: {by_seed.mean():.1f}{spread} (" + ", ".join(f"{value:.1f}" for value in by_seed) + ")"
        for view in views[name] if ceilings else []:
            assert ceilings is not None
            line += f"; ceiling {view} {100 * ceilings[view]:.1f}, gap {100 * ceilings[view] - by_seed.mean():.1f}"
        lines.append(line)
    return lines


def gate_lines(config: Config, rows: list[TaskRows]) -> list[str]:
    """The context's share of the gates on unreliable and reliable faces, over the seeds."""
    truth = read_truth(Rows(config, build_tasks(config)))
    if truth is None or any(r.gates is None for r in rows):
        return []
    use = rows[0].detected & ~np.any([np.isnan(context_share(r.gates)) for r in rows], axis=0)  # type: ignore[arg-type]
    shares = np.stack([context_share(r.gates[use]) for r in rows])  # type: ignore[index]
    unreliable = ~truth.reindex(rows[0].rows["image"])["reliable"].to_numpy(bool)[use]
    on, off = (np.stack([shares * mark, np.broadcast_to(mark, shares.shape)], axis=2) for mark in (unreliable, ~unreliable))
    gap = statistics.crossed_difference(on, off, rows[0].codes[use])
    means = [100 * part[..., 0].sum() / part[..., 1].sum() for part in (on, off)]
    return [
        f"g_c / (g_f + g_c): {means[0]:.1f}% on {int(unreliable.sum())} unreliable faces, {means[1]:.1f}% on "
        f"{int((~unreliable).sum())} reliable ones; difference {shown(gap, signed=True)} points"
    ]


def shown(estimate: statistics.Estimate, signed: bool = False) -> str:
    """`+3.1 [+1.0, +5.2]` in percent."""
    sign = "+" if signed else ""
    if estimate.low is None or estimate.high is None:
        return f"{100 * estimate.value:{sign}.1f}"
    return f"{100 * estimate.value:{sign}.1f} [{100 * estimate.low:{sign}.1f}, {100 * estimate.high:{sign}.1f}]"


def record(options: argparse.Namespace, lines: list[str]) -> None:
    """Replace this benchmark's block in RESULTS.md; what others wrote there stays."""
    command = " ".join(["python benchmarks/demo_gating.py", "--config", options.config, "--seeds", *map(str, options.seeds)])
    command += "".join(f" --set {override}" for override in options.overrides)
    block = "\n".join(
        [
            BEGIN,
            "## Gating on the drawn scenes",
            "",
            f"`{command}`, {time.strftime('%Y-%m-%d')}, commit {(commit() or 'unknown')[:12]}, {machine_text(machine())}.",
            "",
            *(f"- {line}" for line in lines),
            "",
            END,
        ]
    )
    text = RESULTS.read_text(encoding="utf-8") if RESULTS.exists() else "# Measured results\n"
    if BEGIN in text and END in text:
        text = text[: text.index(BEGIN)] + block + text[text.index(END) + len(END) :]
    else:
        text = text.rstrip("\n") + "\n\n" + block + "\n"
    write_atomic(RESULTS, text)


if __name__ == "__main__":
    main()
