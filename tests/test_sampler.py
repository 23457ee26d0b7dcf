"""The order of an epoch: a function of (seed, stage, epoch) that visits whom it should, in batches that BatchNorm can take."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caer.data import sampler
from caer.data.sampler import EpochBatches, epoch_cells, split_evenly


def batches(*, n=23, weights=(1.0,), sources=None, classes=None, batch_size=4, seed=1, stage=2):
    sources = np.zeros(n, int) if sources is None else np.asarray(sources)
    return EpochBatches(epoch_cells(sources, weights, classes), batch_size, seed, stage)


def order(loader, epoch):
    loader.set_epoch(epoch)
    return [draw for batch in loader for draw in batch]


def test_every_row_once_an_epoch_in_an_order_of_its_own():
    loader = batches()
    first, second = order(loader, 0), order(loader, 1)
    assert sorted(d.row for d in first) == sorted(d.row for d in second) == list(range(23))
    assert [d.row for d in first] != [d.row for d in second]
    assert {d.epoch for d in second} == {1}


def test_order_depends_on_seed_stage_and_epoch_alone():
    loader = batches()
    order(loader, 0)
    resumed = batches()
    assert order(loader, 5) == order(resumed, 5) == order(loader, 5)
    assert order(batches(seed=2), 5) != order(resumed, 5) != order(batches(stage=3), 5)


def test_a_source_is_drawn_as_often_as_its_weight_says():
    loader = batches(weights=(10.0, 1.0, 0.5), sources=[0] * 5 + [1] * 7 + [2] * 10)
    drawn = order(loader, 0)
    count = Counter(d.row for d in drawn)
    assert all(count[i] == 10 for i in range(5))
    assert all(count[i] == 1 for i in range(5, 12))
    assert sum(count[i] for i in range(12, 22)) == 5
    assert len(set(drawn)) == len(drawn), "each visit has its own repeat, so that it is augmented anew"
    assert {d.row for d in drawn if d.row >= 12} != {d.row for d in order(loader, 1) if d.row >= 12}


def test_balanced_sampling_draws_classes_equally_and_every_row_of_the_rare():
    classes = np.array([0] * 60 + [1] * 10 + [2] * 20 + [-1] * 9)
    drawn = order(batches(n=99, classes=classes), 3)
    count = Counter(classes[d.row] for d in drawn)
    assert count == {0: 30, 1: 30, 2: 30, -1: 9}
    assert Counter(d.row for d in drawn if classes[d.row] == 1) == dict.fromkeys(range(60, 70), 3)


def test_balanced_sampling_keeps_the_sources_shares_within_a_class():
    classes, sources = np.array([0] * 30 + [1] * 10), np.array([0] * 15 + [1] * 15 + [0] * 5 + [1] * 5)
    count = Counter(
        (classes[d.row], sources[d.row]) for d in order(batches(weights=(3.0, 1.0), sources=sources, classes=classes), 0)
    )
    assert count == {(0, 0): 30, (0, 1): 10, (1, 0): 30, (1, 1): 10}


@settings(deadline=None)
@given(st.integers(0, 300), st.integers(1, 64))
def test_batches_are_even_and_none_is_lonely(count, size):
    sizes = split_evenly(count, size)
    assert sum(sizes) == count
    assert not sizes or max(sizes) - min(sizes) <= 1
    assert all(s <= max(size, 3) for s in sizes)
    if size > 1 and count > 1:
        assert min(sizes) >= 2


def test_length_is_the_number_of_batches():
    for n in (1, 2, 5, 8, 23):
        assert len(batches(n=n)) == len(list(batches(n=n)))


@pytest.mark.parametrize("world", [2, 3])
def test_ranks_share_an_epoch_in_equally_many_batches(monkeypatch, world):
    seen, counts = Counter(), set()
    for rank in range(world):
        monkeypatch.setattr(sampler, "rank_and_world", lambda rank=rank: (rank, world))
        loader = batches()
        drawn = list(loader)
        counts.add((len(drawn), len(loader)))
        seen.update(d.row for batch in drawn for d in batch)
    assert set(seen) == set(range(23))
    assert len(counts) == 1
    assert sum(seen.values()) - 23 < world
