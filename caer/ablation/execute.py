"""Train and judge all runs of an ablation, from wherever an earlier call was stopped."""

import time
import traceback
from collections.abc import Collection, Sequence
from pathlib import Path

from caer.ablation.config import AblationConfig
from caer.ablation.plan import PlannedRun, check, is_judged, select, users
from caer.ablation.progress import Timekeeper
from caer.ablation.record import declare, read_failures, write_record
from caer.ablation.sharing import is_same_stage, take_over
from caer.engine.checkpoint import finished, read_provenance
from caer.engine.run import fit_stage
from caer.evaluation.evaluate import evaluate_run
from preprocessing.errors import UserError
from preprocessing.files import sole_writer, write_atomic

Failures = dict[tuple[str, int], str]


def execute(ablation: AblationConfig, runs: Sequence[PlannedRun], only: Collection[str] = ()) -> Failures:
    """Train what is not trained, judge what is not judged.

    Args:
        ablation: the ablation.
        runs: its whole plan (`caer.ablation.plan.plan`).
        only: variants to train and judge now; stages that any other has trained are taken over.

    Returns:
        By (variant, seed) why a run failed; the others went on.

    Raises:
        UserError: before anything is trained: absent data, folders of other settings, another process at work.
    """
    todo = select(runs, only)
    check(ablation, todo)
    with sole_writer(ablation.folder):
        return _Execution(ablation, todo, users(runs)).run()


class _Execution:
    def __init__(self, ablation: AblationConfig, runs: Sequence[PlannedRun], needed_by: dict[str, list[PlannedRun]]) -> None:
        self.ablation, self.runs, self.needed_by = ablation, runs, needed_by
        self.time = Timekeeper(runs, ablation.split)
        self.failed: Failures = {}
        self.failed_stages: dict[str, str] = {}

    def run(self) -> Failures:
        tried = {(run.variant, run.seed) for run in self.runs}
        earlier = {key: reason for key, reason in read_failures(self.ablation).items() if key not in tried}
        declare(self.ablation)
        write_record(self.ablation, earlier)
        for run in self.runs:
            self.time.begin()
            try:
                self._one(run)
            except BrokenPipeError:
                raise
            except Exception as error:
                self._note_failure(run, error)
                write_record(self.ablation, earlier | self.failed)
        return self.failed

    def _one(self, run: PlannedRun) -> None:
        if is_judged(run, self.ablation.split):
            self.time.line(run, "done before")
            return
        for number in run.recipes:
            if not finished(run.stage(number)):
                self._train(run, number)
        start = time.monotonic()
        self.time.line(run, f"judging {run.judged.name} on {self.ablation.split}")
        evaluate_run(run.folder, self.ablation.split, report=False, reuse=True)
        self.time.judged(run, time.monotonic() - start)

    def _train(self, run: PlannedRun, number: int) -> None:
        made = run.recipes[number]
        if made in self.failed_stages:
            raise UserError(f"stage {number} is the one that failed: {self.failed_stages[made]}")
        if (donor := self._donor(run, number)) is not None:
            folder = take_over(donor, run.config, number)
            self.time.trained(run, number, read_provenance(folder)["seconds"])
            self.time.line(run, f"stage {number} is that of {donor}")
            return
        self.time.line(run, f"stage {number}")
        start = time.monotonic()
        try:
            fit_stage(run.config, number)
        except Exception as error:
            self.failed_stages[made] = _one_line(error)
            raise
        self.time.trained(run, number, time.monotonic() - start)

    def _donor(self, run: PlannedRun, number: int) -> Path | None:
        """Where the same stage lies finished: in another variant, or in a run to adopt from."""
        others = [user.stage(number) for user in self.needed_by[run.recipes[number]] if user is not run]
        adopted = [folder / f"seed{run.seed}" / f"stage{number}" for folder in self.ablation.adopt]
        return next((folder for folder in (*others, *adopted) if is_same_stage(folder, run.config, number)), None)

    def _note_failure(self, run: PlannedRun, error: Exception) -> None:
        reason = _one_line(error)
        if not isinstance(error, UserError):
            trace = run.folder / "failure.txt"
            write_atomic(trace, "".join(traceback.format_exception(error)))
            reason += f" ({trace})"
        self.failed[run.variant, run.seed] = reason
        self.time.line(run, f"FAILED: {reason}")


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if isinstance(error, UserError) else f"{type(error).__name__}: {text}"
