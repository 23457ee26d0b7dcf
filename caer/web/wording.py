"""Text from outside (file names, labels, errors) for Streamlit's Markdown, which would otherwise read marks and links in it."""

import re

_MARKS = re.compile(r"([\\`*_{}\[\]()<>#+\-.!|~$:^=&@])")


def plain(value: object) -> str:
    """Any value so that Markdown shows it as it is; control characters become visible."""
    shown = "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in str(value))
    return _MARKS.sub(r"\\\1", shown)
