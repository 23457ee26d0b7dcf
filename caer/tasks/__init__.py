"""Task types, one file each: `Config` and `build(config, name) -> Task`. The file's name is the config's `type`."""

from typing import TYPE_CHECKING

from caer.tasks.base import Task
from preprocessing.lookup import find_plugin, plugin_config

if TYPE_CHECKING:
    from caer.config import Config

__all__ = ["Task", "build_tasks"]


def build_tasks(config: "Config") -> dict[str, Task]:
    """The tasks of an experiment by name, in the config's order."""
    tasks: dict[str, Task] = {}
    for name, options in config.tasks.items():
        settings = plugin_config("caer.tasks", options, f"tasks.{name}")
        tasks[name] = find_plugin("caer.tasks", options["type"]).build(settings, name)
    return tasks
