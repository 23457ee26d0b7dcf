"""The answer for a face as HTML: bars by class, what would be said with a part hidden, gates. Labels are escaped.

Enters: answers. Leaves: HTML for `st.html`, which takes scripts out besides.
"""

from collections.abc import Mapping

import numpy as np

from caer.predict import FacePrediction
from caer.predict.answers import names_of, one_of, plain
from caer.report.html import text
from caer.report.style import COLOURS
from caer.tasks import Task
from caer.web.what_if import Imagined, Way

_HIDDEN: tuple[tuple[Way, str], ...] = (("context hidden", COLOURS["face"]), ("face hidden", COLOURS["context"]))
MOST_ROWS = 12
"""Classes with bars; the most probable where a task has more."""

CSS = f"""<style>
.caer h4{{font-size:1.05rem;margin:.1rem 0 .1rem;padding:0;overflow-wrap:anywhere}}
.caer .fine{{opacity:.72;font-size:.85rem;margin:.1rem 0 .5rem;overflow-wrap:anywhere}}
.caer .row{{display:grid;grid-template-columns:minmax(4.5rem,26%) 1fr 3.2rem;gap:.6rem;align-items:center;padding:.2rem 0;
font-variant-numeric:tabular-nums}}
.caer .row>span:first-child{{overflow:hidden;text-overflow:ellipsis;white-space:nowrap}}
.caer .row>span:last-child{{text-align:right}}
.caer .best{{font-weight:650}}
.caer .bars i{{display:block;height:.7rem;border-radius:.2rem;background:{COLOURS["ideal"]};min-width:1px}}
.caer .best .bars i:first-child{{background:{COLOURS["fused"]}}}
.caer .bars i+i{{height:.25rem;margin-top:.15rem}}
.caer .bars .face,.caer .key .face{{background:{COLOURS["face"]}}}
.caer .bars .context,.caer .key .context{{background:{COLOURS["context"]}}}
.caer .key{{display:flex;flex-wrap:wrap;gap:.2rem 1rem;font-size:.82rem;opacity:.85;margin:.3rem 0}}
.caer .key i{{display:inline-block;width:1.4rem;height:.3rem;border-radius:.15rem;margin-right:.35rem;vertical-align:middle}}
</style>"""


def answer_card(face: FacePrediction, tasks: Mapping[str, Task], imagined: Mapping[Way, Imagined] | None) -> str:
    """A card for one face, or for a photo without one.

    Args:
        face: the answer.
        tasks: the network's tasks by name.
        imagined: answers with a part hidden, None without.
    """
    parts = [f"<h4>{_title(face)}</h4>", f'<p class="fine">{text(_how(face))}</p>']
    for name, task in tasks.items():
        if name in face.label:
            parts.append(_task(name, task, face, imagined or {}))
    return f'<div class="caer">{"".join(parts)}</div>'


def _title(face: FacePrediction) -> str:
    who = f"Face {face.rank + 1}" if face.box is not None else "No face"
    answers = []
    for name, label in face.label.items():
        shown = plain(label)
        sure = f" {face.confidence[name]:.0%}" if name in face.confidence else ""
        answers.append(f"{shown:.3g}" if isinstance(shown, float) else f"{shown}{sure}")
    return text(": ".join([who, ", ".join(answers)] if answers else [who]))


def _how(face: FacePrediction) -> str:
    if face.answered_by == "none":
        return f"{face.status}: {face.reason or 'no answer'}"
    if face.answered_by == "context":
        return f"{face.status}: answered from the context alone. {face.reason}"
    score = "" if face.score is None else f"detector score {face.score:.2f}"
    return score if face.status == "ok" else f"{face.status}: {face.reason}"


def _task(name: str, task: Task, face: FacePrediction, imagined: Mapping[Way, Imagined]) -> str:
    classes = names_of(task)
    if not classes:
        return f'<p class="fine">{text(name)}: {plain(face.label[name]):.3g}</p>'
    now = face.calibrated[name]
    hidden = {way: imagined[way].probabilities[name] for way, _ in _HIDDEN if way in imagined}
    order = range(len(classes)) if len(classes) <= MOST_ROWS else np.argsort(-now)[:MOST_ROWS]
    best = int(np.argmax(now)) if one_of(task) else -1
    rows = [_row(classes[k], float(now[k]), {way: float(p[k]) for way, p in hidden.items()}, k == best) for k in order]
    return f'<p class="fine">{text(name)}</p>{"".join(rows)}{_key(hidden)}{_gates(name, face)}'


def _row(label: str, now: float, hidden: Mapping[Way, float], best: bool) -> str:
    bars = f'<i style="width:{100 * now:.1f}%"></i>'
    for way, value in hidden.items():
        bars += f'<i class="{_shade(way)}" style="width:{100 * value:.1f}%" title="{way}: {value:.0%}"></i>'
    name = f'<span title="{text(label)}">{text(label)}</span>'
    kind = "row best" if best else "row"
    return f'<div class="{kind}">{name}<span class="bars">{bars}</span><span>{now:.0%}</span></div>'


def _shade(way: Way) -> str:
    """Hidden context leaves the face, and the other way round: the colour is that of what is left."""
    return "face" if way == "context hidden" else "context"


def _key(hidden: Mapping[Way, object]) -> str:
    entries = "".join(f'<span><i class="{_shade(way)}"></i>{way}</span>' for way in hidden)
    return f'<div class="key">{entries}</div>' if entries else ""


def _gates(name: str, face: FacePrediction) -> str:
    if face.gates is None or name not in face.gates:
        return ""
    gates = np.asarray(face.gates[name], dtype=np.float64)
    mean = gates if gates.ndim == 1 else gates.mean(axis=1)
    each = "" if gates.ndim == 1 else ", mean over the classes"
    rows = "".join(
        f'<div class="row"><span>{branch} gate</span><span class="bars"><i class="{branch}" '
        f'style="height:.5rem;margin:0;width:{100 * min(value, 1):.1f}%"></i></span><span>{value:.2f}</span></div>'
        for branch, value in zip(("face", "context"), mean, strict=True)
    )
    return f'<p class="fine">what counts for {text(name)}{each}</p>{rows}'
