"""The report of a comparison: one page, the same in Markdown, and every number as CSV."""
