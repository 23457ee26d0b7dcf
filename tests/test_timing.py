"""Forward passes are timed without the first one, and the model is left as it was."""

import time

import pytest
import torch
from torch import nn

from caer.evaluation.timing import ForwardTime, forward_time


class Slow(nn.Module):
    def forward(self, batch):
        time.sleep(0.01 * len(batch["has_face"]))
        return batch["has_face"]


def test_milliseconds_a_row_leave_the_first_pass_out():
    measured = ForwardTime(torch.device("cpu"), passes=[(9.0, 4), (0.3, 4), (0.1, 1)])
    assert measured.milliseconds() == pytest.approx(1000 * 0.4 / 5)
    assert ForwardTime(torch.device("cpu"), passes=[(0.2, 4)]).milliseconds() == pytest.approx(50)
    assert ForwardTime(torch.device("cpu")).milliseconds() is None


def test_every_pass_counts_until_the_context_ends():
    model, batch = Slow(), {"has_face": torch.ones(3)}
    with forward_time(model, torch.device("cpu")) as measured:
        model(batch)
        model(batch)
    model(batch)
    assert [rows for _, rows in measured.passes] == [3, 3]
    assert measured.milliseconds() >= 10
    assert not model._forward_hooks
    assert not model._forward_pre_hooks
