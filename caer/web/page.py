"""Streamlit's script: the frame of the page and its tabs. Runs once for each change in a browser; only the open tab is drawn."""

import streamlit as st

from caer.web.served import current
from caer.web.tabs import review

TABS = {"Review": review.show}

st.set_page_config(page_title="Context-aware emotion", layout="wide")
st.html("<style>.stMainBlockContainer{padding-top:1.4rem;padding-bottom:2rem;max-width:84rem}</style>")
served = current()
for name, tab in zip(TABS, st.tabs(list(TABS), key="tab", on_change="rerun", bind="query-params"), strict=True):
    if tab.open:
        with tab:
            TABS[name](served)
