"""The main article's six age groups, and how years and FairFace's nine groups fall into them."""

GROUPS = ("baby", "child", "ten-twenty", "thirty-forty", "fifty", "senior")
UPPER = {2: "baby", 9: "child", 29: "ten-twenty", 49: "thirty-forty", 59: "fifty"}
"""Last year of life of each group; above them `senior`."""
RANGES = {
    "0-2": "baby",
    "3-9": "child",
    "10-19": "ten-twenty",
    "20-29": "ten-twenty",
    "30-39": "thirty-forty",
    "40-49": "thirty-forty",
    "50-59": "fifty",
    "60-69": "senior",
    "more than 70": "senior",
}
"""FairFace's age groups as published -> the six groups."""
OLDEST = 130


def six_groups(age: float) -> str:
    """The age group of an age in years."""
    return next((group for last, group in UPPER.items() if age < last + 1), "senior")
