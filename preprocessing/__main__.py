"""`python -m preprocessing run | demo | weights`: the command line of preprocessing."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from preprocessing.command_line import run_app
from preprocessing.errors import UserError, run_command
from preprocessing.lookup import find_plugin, plugin_config
from preprocessing.settings import Settings, apply_overrides, load_yaml, validate

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.callback()
def _commands() -> None:
    """From raw photos to a manifest of faces."""


@app.command()
def run(
    out: Annotated[Path, typer.Option(help="Folder to write to; run again to resume.")],
    dataset: Annotated[str, typer.Option(help="image_folder, dataframe, genki4k, ... (preprocessing/datasets).")] = "",
    root: Annotated[Path | None, typer.Option(help="Folder that holds the photos (dataframe: or the table itself).")] = None,
    detector: Annotated[
        str, typer.Option(help="retinaface (default), retinaface_r50, mtcnn, boxes, whole (preprocessing/detectors).")
    ] = "",
    config: Annotated[Path | None, typer.Option(help="YAML with settings and a `dataset:` group.")] = None,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", help="key.sub=value, for example dataset.table=labels.csv.")
    ] = None,
    workers: Annotated[int, typer.Option(help="Processes; 0 for one a core.", min=0, max=256)] = 0,
    write_context: Annotated[bool, typer.Option("--write-context", help="Also write the masked photos to OUT/context.")] = False,
    limit: Annotated[int | None, typer.Option(help="Only the first so many photos.", min=1)] = None,
) -> None:
    """Detect, select and crop the faces of a dataset's photos; write OUT/manifest.parquet."""
    run_command(lambda: _run(_tree(config, overrides, dataset, root, detector), out, workers, write_context, limit))


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for photos/, labels.csv and truth.parquet.")],
    preset: Annotated[str, typer.Option(help="demo_v1 (balanced, clean) or demo_v4 (10:1, label noise).")] = "demo_v1",
    n: Annotated[int | None, typer.Option(help="Photos in all.", min=1)] = None,
    seed: Annotated[int, typer.Option(help="Of the scenes and the drawings.")] = 17,
    workers: Annotated[int, typer.Option(help="Processes; 0 for one a core.", min=0, max=256)] = 0,
) -> None:
    """Draw scenes with known truth, to try everything without a download."""

    def draw() -> None:
        from preprocessing.demo import draw_demo

        draw_demo(out, preset, n, seed, workers)
        print(f"drawn: {out} (labels.csv, truth.parquet, photos/)")

    run_command(draw)


@app.command()
def weights() -> None:
    """Fetch and verify the small RetinaFace and EfficientNet-Lite0 weights."""

    def fetch() -> None:
        from preprocessing.weights import lite0_state_dict_path, retinaface_onnx

        print(retinaface_onnx())
        print(lite0_state_dict_path())

    run_command(fetch)


def _tree(config: Path | None, overrides: list[str] | None, dataset: str, root: Path | None, detector: str) -> dict[str, Any]:
    """The settings of the config file, then the options, then the overrides."""
    tree = load_yaml(config) if config else {}
    if dataset and _group(tree, "dataset").get("type") != dataset:
        tree["dataset"] = {"type": dataset}
    if root is not None:
        tree["dataset"] = {**_group(tree, "dataset"), "root": str(root)}
    if detector and _group(tree, "detector").get("type") != detector:
        tree["detector"] = {"type": detector}
    return apply_overrides(tree, overrides or [])


def _group(tree: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    group = tree.get(key) or {}
    if not isinstance(group, dict):
        raise UserError(f"{key}: expected a group of settings, found {group!r}")
    return group


def _run(tree: dict[str, Any], out: Path, workers: int, write_context: bool, limit: int | None) -> None:
    from preprocessing.pipeline import ContextMask, preprocess

    options = dict(_group(tree, "dataset"))
    mask = validate(ContextMask, dict(_group(tree, "context_mask")), "context_mask")
    given = {k: v for k, v in tree.items() if k not in ("dataset", "context_mask")}
    if "type" in options and "root" not in options:
        find_plugin("preprocessing.datasets", options["type"])
        raise UserError("no --root given; it is the folder that holds the dataset's photos")
    dataset_config = plugin_config("preprocessing.datasets", options, "dataset")
    dataset = find_plugin("preprocessing.datasets", dataset_config.type).build(dataset_config)
    settings = validate(Settings, {**dataset_config.suggested(), **given}, "settings")
    result = preprocess(dataset, settings, out, workers, mask if write_context else None, limit)
    _report(result.summary, result.manifest)


def _report(summary: Mapping[str, Any], manifest: Path) -> None:
    """What was made, in a few lines."""
    done, seconds = summary["run"]["photos"], summary["run"]["seconds"]
    print(
        f"{summary['photos']} photos -> {summary['rows']} rows, {summary['faces']} faces; {done} processed now in {seconds:.1f} s"
    )
    for name in ("status", "split"):
        print(f"{name}: " + ", ".join(f"{key} {n}" for key, n in sorted(summary[name].items(), key=lambda item: -item[1])))
    for name, note in {**summary["dataset"], **({"decisions": summary["decisions"]} if "decisions" in summary else {})}.items():
        print(f"{name}: {note}")
    print(f"manifest: {manifest} (rows {summary['row_hash'][:16]})")


def main() -> None:
    """Entry point; options without a subcommand mean `run`."""
    if len(sys.argv) > 1 and sys.argv[1].startswith("--") and sys.argv[1] != "--help":
        sys.argv.insert(1, "run")
    run_app(app, "python -m preprocessing")


if __name__ == "__main__":
    main()
