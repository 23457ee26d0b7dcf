"""Streamlit's script: the frame of the page and its tabs. Runs once for each change in a browser; only the open tab is drawn."""

from importlib import import_module

import streamlit as st

from caer.web.served import current

TABS = ("Review", "Predict", "Library", "Runs")
"""Each is a file of `caer.web.tabs`, loaded when it is first opened: the review does without PyTorch."""

st.set_page_config(page_title="Context-aware emotion", layout="wide")
st.html("<style>.stMainBlockContainer{padding-top:1.4rem;padding-bottom:2rem;max-width:84rem}</style>")
for name, tab in zip(TABS, st.tabs(TABS, key="tab", on_change="rerun", bind="query-params"), strict=True):
    if tab.open:
        with tab:
            import_module(f"caer.web.tabs.{name.lower()}").show(current())
