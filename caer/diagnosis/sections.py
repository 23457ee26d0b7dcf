"""Sections of a diagnosis' page, one function each.

Enters: parts of `diagnose.json`, drawn plots, strips of pictures. Leaves: HTML; an empty string where there is nothing to show.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from caer.diagnosis.reliance import REPEATS
from caer.diagnosis.retrain import MASK_ALONE
from caer.diagnosis.words import CHANGES, CONTROLS, EXPLAINED, REGIONS, SWEEPS
from caer.report import html

Json = dict[str, Any]
Drawn = Mapping[str, bytes]


def tiles(task: Json, attention: Json | None) -> str:
    """Key figures of one task: accuracy, what another context costs, the gate, attention on the mask."""
    entries = [("Accuracy", _figure(task["accuracy"]["fused"], "%"), _range(task["accuracy"]["fused"]))]
    if (other := task["reliance"].get("context_of_another")) is not None:
        entries.append(("Another sample's context costs", _figure(other["cost"], "points"), _range(other["cost"])))
    if (gate := task["gate"]) is not None:
        auc = gate["disagreements"]["auc"]
        entries.append(("Gate: AUC on disagreements", html.number(auc["value"], 2), _range(auc, 2)))
        entries.append(("Gate: regret to an oracle", _figure(gate["regret"], "points"), _range(gate["regret"])))
    if attention is not None:
        ratio = attention["mask"]["ratio"]
        entries.append(("Attention on the mask", html.number(ratio["value"], 2), f"× even {_range(ratio, 2)}"))
    return html.tiles(entries)


def _figure(estimate: Json, unit: str) -> str:
    value = estimate["value"]
    return html.NONE if value is None else f'{html.points(value)}<span class="unit">{unit}</span>'


def _range(estimate: Json, digits: int | None = None) -> str:
    """`[74.1, 82.0]` in percent, or with so many digits as a plain number."""
    low, high = estimate["low"], estimate["high"]
    if low is None or high is None:
        return "no interval"
    ends = (html.points(low), html.points(high)) if digits is None else (html.number(low, digits), html.number(high, digits))
    return f"[{ends[0]}, {ends[1]}]"


def reliance_section(task: Json, drawn: Drawn, strips: Sequence[str]) -> str:
    """What each change of the inputs costs."""
    gated = any("context_share" in entry for entry in task["reliance"].values())
    rows = [
        [
            f"{CHANGES[name].capitalize()}<br><small>{EXPLAINED[name]}</small>",
            f"{entry['n']:,}",
            html.estimate_cell(entry["accuracy"]),
            html.estimate_cell(entry["cost"], signed=True),
            *([html.estimate_cell(entry["share_change"], signed=True)] if gated else []),
        ]
        for name, entry in task["reliance"].items()
    ]
    if not rows:
        return ""
    head = ["Changed to", "n", "Accuracy", "Cost", *(["Change of the gates' context share"] if gated else [])]
    said = (
        f"Intact, {html.interval(task['accuracy']['fused'])}% of the answers are right. The cost is what is lost on the same "
        f"rows, in points. A scene is exchanged for the context branch and for the gate at once; {REPEATS} donors are drawn for "
        f"each row, none from its own group. A blank picture is one that the model never trained on: its cost mixes what is "
        f"missing with what is strange."
    )
    alt = "Points of accuracy lost by each change with 95% intervals."
    plot = html.figure(drawn["reliance"], alt, "Accuracy lost on the same rows; the pale bar is the 95% interval.")
    note = (
        "Two samples with the lowest ids of different classes, as the model is shown them: face, context, and what the gate sees."
    )
    pictures = html.paragraph(note, "fine") + "".join(strips)
    return html.section("Does the model use the context?", html.paragraph(said), html.table(head, rows), plot, pictures)


def gate_section(task: Json, drawn: Drawn) -> str:
    """Whom the gate believes, against an oracle and against gates that know nothing of the sample."""
    title, gate = "Is the gate any good?", task["gate"]
    if gate is None:
        said = "This run has no gates between branches that answer for themselves, so whom a gate should believe is not defined."
        return html.section(title, html.paragraph(said))
    known = gate["disagreements"]
    said = (
        f"On {known['n']:,} of {gate['n']:,} rows exactly one branch is right: on {known['context_right']:,} the context. "
        f"Of two such rows, the one in which the context is right has the larger context share with a probability of "
        f"<b>{_plain(known['auc'])}</b> (AUC; 0.5 is chance). The larger gate is that of the right branch on "
        f"{html.interval(known['preferred'])}% of them. An oracle that picks a right branch where there is one has an accuracy "
        f"of {html.interval(gate['accuracy']['oracle'])}%: the regret is <b>{html.interval(gate['regret'])}</b> points."
    )
    return html.section(title, html.paragraph(said), _controls(gate), _risk(gate, drawn))


def _controls(gate: Json) -> str:
    if gate["controls"] is None:
        return html.paragraph(
            "The run's answer is not its branches' logits weighed by its gates, so other gates cannot be put in their place.",
            "fine",
        )
    rows = [["Its own gates", html.estimate_cell(gate["accuracy"]["fused"]), html.NONE]]
    rows += [
        [
            CONTROLS[name].capitalize(),
            html.estimate_cell(control["accuracy"]),
            html.estimate_cell(control["difference"], signed=True),
        ]
        for name, control in gate["controls"].items()
    ]
    return html.table(
        ["Mixed with", "Accuracy", "Its own gates have"], rows, "The same branches, mixed with other gates.", [0], wide=True
    )


def _risk(gate: Json, drawn: Drawn) -> str:
    rows = [
        [name.capitalize(), html.estimate_cell(curve["aurc"], bar=False), html.percent(curve["error"])]
        for name, curve in gate["risk_coverage"].items()
    ]
    caption = "Area under the risk-coverage curve: the mean error rate over all coverages, in percent; lower is better."
    table = html.table(["Answer", "Area", "Error rate"], rows, caption)
    alt = "Error rate among the most confident rows, for the fused answer and each branch."
    return table + html.figure(drawn["risk_coverage"], alt, "If only the most confident answers count, how many are wrong?")


def sweeps_section(task: Json, drawn: Drawn, along: Mapping[str, str]) -> str:
    """One input made worse step by step."""
    parts = []
    for name, steps in task["sweeps"].items():
        title, what = SWEEPS[name]
        alt = f"Accuracies and the gates' context share against the {what}."
        plot = html.figure(drawn[name], alt, f"The {what}. The pale band is the fused answer's 95% interval.")
        parts += [f"<h3>{title}</h3>", along[name], plot, _steps_table(steps)]
    if not parts:
        return ""
    said = (
        "A face is covered or blurred in the crop and in the photo that the gate sees; in the context image it is masked anyway."
    )
    return html.section("When an input gets worse", html.paragraph(said), *parts)


def _steps_table(steps: Sequence[Json]) -> str:
    names = list(steps[0]["accuracy"])
    extra = [key for key in ("fused_minus_sum", "context_share") if key in steps[0]]
    heads = {"fused_minus_sum": "Fused − sum", "context_share": "Context share of the gates"}
    rows = [
        [
            f"{100 * step['strength']:g}%",
            *(html.estimate_cell(step["accuracy"][name], bar=False) for name in names),
            *(html.estimate_cell(step[key], signed=key == "fused_minus_sum", bar=False) for key in extra),
        ]
        for step in steps
    ]
    table = html.table(["", *(name.capitalize() for name in names), *(heads[key] for key in extra)], rows)
    return f"<details><summary>The numbers</summary>{table}</details>"


def attention_section(attention: Json | None) -> str:
    """Attention's share against the area's, on the mask, around it and elsewhere."""
    if attention is None:
        return ""
    rows = [
        [
            name.capitalize(),
            *(html.estimate_cell(attention[key][part], bar=False) for part in ("attention", "area")),
            _plain(attention[key]["ratio"]),
        ]
        for key, name in REGIONS.items()
    ]
    said = (
        "The context branch's attention sums to one over the picture. A ratio of 1 is an even spread; much attention on the mask "
        "would mean that the branch reads the mask's place and size, or what the encoder saw around its edge."
    )
    caption = f"Mean shares over {attention['n']:,} rows, in percent. Around: half a box beyond the mask on each side."
    table = html.table(["Where", "Attention", "Area", "Ratio"], rows, caption, wide=True)
    return html.section("Attention and the mask", html.paragraph(said), table)


def retrained_section(retrained: Json | None, task: str) -> str:
    """The context branch trained again with other masks, and on the mask alone."""
    if retrained is None:
        return ""
    rows = []
    for name, entry in retrained["tasks"][task].items():
        what = "The mask alone" if name == MASK_ALONE else f"Photo, margin {entry['margin']:g}"
        cells = [html.estimate_cell(entry["accuracy"]), html.estimate_cell(entry["over_majority"], signed=True)]
        rows.append([what, f"{entry['n']:,}", *cells])
    said = (
        f"Stage {retrained['stage']} trained again for {retrained['epochs']} epochs with each mask, all else equal. In the last "
        f"row the context image is grey with nothing but the black mask: what such a branch gets right beyond the most frequent "
        f"class of its training rows, the mask's place and size have told it."
    )
    head = ["The context branch sees", "n", "Accuracy", "Over the most frequent class"]
    return html.section("Does the mask give the label away?", html.paragraph(said), html.table(head, rows, wide=True))


def _plain(estimate: Json) -> str:
    """`0.80 [0.71, 0.88]`."""
    if estimate["value"] is None:
        return html.NONE
    return f"{html.number(estimate['value'], 2)} {_range(estimate, 2)}"
