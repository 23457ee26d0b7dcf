"""Tab *Runs*: what was trained, curves and scores side by side, and the pages of evaluations and comparisons."""

import re

import pandas as pd
import streamlit as st

from caer.report.html import interval
from caer.web.run_list import StageEntry, compared, curves, evaluations, find_stages, summary
from caer.web.served import Served
from caer.web.wording import plain


def show(served: Served) -> None:
    """Draw the tab."""
    stages = find_stages(served.runs)
    if not stages:
        st.info(f"There is no run in {plain(served.runs)} yet; train one, for example with `bash scripts/quickstart.sh`.")
    else:
        st.dataframe(summary(stages), hide_index=True, width="stretch")
        by_name = {stage.name: stage for stage in stages}
        names = st.multiselect("Compare", list(by_name), default=list(by_name)[-3:])
        chosen = [by_name[name] for name in names]
        _curves(chosen)
        _scores(chosen)
    _reports(served)


def _curves(stages: list[StageEntry]) -> None:
    metrics = list(dict.fromkeys(c for stage in stages for c in curves(stage).columns if c not in ("epoch", "global_step")))
    if not metrics:
        return
    monitors = [f"val/{(stage.facts.get('monitor') or {}).get('metric')}" for stage in stages]
    first = next((metrics.index(name) for name in monitors if name in metrics), 0)
    metric = st.selectbox("Curve", metrics, index=first, width=320)
    table = compared(stages, metric)
    # a dot or a bracket in a name would be read as a path into the table
    st.line_chart(table.rename(columns=_chart_name), x_label="epoch", y_label=metric, height=320)


def _chart_name(name: str) -> str:
    return re.sub(r"[.:\\\[\]]", "_", name)


def _scores(stages: list[StageEntry]) -> None:
    rows = [
        {"run": stage.name, "split": split} | {metric: interval(estimate) for metric, estimate in scores.items()}
        for stage in {stage.seed_folder: stage for stage in stages}.values()
        for split, scores in evaluations(stage).items()
    ]
    if rows:
        st.caption("Scores of evaluations in percent, with 95% intervals.")
        st.dataframe(pd.DataFrame(rows), hide_index=True, width="stretch")


def _reports(served: Served) -> None:
    entries = {entry.name: entry for entry in served.report_list.entries()}
    if not entries:
        st.caption("Reports of evaluations and comparisons will be shown here.")
        return
    name = st.selectbox("Report", list(entries), index=None, placeholder="choose a report to read")
    if name is not None:
        address = f"/reports/{entries[name].key}"
        st.link_button("Open by itself", address)
        st.iframe(address, height=800)
