"""A run's network as an ONNX graph.

Enters: a loaded network. Leaves: ONNX bytes whose inputs are batches of uint8 pictures [B, 3, H, W] (and `has_face` [B] where the
network has both branches) and whose outputs are those of `caer.predict.networks`. Everything between, the normalisation and the
masking of faceless rows included, is in the graph.
"""

import io
import logging
import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from caer.predict.networks import TorchNetwork, named_outputs
from preprocessing.errors import UserError

OPSET = 20


class Flat(nn.Module):
    """A model that takes its inputs one by one and returns its outputs as a tuple, in a fixed order.

    Args:
        network: the run's.
        inputs: names of the inputs in their order.
    """

    def __init__(self, network: TorchNetwork, inputs: Sequence[str]) -> None:
        super().__init__()
        self.model, self.tasks, self.inputs = network.model, network.tasks, list(inputs)

    def forward(self, *values: Tensor) -> tuple[Tensor, ...]:
        """See `Flat`."""
        output = self.model(dict(zip(self.inputs, values, strict=True)))
        return tuple(named_outputs(output, self.tasks).values())


def input_names(network: TorchNetwork) -> list[str]:
    """Inputs of the graph: the pictures, and `has_face` where the network can do without a face."""
    pictures: list[str] = [name for name in ("face", "context", "image") if name in network.inputs]
    return [*pictures, "has_face"] if network.output == "fused" else pictures


def to_onnx(network: TorchNetwork, example: dict[str, Any]) -> Any:
    """The graph of a network, as an `onnx.ModelProto`.

    Args:
        network: on the CPU.
        example: a batch of at least two rows.

    Raises:
        UserError: the optional packages are absent, or the network holds something that ONNX has no word for.
    """
    try:
        import onnx
        import onnxscript  # noqa: F401  (what torch.onnx needs)
    except ImportError as error:
        raise UserError(f"--format onnx needs {error.name}, which is optional: pip install -r requirements-app.txt") from None
    names = input_names(network)
    values = tuple(example[name] for name in names)
    with torch.inference_mode():
        outputs = list(named_outputs(network.model(example), network.tasks))
    buffer, batch = io.BytesIO(), torch.export.Dim("batch")
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        flat, dynamic = Flat(network, names).eval(), tuple({0: batch} for _ in names)
        exported = torch.export.export(flat, values, dynamic_shapes=(dynamic,))
        program = torch.onnx.export(
            exported, (), input_names=names, output_names=outputs, opset_version=OPSET, dynamo=True, verbose=False
        )
    assert program is not None
    program.save(buffer)  # type: ignore[arg-type]
    return _named_batch(onnx.load_from_string(buffer.getvalue()))


def _named_batch(graph: Any) -> Any:
    """The same graph, its free dimension called `batch` instead of the exporter's number."""
    values = [*graph.graph.input, *graph.graph.output, *graph.graph.value_info]
    free = graph.graph.input[0].type.tensor_type.shape.dim[0].dim_param
    for dim in (d for value in values for d in value.type.tensor_type.shape.dim if free and d.dim_param == free):
        dim.dim_param = "batch"
    return graph
