"""`python -m caer export`: a run -> `model.onnx` or `model.safetensors`, with `card.md` and `card.json`.

The exported network is compared with the run's on real crops of the run's own manifest before anything is written; beyond
`TOLERANCE` the export is refused.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from caer.data.dataset import SampleDataset, collate
from caer.data.rows import Rows
from caer.evaluation.predictions import answered_by
from caer.export.card import make_card, shareable_settings, to_markdown
from caer.export.graph import input_names, to_onnx
from caer.predict.networks import EMBEDDED, EMBEDDED_VERSION, TorchNetwork
from preprocessing.errors import UserError
from preprocessing.files import sha256_bytes, sole_writer, write_atomic, write_json

TOLERANCE = 1e-4
CHECKED_ROWS = 12
"""So many rows with a face and a third as many without are compared, together and one alone."""
FORMATS = ("onnx", "safetensors")


def export_run(run: str | Path, kind: str, out: Path | None = None) -> Path:
    """Export a run.

    Args:
        run: a run's folder.
        kind: `onnx` or `safetensors`.
        out: folder to write to; `export/KIND/` in the stage's folder where not given.

    Returns:
        The model's file.

    Raises:
        UserError: no finished run, its manifest is gone, an optional package is absent, or the exported network answers
            otherwise; nothing is then written.
    """
    if kind not in FORMATS:
        raise UserError(f"--format {kind!r}: expected {' or '.join(FORMATS)}")
    network = TorchNetwork(run)
    network.model, network.device = network.model.cpu(), torch.device("cpu")
    folder = out or network.run.folder / "export" / kind
    if folder.exists() and not folder.is_dir():
        raise UserError(f"--out {folder}: is a file; expected a folder")
    example = real_batch(network)
    card = make_card(network, kind)
    build = _onnx if kind == "onnx" else _safetensors
    content, difference = build(network, example, card)
    rows = len(example["sample_id"])
    card["parity"] = {"rows": rows, "largest_difference": difference, "allowed": TOLERANCE}
    card["file"] = {"name": f"model.{kind}", "bytes": len(content), "sha256": sha256_bytes(content)}
    with sole_writer(folder):
        write_atomic(folder / f"model.{kind}", content)
        write_json(folder / "card.json", card)
        write_atomic(folder / "card.md", to_markdown(card))
    return folder / f"model.{kind}"


def real_batch(network: TorchNetwork) -> dict[str, Any]:
    """Some validation rows of the run (training rows where it has none) as a batch, rows without a face among them.

    Raises:
        UserError: the run's manifest or its pictures are gone.
    """
    rows = Rows(network.config, network.tasks)
    table = next((part for part in (rows.split(name) for name in ("val", "train")) if len(part)), rows.table)
    seen = answered_by(table, network.output) != "prior"
    faces = table["has_face"].to_numpy(bool)
    picked = [*np.flatnonzero(seen & faces)[:CHECKED_ROWS], *np.flatnonzero(seen & ~faces)[: CHECKED_ROWS // 3]]
    if len(picked) < 2:
        raise UserError(f"{network.run.folder}: its manifest has fewer than two rows to check the export on")
    dataset = SampleDataset(table.iloc[picked].reset_index(drop=True), network.config, network.inputs)
    return collate([dataset[i] for i in range(len(dataset))])


def largest_difference(network: TorchNetwork, other: Any, batch: dict[str, Any]) -> float:
    """How far two networks' answers lie apart at most, over a batch and over its last row alone.

    Raises:
        UserError: further than `TOLERANCE`, or one of them is not a number.
    """
    worst = 0.0
    for part in (batch, {key: value[-1:] if isinstance(value, torch.Tensor) else value for key, value in batch.items()}):
        ours, theirs = network(part), other(part)
        for name, expected in ours.items():
            # logits have no scale of their own: beyond 1 the difference counts relative to them
            difference = np.abs(theirs[name] - expected) / np.maximum(1, np.abs(expected))
            if not np.isfinite(difference).all() or difference.max(initial=0) > TOLERANCE:
                raise UserError(
                    f"the exported network's {name} differ by {difference.max(initial=0):.1e}, at most {TOLERANCE:g} is allowed; "
                    f"nothing was written"
                )
            worst = max(worst, float(difference.max(initial=0)))
    return worst


def embedded(network: TorchNetwork, card: dict[str, Any]) -> dict[str, Any]:
    """What goes into the file beside the weights; see `caer.predict.networks.read_embedded`."""
    return {
        "schema_version": EMBEDDED_VERSION,
        "config": card["config"],
        "settings": shareable_settings(network.settings),
        "output": network.output,
        "inputs": input_names(network),
        "temperatures": network.temperatures,
        "origin": network.origin,
        "card": {key: value for key, value in card.items() if key != "config"},
    }


def _onnx(network: TorchNetwork, example: dict[str, Any], card: dict[str, Any]) -> tuple[bytes, float]:
    import json

    from caer.predict.networks import OnnxNetwork

    graph = to_onnx(network, example)
    entry = graph.metadata_props.add()
    entry.key, entry.value = EMBEDDED, json.dumps(embedded(network, card), ensure_ascii=False, sort_keys=True)
    content = graph.SerializeToString()
    return content, largest_difference(network, OnnxNetwork.of(content, "the exported graph"), example)


def _safetensors(network: TorchNetwork, example: dict[str, Any], card: dict[str, Any]) -> tuple[bytes, float]:
    import json

    from safetensors.torch import load, save

    from caer.engine.checkpoint import fill
    from caer.models import build_model
    from caer.predict.networks import named_outputs

    state = {name: value.detach().cpu().contiguous() for name, value in network.model.state_dict().items()}
    content = save(state, {EMBEDDED: json.dumps(embedded(network, card), ensure_ascii=False, sort_keys=True)})
    fresh = build_model(network.config, pretrained=False, output=network.output).eval()  # type: ignore[arg-type]
    fill(fresh, load(content), network.run.folder / "export")

    def answer(batch: dict[str, Any]) -> dict[str, np.ndarray]:
        with torch.inference_mode():
            return {name: value.numpy() for name, value in named_outputs(fresh(batch), network.tasks).items()}

    return content, largest_difference(network, answer, example)
