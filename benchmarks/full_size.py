"""Speed and memory of each stage of an experiment at its own sizes, on random pictures: what a GPU (or a processor) can do.

    python benchmarks/full_size.py --config configs/emotion_gating.yaml --batch-sizes 32 128 [--record]

Updates go through the stage's own freezing, losses and optimizer (SAM's two passes included) in the precision that training
takes, and on features where the stage caches them; gradient clipping, head warm-up and the check of the losses are left out.
Weights are random, and no picture is read: a training that is slower waits for its data (`data.workers`, `data.in_memory`).
"""

import argparse
import statistics
import time
from typing import Any

import torch
from recording import record

from preprocessing.errors import UserError, run_command

WARM, TIMED = 5, 20
"""Steps before the clock, and under it."""


def main() -> None:
    """Measure every stage, then inference; print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", required=True, help="an experiment, e.g. configs/emotion_gating.yaml")
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[32], help="pictures a step, 2 or more; default: 32")
    parser.add_argument("--set", nargs="+", action="extend", default=[], metavar="key=value", help="override settings")
    parser.add_argument("--record", action="store_true", help="replace this benchmark's block in benchmarks/RESULTS.md")
    arguments = parser.parse_args()
    from caer.config import load_config
    from caer.engine.precision import resolve_device, resolve_precision

    if min(arguments.batch_sizes) < 2:
        raise UserError(f"--batch-sizes {min(arguments.batch_sizes)}: BatchNorm needs 2 pictures or more in a step")
    config = load_config(arguments.config, arguments.set)
    device = resolve_device(config)
    precision = resolve_precision(config, device)
    lines = [
        f"{device.type}, {precision}, PyTorch {torch.__version__}; median of {TIMED} steps on one batch of random pictures.",
        "",
        "| what | batch | ms a step | images a second | memory of the device, GB |",
        "| --- | --- | --- | --- | --- |",
    ]
    print("\n".join(lines), flush=True)
    for size in arguments.batch_sizes:
        for number in [*sorted(n for n, stage in config.stages.items() if stage.trainable), None]:
            lines.append(measure(config, number, size, device, precision))
            print(lines[-1], flush=True)
    if arguments.record:
        record(f"full_size {config.name} {device.type}", f"Speed of {config.name} at its own sizes ({device.type})", lines)


def measure(config: Any, number: int | None, size: int, device: torch.device, precision: str) -> str:
    """One row of the table: a stage's update, or inference where `number` is None."""
    from caer.models import build_model
    from caer.tasks import build_tasks

    tasks = build_tasks(config)
    stage = config.stages[max(config.stages) if number is None else number]
    model = build_model(config, pretrained=False, output=stage.output).to(device)
    batch = random_batch(config, tasks, size, device)
    cached = number is not None and stage.cache_features
    if cached:
        with torch.no_grad():
            batch["features"] = model.eval().encode(batch)
    cuda = device.type == "cuda"
    if cuda:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    autocast = torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16" and not cached)
    step = inference(model, batch, autocast) if number is None else update(model, tasks, stage, batch, autocast)
    seconds = []
    for _ in range(WARM + TIMED):
        started = time.perf_counter()
        step()
        if cuda:
            torch.cuda.synchronize(device)
        seconds.append(time.perf_counter() - started)
    median = statistics.median(seconds[WARM:])
    memory = f"{torch.cuda.max_memory_allocated(device) / 1e9:.1f}" if cuda else ""
    name = "inference" if number is None else f"stage {number} ({stage.output}), {stage.optimizer.type}"
    name += ", on cached features" if cached else ""
    return f"| {name} | {size} | {median * 1e3:.1f} | {size / median:.0f} | {memory} |"


def random_batch(config: Any, tasks: Any, size: int, device: torch.device) -> dict[str, Any]:
    """Random pictures of the config's sizes with random labels."""
    from caer.data.dataset import PICTURES, picture_sides

    generator = torch.Generator().manual_seed(config.seed)
    batch: dict[str, Any] = {
        name: torch.randint(0, 256, (size, 3, side, side), dtype=torch.uint8, generator=generator).to(device)
        for name, side in picture_sides(config, set(PICTURES)).items()
    }
    targets = {name: random_targets(task, size, generator) for name, task in tasks.items()}
    return batch | {
        "targets": {name: t.to(device) for name, t in targets.items()},
        "has_face": torch.ones(size, device=device) > 0,
    }


def random_targets(task: Any, size: int, generator: torch.Generator) -> torch.Tensor:
    """Targets [size, ...] of a task's kind: numbers, sets of tags, or classes."""
    if task.kind == "number":
        low, high = task.config.range
        return (low + (high - low) * torch.rand(size, 1, generator=generator)).expand(size, 2).contiguous()
    return torch.randint(0, 2 ** len(task.classes) if task.kind == "tags" else len(task.classes), (size,), generator=generator)


def update(model: Any, tasks: Any, stage: Any, batch: dict[str, Any], autocast: Any) -> Any:
    """One optimizer step of a stage, as training takes it."""
    from caer.engine.optim import build_optimizer
    from caer.engine.sam import SAM, frozen_statistics
    from caer.engine.stages import freeze_all_but, set_training, trainable_parameters

    parameters = trainable_parameters(model, stage.trainable)
    freeze_all_but(model, parameters)
    model.train()
    set_training(model)
    optimizer = build_optimizer(parameters, stage)
    if isinstance(optimizer, SAM):
        optimizer.second_pass_context = lambda: frozen_statistics(model)

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        with autocast:
            output = model(batch)
            logits = output.logits if stage.output == "fused" else output.branch_logits[stage.output]
            total = sum(task.loss(logits[name], batch["targets"][name]).mean() for name, task in tasks.items())
        total.backward()
        return total

    return lambda: optimizer.step(loss)


def inference(model: Any, batch: dict[str, Any], autocast: Any) -> Any:
    """One forward pass."""
    model.eval()

    def step() -> None:
        with torch.inference_mode(), autocast:
            model(batch)

    return step


if __name__ == "__main__":
    run_command(main)
