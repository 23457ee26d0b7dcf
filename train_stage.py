"""Train one stage of an experiment, or all that its config declares."""

import argparse

from preprocessing.errors import UserError, run_command


def main() -> None:
    """Parse the command line, load the config, fit the stages in order."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--config", required=True, help="a YAML file of configs/")
    parser.add_argument("--stage", required=True, help="a stage's number, or all")
    parser.add_argument(
        "--set", nargs="+", action="extend", default=[], metavar="key=value", help="override settings of the config"
    )
    parser.add_argument("--restart", action="store_true", help="start the stage over and replace what is there")
    arguments = parser.parse_args()

    # Torch takes seconds to import; a mistake on the command line should not.
    from caer.config import load_config

    config = load_config(arguments.config, arguments.set)
    stages = sorted(config.stages) if arguments.stage == "all" else [_number(arguments.stage)]
    for stage in stages:
        config.stage(stage)

    from caer.engine.run import fit_stage

    for stage in stages:
        fit_stage(config, stage, resume=not arguments.restart)
    print(f"results: {config.run_folder}; next: python -m caer evaluate {config.run_folder}")


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise UserError(f"--stage {text!r}: expected a number or all")
    return int(text)


if __name__ == "__main__":
    run_command(main)
