"""The page `python -m caer app`: review, predict, library, runs. Streamlit is imported by `server`, `page` and `tabs` only."""
