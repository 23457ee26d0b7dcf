"""Where benchmarks write what they measured: a block per benchmark in a Markdown file, with command, date, commit, machine."""

import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from preprocessing.files import write_atomic

RESULTS = Path(__file__).with_name("RESULTS.md")


def record(name: str, title: str, lines: Sequence[str], path: Path = RESULTS) -> None:
    """Replace the block of a benchmark, or add it at the end; what others wrote in the file stays.

    Args:
        name: of the benchmark; marks the block.
        title: its heading.
        lines: Markdown.
        path: the file.
    """
    from caer.engine.provenance import commit, machine, machine_text  # brings PyTorch, but not where memory is measured

    begin, end = f"<!-- {name} begin -->", f"<!-- {name} end -->"
    command = shlex.join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *(a for a in sys.argv[1:] if a != "--record")])
    source = f"`{command}`, {time.strftime('%Y-%m-%d')}, commit {(commit() or 'unknown')[:12]}, {machine_text(machine())}."
    block = "\n".join([begin, f"## {title}", "", source, "", *lines, "", end])
    text = path.read_text(encoding="utf-8") if path.exists() else "# Measured results\n"
    if begin in text and end in text:
        text = text[: text.index(begin)] + block + text[text.index(end) + len(end) :]
    else:
        text = f"{text.rstrip()}\n\n{block}\n"
    write_atomic(path, text)
    print(f"recorded in {path}")
