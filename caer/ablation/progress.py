"""How far an ablation is: plain lines with variant, seed, what is done, and the time left."""

import time
from collections.abc import Sequence

from caer.ablation.plan import PlannedRun, is_judged, users
from caer.engine.checkpoint import finished, read_provenance
from caer.engine.history import clock, say


class Timekeeper:
    """Judges the time left by what stages of the same kind took; a kind never seen counts as the mean of the others.

    Args:
        runs: the plan.
        split: what runs are judged on.
    """

    def __init__(self, runs: Sequence[PlannedRun], split: str) -> None:
        self.started, self.count, self.index = time.monotonic(), len(runs), 0
        self._pending = {made: mine[0].shapes[mine[0].number(made)] for made, mine in users(runs).items()}
        self._to_judge = {(run.variant, run.seed) for run in runs if not is_judged(run, split)}
        self._seconds: dict[str, float] = {}
        self._judging: list[float] = []
        for run in runs:
            for number, made in run.recipes.items():
                if finished(run.stage(number)):
                    self.trained(run, number, read_provenance(run.stage(number))["seconds"])
                    self._pending.pop(made, None)

    def begin(self) -> None:
        """The next run of the plan."""
        self.index += 1

    def trained(self, run: PlannedRun, number: int, seconds: float) -> None:
        """A stage is there; it took so long."""
        self._seconds[run.shapes[number]] = seconds
        self._pending.pop(run.recipes[number], None)

    def judged(self, run: PlannedRun, seconds: float) -> None:
        """A run is judged."""
        self._judging.append(seconds)
        self._to_judge.discard((run.variant, run.seed))

    def left(self) -> float | None:
        """Seconds until the end; None before anything was timed."""
        if not self._seconds:
            return None if self._pending else 0.0
        mean = sum(self._seconds.values()) / len(self._seconds)
        training = sum(self._seconds.get(shape, mean) for shape in self._pending.values())
        judging = sum(self._judging) / len(self._judging) if self._judging else 0.0
        return training + judging * len(self._to_judge)

    def line(self, run: PlannedRun, text: str) -> None:
        """`[3/12] gating seed 17: TEXT; elapsed 4:05, about 12:10 left`."""
        left = self.left()
        remaining = "time left unknown yet" if left is None else f"about {clock(left)} left"
        elapsed = clock(time.monotonic() - self.started)
        say(f"[{self.index}/{self.count}] {run.variant} seed {run.seed}: {text}; elapsed {elapsed}, {remaining}")
