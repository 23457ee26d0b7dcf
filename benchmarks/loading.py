"""How many samples a second one process prepares for a stage's training, with and without `data.in_memory`.

    python benchmarks/loading.py --config configs/multitask/faces_shared.yaml [--record]

One process reads, decodes, cuts and augments batches as a loader's worker does, twice over the same ones: with `in_memory` the
first pass fills the memory and the second is timed, as from the second epoch on. The config's manifests have to be there.
"""

import argparse
import time
from typing import Any

import cv2
import torch
from recording import record

from preprocessing.errors import run_command


def main() -> None:
    """Time both, print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", required=True, help="an experiment whose manifests are there")
    parser.add_argument("--stage", type=int, default=1, help="default: 1")
    parser.add_argument("--samples", type=int, default=4096, help="samples a pass, about; default: 4096")
    parser.add_argument("--set", nargs="+", action="extend", default=[], metavar="key=value", help="override settings")
    parser.add_argument("--record", action="store_true", help="replace this benchmark's block in benchmarks/RESULTS.md")
    arguments = parser.parse_args()
    from caer.config import load_config

    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    rates = []
    for in_memory in (False, True):
        settings = [*arguments.set, f"data.in_memory={str(in_memory).lower()}", "data.workers=0"]
        rates.append(rate(load_config(arguments.config, settings), arguments.stage, arguments.samples))
    lines = [
        "| | samples a second |",
        "| --- | --- |",
        f"| decoded each time | {rates[0]:.0f} |",
        f"| in memory | {rates[1]:.0f} |",
    ]
    print("\n".join(lines))
    if arguments.record:
        name = load_config(arguments.config).name
        record(f"loading {name} {arguments.stage}", f"Loading for {name}, stage {arguments.stage}, one process", lines)


def rate(config: Any, number: int, samples: int) -> float:
    """Samples a second of the second pass over the first batches of an epoch."""
    from caer.data.loaders import StageData
    from caer.models import build_model
    from caer.tasks import build_tasks

    model = build_model(config, pretrained=False, output=config.stage(number).output)
    data = StageData(config, number, build_tasks(config), model.inputs(config.stage(number).output))
    batches = max(samples // config.data.batch_size, 1)
    for _ in range(2):
        started, seen = time.perf_counter(), 0
        for batch, _ in zip(data.train_loader(0), range(batches), strict=False):
            seen += len(batch["sample_id"])
        seconds = time.perf_counter() - started
    return seen / seconds


if __name__ == "__main__":
    run_command(main)
