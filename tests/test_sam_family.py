"""SAM's relatives: an interval between its steps uphill, and ASAM, also through a config."""

import math

import pytest
import torch
from torch import nn

from caer.config import Stage
from caer.engine.optim import build_optimizer
from caer.engine.sam import SAM


def setup(seed=0, **options):
    """A small regression: the optimizer, a closure that counts its calls, the weights."""
    torch.manual_seed(seed)
    model = nn.Linear(4, 2)
    x, y = torch.randn(8, 4), torch.randn(8, 2)
    optimizer = SAM(model.parameters(), torch.optim.SGD, lr=0.1, **options)
    calls = []

    def closure():
        optimizer.zero_grad()
        loss = (model(x) - y).square().mean()
        loss.backward()
        calls.append(loss.item())
        return loss

    return model, optimizer, closure, calls


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()]).clone()


@pytest.mark.parametrize(("interval", "passes"), [(1, 12), (2, 9), (3, 8), (10, 7)])
def test_interval_saves_second_passes(interval, passes):
    _, optimizer, closure, calls = setup(interval=interval)
    for _ in range(6):
        optimizer.step(closure)
    assert len(calls) == passes == 6 + math.ceil(6 / interval)


def test_updates_in_between_are_those_of_the_base_optimizer():
    model, optimizer, closure, _ = setup(rho=0.5, interval=2)
    optimizer.step(closure)
    after_first = weights(model)
    optimizer.step(closure)
    plain, base, base_closure, _ = setup(rho=0.0)
    torch.nn.utils.vector_to_parameters(after_first.clone(), plain.parameters())
    base.step(base_closure)
    assert torch.equal(weights(model), weights(plain))
    sharp, always, always_closure, _ = setup(rho=0.5)
    torch.nn.utils.vector_to_parameters(after_first.clone(), sharp.parameters())
    always.step(always_closure)
    assert not torch.equal(weights(model), weights(sharp))


def test_the_count_of_updates_survives_a_checkpoint():
    """Killed after an odd number of updates, a resumed run must not start the interval anew."""
    model, optimizer, closure, _ = setup(rho=0.5, interval=2)
    for _ in range(3):
        optimizer.step(closure)
    again, resumed, resumed_closure, calls = setup(rho=0.5, interval=2)
    again.load_state_dict(model.state_dict())
    resumed.load_state_dict(optimizer.state_dict())
    optimizer.step(closure)
    resumed.step(resumed_closure)
    assert len(calls) == 1
    assert torch.equal(weights(model), weights(again))


def test_asam_steps_in_units_of_each_weight():
    """One weight each of 2 and 0.5, loss a*w1 + b*w2: e = rho * w^2 g / |w g|, so the second gradient is taken at w + e."""
    w = nn.Parameter(torch.tensor([2.0, 0.5]))
    g = torch.tensor([0.3, -1.2])
    optimizer = SAM([w], torch.optim.SGD, rho=0.5, adaptive=True, lr=1e-3)
    seen = []

    def closure():
        optimizer.zero_grad()
        seen.append(w.detach().clone())
        loss = (g * w).sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    start = torch.tensor([2.0, 0.5])
    expected = start + 0.5 * start.square() * g / (start * g).norm()
    torch.testing.assert_close(seen[1], expected)
    torch.testing.assert_close(w.detach(), start - 1e-3 * g)


def test_a_config_reaches_the_optimizer():
    options = {"type": "sam", "base": "sgd", "lr": 0.1, "rho": 0.5, "adaptive": True, "interval": 3}
    stage = Stage(output="face", trainable=[".*"], epochs=1, optimizer=options)
    optimizer = build_optimizer({"w": nn.Parameter(torch.ones(2))}, stage)
    group = optimizer.param_groups[0]
    assert (group["rho"], group["adaptive"], group["interval"]) == (0.5, True, 3)


def test_an_interval_below_one_is_refused():
    with pytest.raises(ValueError, match="at least 1"):
        setup(interval=0)
