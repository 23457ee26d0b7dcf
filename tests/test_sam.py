"""SAM: the step by hand, the number of passes under Lightning itself, BatchNorm once, and what it shares with its base."""

import lightning
import pytest
import torch
from torch import nn

from caer.engine.sam import SAM, frozen_statistics

BASES = {
    "adam": (torch.optim.Adam, {"lr": 0.01}),
    "adamw": (torch.optim.AdamW, {"lr": 0.01, "weight_decay": 0.1}),
    "sgd": (torch.optim.SGD, {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
}


def small_net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 2))


def closure_of(model, optimizer, x, y):
    def closure():
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        return loss

    return closure


def images(count=4):
    torch.manual_seed(1)
    return torch.randn(count, 3, 8, 8), torch.randint(0, 2, (count,))


def test_a_step_by_hand():
    """Loss w1^2 + 2 w2^2 at (3, 4): g = (6, 16), e = rho g / |g|; the update is lr times the gradient at w + e."""
    w = nn.Parameter(torch.tensor([3.0, 4.0], dtype=torch.float64))
    optimizer = SAM([w], torch.optim.SGD, rho=0.5, lr=0.1)

    def closure():
        optimizer.zero_grad()
        loss = w[0] ** 2 + 2 * w[1] ** 2
        loss.backward()
        return loss

    loss = optimizer.step(closure)
    norm = (6**2 + 16**2) ** 0.5
    climbed = (3 + 0.5 * 6 / norm, 4 + 0.5 * 16 / norm)
    expected = torch.tensor([3 - 0.1 * 2 * climbed[0], 4 - 0.1 * 4 * climbed[1]], dtype=torch.float64)
    torch.testing.assert_close(w.detach(), expected)
    assert loss.item() == 3**2 + 2 * 4**2, "the loss at the weights themselves"


@pytest.mark.parametrize("base", BASES)
def test_with_rho_zero_it_is_its_base_optimizer(base):
    kind, options = BASES[base]
    x, y = images()
    plain, sharp = small_net(), small_net()
    one, two = kind(plain.parameters(), **options), SAM(sharp.parameters(), kind, rho=0.0, **options)
    two.second_pass_context = lambda: frozen_statistics(sharp)
    for _ in range(3):
        one.step(closure_of(plain, one, x, y))
        two.step(closure_of(sharp, two, x, y))
    for a, b in zip(plain.state_dict().values(), sharp.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_it_differs_from_its_base_with_rho():
    x, y = images()
    plain, sharp = small_net(), small_net()
    one, two = torch.optim.SGD(plain.parameters(), lr=0.1), SAM(sharp.parameters(), torch.optim.SGD, rho=0.5, lr=0.1)
    one.step(closure_of(plain, one, x, y))
    two.step(closure_of(sharp, two, x, y))
    assert not torch.equal(plain[0].weight, sharp[0].weight)


class Counting(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.net, self.passes = small_net(), 0

    def training_step(self, batch, batch_idx):
        self.passes += 1
        return nn.functional.cross_entropy(self.net(batch[0]).float(), batch[1])

    def configure_optimizers(self):
        optimizer = SAM(self.parameters(), torch.optim.Adam, lr=1e-3)
        optimizer.second_pass_context = lambda: frozen_statistics(self.net)
        return {"optimizer": optimizer, "lr_scheduler": torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.1)}


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_lightning_runs_two_passes_an_update_and_counts_batchnorm_once(precision, tmp_path):
    data = torch.utils.data.TensorDataset(*images(24))
    module = Counting()
    trainer = lightning.Trainer(
        accelerator="cpu",
        max_epochs=2,
        precision=precision,
        gradient_clip_val=1.0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=str(tmp_path),
    )
    trainer.fit(module, torch.utils.data.DataLoader(data, batch_size=4))
    assert trainer.global_step == 12
    assert module.passes == 24
    assert module.net[1].num_batches_tracked.item() == 12
    optimizer = trainer.optimizers[0]
    assert optimizer.param_groups[0]["lr"] == pytest.approx(1e-5), "schedulers reach the groups"
    assert optimizer.base.param_groups is optimizer.param_groups
    assert all(torch.isfinite(p).all() for p in module.parameters())


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_the_second_pass_leaves_batchnorm_statistics_bit_for_bit(precision):
    model = small_net().to(memory_format=torch.channels_last).train()
    x, _ = images()
    model(x)
    before = {name: value.clone() for name, value in model.named_buffers()}
    with frozen_statistics(model), torch.autocast("cpu", precision, enabled=precision != torch.float32):
        in_context = model(x * 5 + 3)
    assert all(torch.equal(value, before[name]) for name, value in model.named_buffers())
    with torch.autocast("cpu", precision, enabled=precision != torch.float32):
        assert torch.equal(in_context, model(x * 5 + 3)), "it still normalises by the batch"
    assert model[1].num_batches_tracked.item() == 2


def test_frozen_batchnorm_is_left_alone():
    model = small_net().train()
    model[1].eval()
    with frozen_statistics(model):
        assert not model[1].training
    assert model[1].track_running_stats


@pytest.mark.parametrize("gradient", [0.0, float("nan"), float("inf")])
def test_without_a_way_up_there_is_one_pass(gradient):
    w = nn.Parameter(torch.ones(3))
    optimizer = SAM([w], torch.optim.SGD, lr=0.1)
    passes = []

    def closure():
        passes.append(1)
        w.grad = torch.full_like(w, gradient)
        return torch.tensor(0.0)

    optimizer.step(closure)
    assert len(passes) == 1
    if gradient == 0.0:
        assert torch.equal(w.detach(), torch.ones(3))


def test_the_weights_are_back_in_place_when_the_second_pass_fails():
    w = nn.Parameter(torch.tensor([3.0, 4.0]))
    optimizer = SAM([w], torch.optim.SGD, rho=1.0, lr=0.1)
    passes = []

    def closure():
        passes.append(1)
        if len(passes) == 2:
            raise RuntimeError("stop here")
        w.grad = torch.ones_like(w)

    with pytest.raises(RuntimeError, match="stop here"):
        optimizer.step(closure)
    assert w.tolist() == [3.0, 4.0]


@pytest.mark.parametrize("base", BASES)
def test_a_state_dict_carries_on_where_it_stopped(base):
    kind, options = BASES[base]
    x, y = images()
    whole, first = small_net(), small_net()
    one, two = SAM(whole.parameters(), kind, **options), SAM(first.parameters(), kind, **options)
    for _ in range(2):
        one.step(closure_of(whole, one, x, y))
        two.step(closure_of(first, two, x, y))
    second = small_net()
    second.load_state_dict(first.state_dict())
    three = SAM(second.parameters(), kind, **options)
    three.load_state_dict(two.state_dict())
    one.step(closure_of(whole, one, x, y))
    three.step(closure_of(second, three, x, y))
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), second.parameters(), strict=True))


def test_groups_keep_their_own_learning_rate():
    model = small_net()
    optimizer = SAM([{"params": model[0].parameters(), "lr": 0.0}, {"params": model[4].parameters()}], torch.optim.SGD, lr=0.1)
    before = model[0].weight.clone(), model[4].weight.clone()
    optimizer.step(closure_of(model, optimizer, *images()))
    assert torch.equal(model[0].weight, before[0])
    assert not torch.equal(model[4].weight, before[1])


def test_misuse_is_refused():
    w = nn.Parameter(torch.ones(1))
    with pytest.raises(ValueError, match="rho -1"):
        SAM([w], torch.optim.SGD, rho=-1, lr=0.1)
    with pytest.raises(ValueError, match=r"needs step\(closure\)"):
        SAM([w], torch.optim.SGD, lr=0.1).step()
