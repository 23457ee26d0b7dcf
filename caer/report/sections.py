"""Sections of an evaluation's page, one function each.

Enters: one task's entry of `metrics.json` and its drawn plots. Leaves: HTML; an empty string where there is nothing to show.
"""

from collections.abc import Mapping
from typing import Any

from caer.report import html
from caer.report.scored_rows import scores_table

Json = dict[str, Any]
Drawn = Mapping[str, bytes]
SCORES = ("accuracy", "macro_f1", "balanced_accuracy")
SCORE_HEADS = ("Accuracy", "Macro-F1", "Balanced accuracy")


def scores_section(task: Json) -> str:
    """Main scores of all rows and of detected ones."""
    return html.section("Scores", scores_table(task, SCORE_HEADS, score_cells), _order(task))


def _order(task: Json) -> str:
    """How far the answers are off, for classes with an order."""
    if task.get("kind") != "ordered":
        return ""
    scores = task["rows"]["all"]
    return html.paragraph(
        f"Classes in their order: <b>{html.interval(scores['within_one'])}%</b> of the answers are at most one class off; "
        f"quadratic kappa {html.number(scores['quadratic_kappa']['value'])}."
    )


def score_cells(scores: Json) -> list[str]:
    """A cell for each of `SCORE_HEADS`."""
    return [html.estimate_cell(scores[name]) for name in SCORES]


def branches_section(task: Json, drawn: Drawn) -> str:
    """Face, context and fused accuracy side by side, the paired differences, and the ceilings of drawn data."""
    branches = task["branches"]
    if not branches:
        return _ceilings_table(task)
    better = branches["better"]
    rows = []
    for key, name in (("all", "All rows"), ("detected", "With a detected face")):
        side = branches[key]
        if side["n"]:
            values = [html.estimate_cell(side[branch]) for branch in ("face", "context", "fused")]
            gaps = [html.estimate_cell(side["fused_minus"][branch], signed=True) for branch in ("face", "context")]
            rows.append([f"{name}<br><small>n = {side['n']:,}</small>", *values, *gaps])
    side = branches["all"]
    table = html.table(["", "Face", "Context", "Fused", "Fused − face", "Fused − context"], rows)
    gap = html.interval(side["fused_minus"][better], signed=True)
    said = (
        f"The better branch is <b>{better}</b>, chosen on {html.text(branches['chosen_on'])}. Fused − {better}: <b>{gap}</b> "
        f"points, paired; p = {_p(side['p_better'])} by permutation of groups. The two differ in being right on "
        f"{html.percent(side['discordant'])}% of the rows; a true difference of {html.percent(side['smallest_detectable'])} "
        f"points would be found in four of five such samples. Without a face the face branch answers with the class shares of "
        f"its training rows."
    )
    alt = "Accuracy of the face branch, the context branch and the fusion with 95% intervals."
    plot = html.figure(drawn["branches"], alt, _plot_caption(task))
    return html.section("Branches and fusion", html.paragraph(said), table, plot, _ceilings_table(task, inside=True))


def _plot_caption(task: Json) -> str:
    caption = "All rows; the pale bar is the 95% interval."
    if "ceilings" in task:
        caption += (
            " The upright stroke is the ceiling: the best that can be done with what that branch sees (fused: with the cue)."
        )
    return caption


def _ceilings_table(task: Json, inside: bool = False) -> str:
    """Accuracies of the best rules on drawn data."""
    if "ceilings" not in task:
        return ""
    known = task["ceilings"]
    views = {
        "face": "Face only",
        "context": "Context only",
        "both": "Both, without the reliability cue",
        "both_with_cue": "Both, with the cue",
    }
    rows = [
        [name, html.percent(known["expected"][view]), html.percent(known["on_these_labels"][view])]
        for view, name in views.items()
    ]
    caption = (
        "Ceilings: the accuracy of the best possible rule on these drawn scenes, known exactly from how they were drawn; "
        "expected, and as the labels of these rows happened to fall."
    )
    table = html.table(["What is seen", "Expected", "On these labels"], rows, caption)
    return table if inside else html.section("Ceilings", table)


def _p(value: float) -> str:
    return "below 0.001" if value < 0.001 else f"{value:.3f}"


def classes_section(task: Json, drawn: Drawn) -> str:
    """Precision, recall and F1 of each class, and the confusion matrix."""
    rows = [
        [
            html.text(row["class"]),
            f"{row['support']:,}",
            f"{row['predicted']:,}",
            *(html.estimate_cell(row[name]) for name in ("precision", "recall", "f1")),
        ]
        for row in task["per_class"]
    ]
    table = html.table(["Class", "Rows", "Predicted", "Precision", "Recall", "F1"], rows)
    alt = "Confusion matrix, truth in rows, share of each row in the cells."
    figure = html.figure(drawn["confusion"], alt, "All rows. Colour and percentage: share of the true class; below it the count.")
    return html.section("Classes", table, figure)


def calibration_section(task: Json, drawn: Drawn) -> str:
    """NLL, Brier and ECE before and after the temperature, and the reliability diagrams."""
    calibration = task["calibration"]
    rows = [
        [name, html.number(scores["nll"]), html.number(scores["brier"]), html.percent(scores["ece"])]
        for name, scores in (("As trained", calibration["before"]), ("With temperature", calibration["after"]))
        if scores
    ]
    if calibration["temperature"] is None:
        said = "There are no val rows to fit a temperature on."
    else:
        said = f"Temperature {html.number(calibration['temperature'], 2)}, fitted on {html.text(calibration['fitted_on'])}. "
        said += "Above 1 the model was too sure of itself, below 1 not sure enough. The answers stay the same."
    table = html.table(["", "NLL (nats)", "Brier", "ECE (%)"], rows, f"{calibration['n']:,} rows that the model looked at.")
    alt = "Reliability diagrams: accuracy against confidence in 15 bins of equal mass."
    figure = html.figure(drawn["reliability"], alt, "15 bins of equal mass. On the dashed line confidence equals accuracy.")
    return html.section("Calibration", html.paragraph(said), table, figure)


def gates_section(task: Json, drawn: Drawn) -> str:
    """Gates by class, and on drawn data by the reliability of the face."""
    gates = task["gates"]
    if not gates:
        return ""
    rows = [
        [
            "All" if row["group"] == "all" else html.text(row["group"]),
            f"{row['n']:,}",
            f"{row['face_mean']:.2f} <small>± {row['face_sd']:.2f}</small>",
            f"{row['context_mean']:.2f} <small>± {row['context_sd']:.2f}</small>",
            html.estimate_cell(row["context_share"]),
        ]
        for row in gates["by_class"]
    ]
    share = "Context share g<sub>c</sub> / (g<sub>f</sub> + g<sub>c</sub>), %"
    caption = f"{gates['n']:,} rows in which both branches were looked at; mean ± SD."
    last = [len(rows) - 1]
    parts = [_reliability(task), html.table(["True class", "n", "Face gate", "Context gate", share], rows, caption, strong=last)]
    if len(gates["by_source"]) > 2:
        parts.append(_by_source(gates["by_source"]))
    alt = "Mean gates of the face and the context branch by true class."
    parts.append(html.figure(drawn["gates"], alt, "How much each branch is let through, by true class."))
    return html.section("Gates", *parts)


def _by_source(sources: list[Json]) -> str:
    rows = [
        [html.text(r["group"]), f"{r['n']:,}", *(html.number(r[k], 2) for k in ("face_mean", "context_mean", "context_share"))]
        for r in sources
        if r["group"] != "all"
    ]
    return html.table(["Source", "n", "Face gate", "Context gate", "Context share"], rows)


def _reliability(task: Json) -> str:
    known = task.get("gate_reliability")
    if not known:
        return ""
    difference = known["difference"]
    return html.paragraph(
        f"On drawn scenes it is known which faces can be believed. The context's share of the gates is "
        f"<b>{html.interval(known['unreliable'])}%</b> on {known['n_unreliable']:,} unreliable faces and "
        f"<b>{html.interval(known['reliable'])}%</b> on {known['n_reliable']:,} reliable ones: "
        f"<b>{html.interval(difference, signed=True)}</b> points."
    )
