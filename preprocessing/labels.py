"""Labels between text and number: a number is finite, and is written whole."""

import math


def number_of(text: str | float) -> float:
    """The number that a text or a number is.

    Raises:
        ValueError: it is none. `nan` and `inf` are none, nor is `4_6`, though Python reads it as 46.
    """
    value = float(text.replace("_", "x") if isinstance(text, str) else text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value


def text_of(number: float) -> str:
    """A number as a name: `3` for 3.0, all digits of large ones."""
    return f"{number:.15g}"
