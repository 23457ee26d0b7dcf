"""The run's ledger: one line for each look at rows that nothing may be selected on.

Enters: what was evaluated. Leaves: `ledger.jsonl` in the run's seed folder, append-only; a line is written before any score of
that look is shown or stored.
"""

import fcntl
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from preprocessing.errors import UserError

NAME = "ledger.jsonl"


def read_ledger(folder: Path) -> list[dict[str, Any]]:
    """All lines of a run's ledger, oldest first.

    Raises:
        UserError: a line is no JSON object.
    """
    path = folder / NAME
    if not path.exists():
        return []
    try:
        looks = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line.strip()]
    except ValueError as error:
        raise UserError(f"{path}: not a ledger of JSON lines ({error}); restore it from a backup") from None
    if not all(isinstance(look, dict) for look in looks):
        raise UserError(f"{path}: not a ledger of JSON lines (a line is no object); restore it from a backup")
    return looks


def record_look(folder: Path, look: dict[str, Any]) -> dict[str, Any]:
    """Append a look with its time and `earlier_looks` (looks at the same split before it), and return the line.

    Args:
        folder: the run's seed folder.
        look: `split`, `stage`, `commit`, `row_hash`, `scores` and what else tells the look apart.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / NAME, "a+", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        earlier = sum(line.get("split") == look["split"] for line in read_ledger(folder))
        line = {"time": datetime.now(UTC).isoformat(timespec="seconds"), **look, "earlier_looks": earlier}
        file.write(json.dumps(line, sort_keys=True, ensure_ascii=False) + "\n")
        file.flush()
        os.fsync(file.fileno())
    return line
