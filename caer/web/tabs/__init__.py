"""One file a tab: `show(served)` draws it with Streamlit; what can be decided without a browser lies in `caer.web`."""
