"""CAER-Net-S computes the published function, reports what its fusion decided, and builds only the streams it is asked for."""

import itertools

import pytest
import torch
import torch.nn.functional as F

from caer.models.caer_net import caer_net, from_published
from preprocessing.errors import UserError

TASKS = {"emotion": 7}
WIDTHS = [3, 32, 64, 128, 256, 256]


def published_state(classes=7, seed=0):
    """Random tensors under every name of a published checkpoint."""
    gen = torch.Generator().manual_seed(seed)

    def rand(*shape, scale=0.1):
        return torch.randn(*shape, generator=gen) * scale

    state = {}

    def norm(prefix, width):
        state[f"{prefix}.weight"] = 1 + rand(width)
        state[f"{prefix}.bias"] = rand(width)
        state[f"{prefix}.running_mean"] = rand(width)
        state[f"{prefix}.running_var"] = 1 + rand(width).abs()
        state[f"{prefix}.num_batches_tracked"] = torch.tensor(5)

    encoders = {"face_encoding_module": WIDTHS, "context_encoding_module": WIDTHS, "attention_inference_module": [256, 128, 1]}
    for name, widths in encoders.items():
        for i, (a, b) in enumerate(itertools.pairwise(widths)):
            state[f"two_stream_net.{name}.convs.{i}.weight"] = rand(b, a, 3, 3, scale=(2 / (9 * a)) ** 0.5)
            state[f"two_stream_net.{name}.convs.{i}.bias"] = rand(b)
            norm(f"two_stream_net.{name}.bn.{i}", b)
    norm("fusion_net.face_bn", 256)
    norm("fusion_net.context_bn", 256)
    layers = {"face_1": (128, 256), "context_1": (128, 256), "face_2": (1, 128), "context_2": (1, 128)}
    for name, (out, into) in {**layers, "fc1": (128, 512), "fc2": (classes, 128)}.items():
        state[f"fusion_net.{name}.weight"] = rand(out, into)
        state[f"fusion_net.{name}.bias"] = rand(out)
    return state


def reference(state, face, context):
    """The published function of float images [B, 3, H, W] in [0, 1], in eval mode: logits and the two lambdas."""

    def bn(x, name):
        args = [state[f"{name}.{key}"] for key in ("running_mean", "running_var", "weight", "bias")]
        return F.batch_norm(x, *args)

    def convs(x, name, n, pool):
        for i in range(n):
            x = F.conv2d(x, state[f"{name}.convs.{i}.weight"], state[f"{name}.convs.{i}.bias"], padding=1)
            x = F.relu(bn(x, f"{name}.bn.{i}"))
            if pool and i < n - 1:
                x = F.max_pool2d(x, 2)
        return x

    def linear(x, name):
        return F.linear(x, state[f"fusion_net.{name}.weight"], state[f"fusion_net.{name}.bias"])

    mean, std = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1), torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
    f = convs((face - mean) / std, "two_stream_net.face_encoding_module", 5, True)
    c = convs((context - mean) / std, "two_stream_net.context_encoding_module", 5, True)
    a = convs(c, "two_stream_net.attention_inference_module", 2, False)
    a = F.softmax(a.flatten(1), dim=1).view_as(a)
    f = bn(F.adaptive_avg_pool2d(f, 1).flatten(1), "fusion_net.face_bn")
    c = bn(F.adaptive_avg_pool2d(c * a, 1).flatten(1), "fusion_net.context_bn")
    scores = [linear(F.relu(linear(x, f"{n}_1")), f"{n}_2") for x, n in ((f, "face"), (c, "context"))]
    lambdas = F.softmax(torch.cat(scores, dim=1), dim=1)
    joined = torch.cat([f * lambdas[:, :1], c * lambdas[:, 1:]], dim=1)
    return linear(F.relu(linear(joined, "fc1")), "fc2"), lambdas, a


def batch(n=3, face=96, context=112, seed=1):
    gen = torch.Generator().manual_seed(seed)
    return {
        "face": torch.randint(0, 256, (n, 3, face, face), dtype=torch.uint8, generator=gen),
        "context": torch.randint(0, 256, (n, 3, context, context), dtype=torch.uint8, generator=gen),
    }


def test_parameter_counts():
    compact = sum(p.numel() for p in caer_net(TASKS, "compact").parameters())
    paper = sum(p.numel() for p in caer_net(TASKS, "paper").parameters())
    assert compact == 2_390_028
    assert compact - paper == 4 * 256  # weight and bias of the two BatchNorm1d


@pytest.mark.parametrize("nested", [False, True])
def test_from_published_computes_the_published_function(nested):
    state = published_state()
    net = from_published({"epoch": 3, "state_dict": state} if nested else state)
    images = batch()
    output = net(images)
    logits, lambdas, attention = reference(state, images["face"] / 255, images["context"] / 255)
    torch.testing.assert_close(output.logits["emotion"], logits, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(output.gates["emotion"], lambdas, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(output.attention, attention, rtol=1e-4, atol=1e-5)
    assert lambdas.std(dim=0).max() > 1e-4, "the reference must tell the samples apart, or equality says little"


def test_published_state_may_have_another_class_count_and_a_wrapper_prefix():
    state = {f"module.{key}": value for key, value in published_state(classes=5).items() if "num_batches" not in key}
    assert from_published(state, task="mood")(batch(1)).logits["mood"].shape == (1, 5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("fusion_net.fc1.bias"), r"1 tensors missing.*fusion_net\.fc1\.bias"),
        (lambda s: s.pop("fusion_net.fc2.weight"), r"1 tensors missing.*fc2"),
        (lambda s: s.update(extra=torch.zeros(1)), "1 unknown.*extra"),
        (lambda s: s.update({"fusion_net.fc1.bias": torch.zeros(3)}), r"1 of another shape.*fusion_net\.fc1\.bias"),
        (lambda s: s.update(note="text"), "not a state dict"),
        (lambda s: s.clear(), "missing"),
    ],
)
def test_another_state_dict_is_refused(change, message):
    state = published_state()
    change(state)
    with pytest.raises(UserError, match=message) as caught:
        from_published(state)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("variant", ["paper", "compact"])
def test_output_contract(variant):
    net = caer_net({"emotion": 7, "age": 6}, variant).eval()
    assert net.inputs("fused") == {"face", "context"}
    output = net(batch(2, 64, 64))
    assert {task: tuple(x.shape) for task, x in output.logits.items()} == {"emotion": (2, 7), "age": (2, 6)}
    assert output.branch_logits == {}
    for gate in output.gates.values():
        assert gate.shape == (2, 2)
        torch.testing.assert_close(gate.sum(dim=1), torch.ones(2))
    torch.testing.assert_close(output.attention.sum(dim=(1, 2, 3)), torch.ones(2))
    for name in ("face", "context"):
        with pytest.raises(ValueError, match="this network has fused"):
            net.inputs(name)
    with pytest.raises(ValueError, match="needs context"):
        net({"face": batch(1)["face"]})


def test_attention_moves_the_context_only_where_it_should():
    """The spatial weights multiply the cells before averaging: constant scores give plain average pooling over h*w."""
    stream = caer_net(TASKS).context.eval()
    stream.attention.bn[1].weight.data.zero_()
    images = batch(2)["context"]
    features = stream.encoder((images.float() - stream.mean) / stream.std)
    cells = features.shape[2] * features.shape[3]
    torch.testing.assert_close(stream.encode(images)[0], features.mean(dim=(2, 3)) / cells)


@pytest.mark.parametrize("streams", ["face", "context"])
@pytest.mark.parametrize("variant", ["paper", "compact"])
def test_single_stream_forms_never_build_the_other(variant, streams):
    net = caer_net(TASKS, variant, streams)
    assert all(name.startswith(streams) for name in net.state_dict())
    assert getattr(net, "face" if streams == "context" else "context") is None
    assert net.inputs(streams) == {streams}
    output = net.eval()({streams: batch()[streams]})
    assert output.logits["emotion"].shape == (3, 7)
    assert output.gates is None
    assert (output.attention is not None) == (streams == "context")
    assert output.branch_logits[streams] is output.logits


def test_seeded_streams_are_the_same_in_every_form():
    def seeded(name):
        torch.manual_seed(sum(name.encode()))
        return torch.enable_grad()

    full = caer_net(TASKS, streams="both", seeded=seeded).state_dict()
    alone = caer_net(TASKS, streams="context", seeded=seeded).state_dict()
    shared = [key for key in alone if key in full]
    assert len(shared) == 7 * 7  # five and two convolutions with BatchNorm
    assert all(torch.equal(alone[key], full[key]) for key in shared)


def test_rows_without_a_face_are_answered_by_the_context_and_leave_no_trace():
    torch.manual_seed(0)
    net = caer_net(TASKS, "compact")
    images = batch(4, 48, 48)
    has_face = torch.tensor([True, False, True, True])
    other = {**images, "face": images["face"].clone()}
    other["face"][1] = 200
    before = {key: value.clone() for key, value in net.state_dict().items()}
    for module in net.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    first = net({**images, "has_face": has_face})
    first.logits["emotion"].sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in net.parameters() if p.grad is not None)
    statistics = {key: value.clone() for key, value in net.state_dict().items()}
    net.load_state_dict(before)
    second = net({**other, "has_face": has_face})
    assert torch.equal(first.logits["emotion"], second.logits["emotion"])
    assert all(torch.equal(value, statistics[key]) for key, value in net.state_dict().items())
    assert first.gates["emotion"][1].tolist() == [0.0, 1.0]
    assert (first.gates["emotion"][[0, 2, 3]] > 0).all()


@pytest.mark.parametrize("faces", [0, 1])
def test_a_training_batch_with_one_face_or_none(faces):
    net = caer_net(TASKS, "compact").train()
    output = net({**batch(3, 48, 48), "has_face": torch.arange(3) < faces})
    output.logits["emotion"].sum().backward()
    assert torch.isfinite(output.logits["emotion"]).all()


def test_a_batch_gives_what_its_samples_give_one_by_one():
    net = from_published(published_state())
    images = {**batch(4, 48, 48), "has_face": torch.tensor([True, False, True, True])}
    together = net(images).logits["emotion"]
    alone = torch.cat([net({key: value[i : i + 1] for key, value in images.items()}).logits["emotion"] for i in range(4)])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


def test_both_streams_learn():
    torch.manual_seed(0)
    net = caer_net({"emotion": 3}, "compact")
    images, targets = batch(3, 32, 32), torch.tensor([0, 1, 2])
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
    losses = []
    for _ in range(5):
        loss = F.cross_entropy(net(images).logits["emotion"], targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in net.parameters())
    assert min(losses[-2:]) < 0.8 * losses[0]
