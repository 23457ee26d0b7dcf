"""What trains in a stage: patterns, train and eval mode, learning rates, parts taken over from earlier stages."""

import math

import pytest
import torch
from torch import nn

from caer.config import Schedule, Stage
from caer.engine.optim import best_epoch, build_optimizer, plateaus, rate, set_learning_rates
from caer.engine.sam import SAM
from caer.engine.stages import count_parameters, freeze_all_but, load_part, set_training, trainable_parameters
from preprocessing.errors import UserError


class Net(nn.Module):
    """Two parts with all that has a mode: BatchNorm, dropout, plain layers."""

    def __init__(self):
        super().__init__()
        self.face = nn.ModuleDict(
            {"body": nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.5)), "head": nn.Linear(4, 2)}
        )
        self.fusion = nn.Sequential(nn.Linear(4, 2), nn.Dropout(0.5))


def stage(**options):
    return Stage.model_validate({"output": "face", "trainable": [".*"], "epochs": 10, **options})


def test_patterns_match_names_in_full():
    assert list(trainable_parameters(Net(), [r"fusion\..*"])) == ["fusion.0.weight", "fusion.0.bias"]
    assert list(trainable_parameters(Net(), [r"face\.head\.bias", r"fusion\.0\.bias"])) == ["face.head.bias", "fusion.0.bias"]


@pytest.mark.parametrize("pattern", ["fusion", "face.head", "fusoin\\..*"])
def test_a_pattern_that_matches_nothing_lists_the_parts(pattern):
    with pytest.raises(UserError, match=r"matches no parameter in full; the parts are face\.body, face\.head, fusion\.0"):
        trainable_parameters(Net(), [r"face\..*", pattern])


def test_a_broken_pattern_is_named():
    with pytest.raises(UserError, match="is not a regular expression"):
        trainable_parameters(Net(), ["(face"])


def test_what_is_frozen_is_in_eval_mode_with_all_below_it():
    net = Net()
    freeze_all_but(net, trainable_parameters(net, [r"fusion\..*"]))
    net.train()
    set_training(net)
    modes = {name: module.training for name, module in net.named_modules()}
    assert not any(mode for name, mode in modes.items() if name.startswith("face"))
    assert modes["fusion.0"]
    assert modes["fusion.1"], "dropout goes with what holds it"


def test_in_a_part_that_trains_in_part_only_the_frozen_batchnorm_is_still():
    net = Net()
    freeze_all_but(net, trainable_parameters(net, [r"face\.body\.0\..*"]))
    set_training(net)
    assert net.face["body"][0].training
    assert net.face["body"][3].training
    assert not net.face["body"][1].training
    assert not net.face["head"].training
    assert count_parameters(net) == (112, 140)


def test_freezing_drops_old_gradients():
    net = Net()
    net.fusion(torch.ones(1, 4)).sum().backward()
    freeze_all_but(net, ["face.head.bias"])
    assert all(p.grad is None for p in net.fusion.parameters())


def test_groups_have_their_own_rate_and_the_first_match_wins():
    net = Net()
    groups = [{"pattern": r"face\.head\..*", "lr": 0.5}, {"pattern": r"face\..*", "lr": 0.25}]
    optimizer = build_optimizer(dict(net.named_parameters()), stage(groups=groups, optimizer={"type": "sgd", "lr": 0.125}))
    rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    found = {name: rates[id(p)] for name, p in net.named_parameters()}
    assert found["face.head.weight"] == 0.5
    assert found["face.body.0.weight"] == 0.25
    assert found["fusion.0.bias"] == 0.125
    with pytest.raises(UserError, match="groups: pattern 'head' matches no parameter"):
        build_optimizer(dict(net.named_parameters()), stage(groups=[{"pattern": "head", "lr": 1.0}]))


@pytest.mark.parametrize("base", ["adam", "adamw", "sgd"])
def test_optimizers_and_sam_over_each(base):
    parameters = dict(Net().named_parameters())
    plain = build_optimizer(parameters, stage(optimizer={"type": base, "weight_decay": 0.01}))
    sharp = build_optimizer(parameters, stage(optimizer={"type": "sam", "base": base, "rho": 0.1, "adaptive": True}))
    assert type(plain).__name__.lower() == base
    assert plain.param_groups[0]["weight_decay"] == 0.01
    assert isinstance(sharp, SAM)
    assert type(sharp.base) is type(plain)
    assert sharp.param_groups[0]["rho"] == 0.1


def test_weight_decay_can_spare_biases_and_normalisation():
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    options = {"type": "sgd", "lr": 0.5, "weight_decay": 0.1, "decay_vectors": False}
    optimizer = build_optimizer(dict(net.named_parameters()), stage(optimizer=options, groups=[{"pattern": "0.*", "lr": 0.25}]))
    before = {name: value.detach().clone() for name, value in net.named_parameters()}
    for value in net.parameters():
        value.grad = torch.zeros_like(value)
    optimizer.step()
    changed = {name for name, value in net.named_parameters() if not torch.equal(value, before[name])}
    assert changed == {"0.weight"}
    torch.testing.assert_close(net[0].weight, before["0.weight"] * (1 - 0.25 * 0.1))
    assert {group["initial_lr"] for group in optimizer.param_groups} == {0.25, 0.5}
    with pytest.raises(ValueError, match="`weight_decay` is 0"):
        stage(optimizer={"type": "sgd", "decay_vectors": False})


def rates_of(schedule, epochs=10, scores=(), base=1.0):
    schedule = Schedule.model_validate(schedule)
    return [rate(schedule, base, epoch, epochs, scores=scores[:epoch], mode="max") for epoch in range(epochs)]


def test_cosine_starts_at_the_rate_and_falls_to_the_floor():
    rates = rates_of({"type": "cosine", "min_lr": 0.1})
    assert rates[0] == 1.0
    assert rates == sorted(rates, reverse=True)
    assert rates[5] == pytest.approx(0.55)
    assert rates[9] == pytest.approx(0.1 + 0.9 * (1 + math.cos(0.9 * math.pi)) / 2)


def test_step_divides_every_so_many_epochs():
    assert rates_of({"type": "step", "step_size": 4, "gamma": 0.1}, 9) == pytest.approx([1] * 4 + [0.1] * 4 + [0.01])
    assert rates_of({"type": "step", "step_size": 1, "gamma": 0.1, "min_lr": 0.05}, 3) == pytest.approx([1, 0.1, 0.05])


def test_decay_falls_after_so_many_updates_whatever_the_epoch():
    schedule = Schedule(type="decay", gamma=0.95, every=2000)
    rates = [rate(schedule, 0.01, epoch, 9, scores=(), mode="max", updates=n) for epoch in (0, 5) for n in (0, 1999, 2000, 6001)]
    assert rates == pytest.approx([0.01, 0.01, 0.0095, 0.01 * 0.95**3] * 2)


def test_plateau_agrees_with_torchs_scheduler():
    scores = [0.1, 0.3, 0.3, 0.29, 0.3, 0.28, 0.2, 0.31, 0.31, 0.31, 0.31, 0.31, 0.31]
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, "max", 0.5, patience=2, threshold=0)
    expected = []
    for score in scores:
        expected.append(optimizer.param_groups[0]["lr"])
        theirs.step(score)
    assert rates_of({"type": "plateau", "gamma": 0.5, "patience": 2}, len(scores), scores) == pytest.approx(expected)
    assert plateaus(scores, 2, "max") == round(-math.log2(optimizer.param_groups[0]["lr"]))


def test_head_warmup_has_its_rate_and_the_schedule_starts_after_it():
    settings = stage(
        head_warmup={"pattern": "face.head.*", "epochs": 2, "lr": 0.5},
        optimizer={"lr": 0.1},
        schedule={"type": "step", "step_size": 1, "gamma": 0.5},
        epochs=4,
    )
    optimizer = build_optimizer(dict(Net().named_parameters()), settings)
    rates = []
    for epoch in range(4):
        set_learning_rates(optimizer, settings, epoch, [0.0] * epoch, "max")
        rates.append(optimizer.param_groups[0]["lr"])
    assert rates == pytest.approx([0.5, 0.5, 0.1, 0.05])


def test_a_warm_up_rises_in_equal_steps_and_then_leaves_the_rate_alone():
    settings = stage(optimizer={"lr": 0.4}, schedule={"warmup": 3}, epochs=4)
    optimizer = build_optimizer(dict(Net().named_parameters()), settings)
    rates = []
    for updates in range(6):
        set_learning_rates(optimizer, settings, 0, [], "max", updates)
        rates.append(optimizer.param_groups[0]["lr"])
    assert rates == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.4, 0.4])


def test_the_best_epoch_is_the_earliest_among_equals():
    assert best_epoch([0.1, 0.4, 0.4, 0.2], "max") == 1
    assert best_epoch([0.5, 0.4, 0.4, 0.6], "min") == 1


def test_a_part_is_taken_over_strictly():
    source, target = Net(), Net()
    load_part(target, "face", source.state_dict(), "stage1")
    assert torch.equal(source.face["head"].weight, target.face["head"].weight)
    assert not torch.equal(source.fusion[0].weight, target.fusion[0].weight)
    without = {name: value for name, value in source.state_dict().items() if name.startswith("face")}
    with pytest.raises(UserError, match=r"init\.fusion: stage1 has no part 'fusion'; it has face"):
        load_part(target, "fusion", without, "stage1")
    other = {**source.state_dict(), "face.head.weight": torch.zeros(9, 9)}
    with pytest.raises(UserError, match=r"another model's face \(1 of 9 tensors differ, first: head\.weight\)"):
        load_part(target, "face", other, "stage1")
