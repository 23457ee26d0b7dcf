"""The model card: what a network is, what it was made from, how well it does, and what it is not for.

Enters: a loaded network. Leaves: plain JSON, and the same as Markdown. It names no path of the machine it was made on.
"""

import time
from pathlib import Path
from typing import Any

from caer.predict.answers import names_of
from caer.predict.networks import TorchNetwork
from preprocessing.files import read_json, sha256_file
from preprocessing.lookup import plugin_config
from preprocessing.settings import Settings

INTENDED = (
    "Research on context-aware recognition of apparent expressions, and finding one's own photos by how the people in them look."
)
LIMITS = [
    "It says how a face looks in a photo, not what the person feels: apparent expression is not felt emotion.",
    "Not for use in the workplace or in education (there, inferring emotions is prohibited by Art. 5(1)(f) of the EU AI Act), "
    "nor for surveillance, nor for any decision about a person.",
    "It has learned from the data named here and has not been measured on other kinds of photos, cameras or people; expect it "
    "to do worse there, and differently for different groups of people.",
    "Confidence is calibrated on the run's validation rows alone.",
]
OF_SCENES = "Its answer leans on the surroundings: the same face in another scene can be answered otherwise."
"""A limit of networks that see more than the face."""
ABOUT_INPUTS = (
    "`face` is the crop (aligned by landmarks where the config says so), `context` the whole photo with the face hidden, `image` "
    "the whole photo; `has_face` is false where there is no face. Normalisation is part of the network. `python -m caer predict` "
    "makes all of them from photos."
)


def make_card(network: TorchNetwork, kind: str) -> dict[str, Any]:
    """The card of an export.

    Args:
        network: the run's.
        kind: format of the export.
    """
    meta, size = network.run.meta, network.config.data.image_size
    sides = {"face": size.face, "context": size.context, "image": size.context}
    inputs = {
        name: {"shape": ["batch", 3, sides[name], sides[name]], "type": "uint8", "colours": "RGB"} for name in network.inputs
    }
    if network.output == "fused":
        inputs["has_face"] = {"shape": ["batch"], "type": "bool"}
    return {
        "name": network.config.name,
        "format": kind,
        "written": time.strftime("%Y-%m-%d", time.gmtime()),
        "origin": network.origin,
        "output": network.output,
        "parameters": sum(p.numel() for p in network.model.parameters()),
        "tasks": {name: {"kind": t.kind, "classes": names_of(t), **t.facts} for name, t in network.tasks.items()},
        "inputs": inputs,
        "preprocessing": shareable_settings(network.settings, hashes=True),
        "config": shareable(network.config.model_dump(mode="json")),
        "temperatures": network.temperatures,
        "data": [_source(source) for source in meta.get("manifests", [])],
        "trained": {key: meta.get(key) for key in ("commit", "versions", "rows", "class_counts", "protocol_hash", "row_hash")},
        "metrics": _metrics(network),
        "intended_use": INTENDED,
        "limits": [*LIMITS, *([OF_SCENES] if set(network.inputs) - {"face"} else [])],
    }


def shareable(config: dict[str, Any]) -> dict[str, Any]:
    """A config whose paths are names only."""
    for source in config["data"]["sources"]:
        source["manifest"] = Path(source["manifest"]).name
    config["runs"] = "runs"
    for stage in config["stages"].values():
        stage["init"] = {part: "/".join(origin.strip("/").split("/")[-3:]) for part, origin in stage["init"].items()}
    model = config["model"]
    for part in [model, *(value for value in model.values() if isinstance(value, dict))]:
        if "/" in str(part.get("weights", "")):
            part["weights"] = Path(part["weights"]).name
    return config


def shareable_settings(settings: Settings, hashes: bool = False) -> dict[str, Any]:
    """Preprocessing settings without the folders of the files that a detector reads.

    Args:
        settings: of the run's manifest.
        hashes: each file as {file, sha256}, null where it is gone, to tell it by; otherwise as its name, as settings want it, and
            left out where it lies at the detector's default, which each machine has for itself.
    """
    return settings.model_dump(mode="json") | {"detector": _shareable_detector(settings.detector, hashes)}


def _shareable_detector(options: dict[str, Any], hashes: bool) -> dict[str, Any]:
    config = plugin_config("preprocessing.detectors", options, "detector")
    shown: dict[str, Any] = config.model_dump(mode="json")
    for name, field in type(config).model_fields.items():
        value = getattr(config, name)
        if isinstance(value, Path) and not hashes and value == field.get_default(call_default_factory=True):
            del shown[name]
        elif isinstance(value, Path):
            shown[name] = _shareable_file(value, hashes)
        elif isinstance(value, list) and any(isinstance(each, Path) for each in value):
            shown[name] = [_shareable_file(each, hashes) for each in value]
        elif isinstance(value, dict) and "type" in value:
            shown[name] = _shareable_detector(value, hashes)
    return shown


def _shareable_file(path: Path, hashes: bool) -> Any:
    return {"file": path.name, "sha256": sha256_file(path) if path.is_file() else None} if hashes else path.name


def _source(manifest: dict[str, Any]) -> dict[str, Any]:
    dataset = manifest.get("dataset") or {}
    return {"dataset": dataset.get("name") or dataset.get("type"), "row_hash": manifest.get("row_hash")}


def _metrics(network: TorchNetwork) -> dict[str, Any]:
    """By split and task the scores of the run's evaluations of these weights, each with its interval."""
    found: dict[str, Any] = {}
    stage = network.run.folder
    for path in [*stage.glob("eval/*/metrics.json"), *stage.parent.glob("eval/*/metrics.json")]:
        metrics = read_json(path, "the metrics of an evaluation")
        if metrics["run"].get("weights_sha256") != network.origin["weights_sha256"]:
            continue
        found[metrics["split"]] = {
            name: {part: _estimates(rows) for part, rows in task.get("rows", {}).items()}
            for name, task in metrics["tasks"].items()
        }
    return found


def _estimates(rows: dict[str, Any]) -> dict[str, Any]:
    scores = {name: value for name, value in rows.items() if isinstance(value, dict) and "value" in value}
    return {"n": rows.get("n"), **scores}


def to_markdown(card: dict[str, Any]) -> str:
    """The card as a page of Markdown."""
    origin = card["origin"]
    lines = [f"# {card['name']}", "", f"{card['intended_use']}", "", "## Limits", "", *(f"- {line}" for line in card["limits"])]
    lines += ["", "## What it answers", ""]
    for name, task in card["tasks"].items():
        lines.append(f"- **{name}** ({task['kind']}): {', '.join(task['classes']) or 'a number'}")
    lines += ["", "## Scores", "", *_score_lines(card["metrics"])]
    lines += ["", "## Inputs", "", "| input | shape | type |", "| --- | --- | --- |"]
    lines += [f"| {name} | {' x '.join(map(str, value['shape']))} | {value['type']} |" for name, value in card["inputs"].items()]
    file, parity = card["file"], card["parity"]
    lines += ["", ABOUT_INPUTS, "", "## Where it comes from", ""]
    lines += [
        f"- run {origin['name']}, seed {origin['seed']}, stage {origin['stage']} ({card['output']})",
        f"- {card['parameters']:,} parameters, weights SHA-256 {origin['weights_sha256']}",
        f"- {file['name']}: {file['bytes']:,} bytes, SHA-256 {file['sha256']}, written {card['written']}",
        f"- answers differ from the run's by at most {parity['largest_difference']:.1e}, on {parity['rows']} real rows",
        f"- code: commit {card['trained']['commit']}",
        *(f"- data: {source['dataset']}, rows {source['row_hash']}" for source in card["data"]),
    ]
    lines += ["", "`card.json` holds the same with the config, the preprocessing settings and all hashes.", ""]
    return "\n".join(lines)


def _score_lines(metrics: dict[str, Any]) -> list[str]:
    if not metrics:
        return ["The run has not been evaluated with these weights (`python -m caer evaluate`)."]
    lines = ["| split | task | rows | n | score | value | 95% interval |", "| --- | --- | --- | --- | --- | --- | --- |"]
    for split, tasks in metrics.items():
        for task, parts in tasks.items():
            for part, scores in parts.items():
                for name, score in scores.items():
                    if name != "n" and score["value"] is not None:
                        lines.append(f"| {split} | {task} | {part} | {scores['n']} | {name} | {_three(score)} |")
    return lines


def _three(score: dict[str, Any]) -> str:
    low, high = score.get("low"), score.get("high")
    interval = "–" if low is None or high is None else f"{low:.3f} to {high:.3f}"
    return f"{score['value']:.3f} | {interval}"
