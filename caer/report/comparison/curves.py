"""Learning curves of each stage, over epochs and over time.

Enters: a `Study`. Leaves: HTML; an empty string where no history is known.
"""

from collections.abc import Mapping, Sequence

from caer.comparison.study import Study
from caer.report import html
from caer.report.comparison import marks, plots

Epochs = Sequence[Mapping[str, float]]


def curves_section(study: Study) -> str:
    """Two plots a stage and the legend; variants that share a stage share its line."""
    stages = sorted(
        {stage for runs in study.runs.values() for run in runs.values() for stage, rows in run.curves.items() if rows}
    )
    if not stages:
        return ""
    words = (
        f"{html.text(study.monitor)} after each epoch, a line a seed; the dot is the best epoch, chosen on val, never on test. "
        "Over minutes the same lines show what the time bought."
    )
    return html.section("Learning curves", html.paragraph(words, "fine"), *(_stage(study, stage) for stage in stages))


def _stage(study: Study, stage: int) -> str:
    shared = by_history(study, stage)
    names = [", ".join(study.labels[variant] for variant in variants) for variants, _ in shared]
    inks = [plots.colour(study.variants.index(variants[0])) for variants, _ in shared]
    curves = [(ink, histories) for ink, (_, histories) in zip(inks, shared, strict=True)]
    figures = [
        html.figure(
            plots.learning_curves(curves, study.monitor, over_time, study.lowest_is_best),
            f"Learning curves of stage {stage} over {axis}.",
            f"Stage {stage}, over {axis}.",
        )
        for over_time, axis in ((False, "epochs"), (True, "training time"))
    ]
    legend = marks.legend(zip(names, inks, strict=True))
    return f'<h3>Stage {stage}</h3>{legend}<div class="pair">{"".join(figures)}</div>'


def by_history(study: Study, stage: int) -> list[tuple[list[str], list[Epochs]]]:
    """Variants with a stage's histories, one a seed; variants with the very same histories (a shared stage) stand together."""
    together: list[tuple[list[str], list[Epochs]]] = []
    for variant in study.variants:
        histories = [rows for run in study.runs[variant].values() if (rows := run.curves.get(stage))]
        same = next((variants for variants, known in together if known == histories), None)
        if same is not None:
            same.append(variant)
        elif histories:
            together.append(([variant], histories))
    return together
