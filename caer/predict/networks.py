"""The network behind a Predictor: a run's PyTorch model, or a file in ONNX format.

Enters: a batch (uint8 pictures, `has_face`). Leaves: arrays by name, the same names from either:
    logits_T, probabilities_T       [B, ...] by task T
    face_probabilities_T, context_probabilities_T   the branches' own, where the network computes them
    gates_T                         [B, 2] or [B, 2, K], order (face, context), where there are gates
    attention                       [B, h, w], where there is attention
Both compute in float32, whatever the run was trained in: a photo's answer is then the same in any batch, on any processor, and in
the exported file. The evaluation of a run trained in bf16 rounds more coarsely.
"""

from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from caer.config import Config
from caer.tasks import Task, build_tasks
from gating.output import ModelOutput
from preprocessing.errors import UserError
from preprocessing.settings import Settings, validate


class Network(Protocol):
    """What a Predictor asks of a network.

    Attributes:
        config: the experiment it comes from.
        tasks: built tasks by name.
        output: `face`, `context` or `fused`.
        inputs: which pictures a batch needs.
        temperatures: by task, for calibrated confidence; empty without.
        origin: name, seed, stage and hash of the weights.
    """

    config: Config
    tasks: dict[str, Task]
    output: str
    inputs: set[str]
    temperatures: dict[str, float]
    origin: dict[str, Any]

    @property
    def settings(self) -> Settings:
        """How faces are found."""
        ...

    def __call__(self, batch: dict[str, Any]) -> dict[str, np.ndarray]:
        """Answer a batch; see the module's docstring."""
        ...


def named_outputs(output: ModelOutput, tasks: dict[str, Task]) -> dict[str, Tensor]:
    """A model's output as flat tensors by name; see the module's docstring."""
    named: dict[str, Tensor] = {}
    for name, task in tasks.items():
        named[f"logits_{name}"] = output.logits[name].float()
        named[f"probabilities_{name}"] = task.probabilities(output.logits[name].float())
        for branch, logits in output.branch_logits.items():
            if name in logits:
                named[f"{branch}_probabilities_{name}"] = task.probabilities(logits[name].float())
        if output.gates is not None and name in output.gates:
            named[f"gates_{name}"] = output.gates[name].float()
    if output.attention is not None:
        named["attention"] = output.attention[:, 0].float()
    return named


class TorchNetwork:
    """A run's model on the device that its config names; see `Network`.

    Raises:
        UserError: no finished run there.
    """

    def __init__(self, run: str | Path) -> None:
        from caer.engine.checkpoint import load_run
        from caer.engine.precision import resolve_device
        from caer.predict.confidence import fitted_temperatures
        from preprocessing.files import sha256_file

        self.run = load_run(run)
        self.config, self.tasks, self.output = self.run.config, self.run.tasks, self.run.output
        self.device = resolve_device(self.config)
        self.model = self.run.model.to(self.device).eval()
        self.inputs = self.model.inputs(self.output)  # type: ignore[arg-type]
        self.temperatures = fitted_temperatures(self.run.folder)
        self.origin = {
            "name": self.config.name,
            "seed": self.config.seed,
            "stage": self.run.stage,
            "weights_sha256": sha256_file(self.run.folder / "best.safetensors"),
        }

    @property
    def settings(self) -> Settings:
        """The preprocessing settings of the run's manifest."""
        return run_settings(self.run.meta, self.run.folder)

    def __call__(self, batch: dict[str, Any]) -> dict[str, np.ndarray]:
        """See `Network`."""
        from caer.data.features import to_device

        with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            named = named_outputs(self.model(to_device(batch, self.device)), self.tasks)
        return {name: value.cpu().numpy() for name, value in named.items()}


def run_settings(meta: dict[str, Any], folder: Path) -> Settings:
    """The preprocessing settings of the manifest that a run was trained on (the first, where there were several).

    Raises:
        UserError: the run does not tell them.
    """
    manifests = meta.get("manifests") or [{}]
    settings = manifests[0].get("settings")
    if not settings:
        raise UserError(f"{folder}: its provenance.json has no preprocessing settings; pass `settings`, or train the run again")
    return validate(Settings, settings, folder / "provenance.json")


class OnnxNetwork:
    """A network that `python -m caer export` wrote, with everything it needs inside the file; see `Network`.

    Raises:
        UserError: no such file, or not one of ours.
    """

    def __init__(self, path: str | Path) -> None:
        if not Path(path).is_file():
            raise UserError(f"{path}: no such file; expected an .onnx file, as `python -m caer export` writes it")
        self._open(str(path), str(path))

    @classmethod
    def of(cls, content: bytes, name: str) -> "OnnxNetwork":
        """The network in a file's bytes; `name` is what errors call it."""
        network = cls.__new__(cls)
        network._open(content, name)
        return network

    def _open(self, source: str | bytes, name: str) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.add_session_config_entry("session.set_denormal_as_zero", "1")
        try:
            self.session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's own exceptions have no common base
            raise UserError(f"{name}: cannot be read as an ONNX file ({str(error)[:120]}); export the run again") from None
        card = read_embedded(self.session.get_modelmeta().custom_metadata_map, name)
        self.config = validate(Config, card["config"], name)
        self.output, self.inputs = card["output"], set(card["inputs"]) - {"has_face"}
        self._settings = validate(Settings, card["settings"], name)
        self.temperatures, self.origin = dict(card["temperatures"]), dict(card["origin"])
        self.feeds = [entry.name for entry in self.session.get_inputs()]
        self.names = [entry.name for entry in self.session.get_outputs()]
        self.tasks = {name: task for name, task in build_tasks(self.config).items() if f"logits_{name}" in self.names}

    @property
    def settings(self) -> Settings:
        """The preprocessing settings of the exported run's manifest."""
        return self._settings

    def __call__(self, batch: dict[str, Any]) -> dict[str, np.ndarray]:
        """See `Network`."""
        feeds = {name: np.ascontiguousarray(batch[name].numpy()) for name in self.feeds}
        return dict(zip(self.names, self.session.run(self.names, feeds), strict=True))


EMBEDDED = "caer"
EMBEDDED_VERSION = 1


def read_embedded(metadata: dict[str, str], path: str | Path) -> dict[str, Any]:
    """What an exported file carries beside its weights: config, settings, inputs, output, temperatures, origin.

    Raises:
        UserError: it carries nothing, or something of another version.
    """
    import json

    try:
        card = json.loads(metadata.get(EMBEDDED, ""))
        version = card["schema_version"]
    except (ValueError, KeyError, TypeError):
        raise UserError(
            f"{path}: carries no settings of this project; expected a file that `python -m caer export` wrote"
        ) from None
    if version != EMBEDDED_VERSION:
        raise UserError(f"{path}: schema_version {version!r} is unknown; this code reads {EMBEDDED_VERSION}")
    return card


def open_network(run: str | Path) -> Network:
    """The network of a run's folder, or of an `.onnx` file."""
    return OnnxNetwork(run) if str(run).lower().endswith(".onnx") else TorchNetwork(run)
