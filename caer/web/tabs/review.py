"""Tab *Review*: filters by Streamlit, the contact sheet by a component of our own (`review.js`).

The sheet decides in the browser at once and sends each decision by itself, with the sample's id in it. A button of Streamlit's
would decide about whatever sample the server had got to, and two quick presses can arrive as one.
"""

from pathlib import Path
from typing import Any, Literal

import streamlit as st

from caer.web.bench import Loaded
from caer.web.samples import PAGE_SIZE, Filters, pages
from caer.web.served import Served
from caer.web.wording import plain
from preprocessing.decisions import Decisions
from preprocessing.errors import UserError

REVIEWED: tuple[Literal["any", "no", "yes"], ...] = ("any", "no", "yes")
_FOLDER = Path(__file__).parent.parent
_PARTS = ("review.html", "review.css", "review_queue.js", "review.js")


def show(served: Served) -> None:
    """Draw the tab."""
    if served.bench is None:
        st.info("Start the page with `--data OUT`, a folder that `scripts/preprocess.sh` made, to review its samples.")
        return
    try:
        loaded = served.bench.loaded()
        decisions = loaded.journal.decisions()
    except UserError as error:
        st.error(plain(error))
        return
    filters = _filters(loaded)
    chosen = _selection(loaded, decisions, filters)
    _component()(key="review_sheet", data=_page(loaded, decisions, filters.task, chosen), on_turn_change=_turn)


def _page(loaded: Loaded, decisions: Decisions, task: str, chosen: list[int]) -> dict[str, Any]:
    """What the sheet shows: one page of the chosen samples, and what may be done to them."""
    samples = loaded.samples
    count = pages(len(chosen), PAGE_SIZE)
    number = min(st.session_state["review_page"], count - 1)
    labels = {name: samples.labels(name) if kind == "string" else [] for name, kind in samples.types.items()}
    return {
        "items": [samples.item(i, decisions) for i in chosen[number * PAGE_SIZE : (number + 1) * PAGE_SIZE]],
        "page": number,
        "pages": count,
        "selected": len(chosen),
        "total": len(samples.rows),
        "reviewed": len(decisions.history),
        "tasks": {name: {"kind": kind, "labels": labels[name]} for name, kind in samples.types.items()},
        "task": task,
        "choosable": samples.choosable,
        "version": loaded.version,
    }


def _turn() -> None:
    """Go to the page that the sheet asks for."""
    wanted = st.session_state["review_sheet"].get("turn")
    if isinstance(wanted, int):
        st.session_state["review_page"] = max(0, wanted)


def _selection(loaded: Loaded, decisions: Decisions, filters: Filters) -> list[int]:
    """Rows under review. They stay while one decides: a page does not lose the samples that no longer pass its filter."""
    asked = (filters, loaded.version, st.session_state.get("review_refresh", 0))
    if st.session_state.get("review_asked") != asked:
        st.session_state.update(review_asked=asked, review_chosen=loaded.samples.choose(filters, decisions), review_page=0)
    chosen: list[int] = st.session_state["review_chosen"]
    return chosen


def _filters(loaded: Loaded) -> Filters:
    samples = loaded.samples
    with st.expander("Filters", icon=":material/filter_alt:"):
        with st.container(horizontal=True):
            task = st.selectbox("Task", list(samples.types), width=180) or ""
            reviewed = st.segmented_control("Reviewed", REVIEWED, default=REVIEWED[0], required=True)
            several = st.toggle("Several faces")
            suspected = st.toggle(
                "Suspected label", disabled=samples.suspects.empty, help=_about_suspects(samples.suspects.empty)
            )
        with st.container(horizontal=True):
            statuses = _several("Status", sorted({*samples.values("status"), "rejected"}))
            labels = _several("Label", [*samples.labels(task), ""] if task else [])
            splits = _several("Split", samples.values("split"))
            sources = _several("Source", samples.values("source"))
        low, high = st.slider("Detector score", 0.0, 1.0, (0.0, 1.0), 0.01, width=400)
        st.button("Apply again", on_click=_refresh, help="Leave out what no longer passes the filters.")
    return Filters(
        statuses=statuses,
        splits=splits,
        sources=sources,
        task=task,
        labels=labels,
        score=(low, high),
        several_faces=several,
        suspected=suspected,
        reviewed=reviewed or "any",
    )


def _several(name: str, values: list[str]) -> tuple[str, ...]:
    return tuple(st.multiselect(name, values, format_func=lambda value: value or "none", width=260))


def _about_suspects(absent: bool) -> str:
    return "`python -m caer audit` lists suspected labels; there is no list here yet." if absent else "Most suspected first."


def _refresh() -> None:
    st.session_state["review_refresh"] = st.session_state.get("review_refresh", 0) + 1


@st.cache_resource
def _component() -> Any:
    html, css, queue, sheet = ((_FOLDER / name).read_text(encoding="utf-8") for name in _PARTS)
    return st.components.v2.component("caer_review", html=html, css=css, js=queue + sheet)
