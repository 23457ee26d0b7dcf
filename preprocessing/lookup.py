"""Find a plug-in (a dataset, a detector, a task type) by its file name: no registry to edit.

A plug-in is a module `<package>/<name>.py` that exposes a pydantic `Config` and `build(config)`.
"""

import importlib
import pkgutil
from types import ModuleType
from typing import Any

from preprocessing.errors import UserError, unknown_name
from preprocessing.settings import validate


def plugin_names(package: str) -> list[str]:
    """Names of the plug-ins in a package (`preprocessing.detectors`), sorted; `base` is not one."""
    folder = importlib.import_module(package)
    return sorted(m.name for m in pkgutil.iter_modules(folder.__path__) if m.name != "base" and not m.name.startswith("_"))


def find_plugin(package: str, name: object) -> ModuleType:
    """The module of a plug-in.

    Raises:
        UserError: no such plug-in; the message lists the known ones.
    """
    kind = package.rsplit(".", 1)[-1].removesuffix("s").replace("_", " ")
    known = plugin_names(package)
    if name not in known:
        raise unknown_name(kind, name, known)
    return importlib.import_module(f"{package}.{name}")


def plugin_config(package: str, options: dict[str, Any], where: str, key: str = "type") -> Any:
    """Validate `{type: NAME, ...options}` against the plug-in's own `Config` and return that config."""
    if key not in options:
        raise UserError(f"{where}: no {key!r} given; known: {', '.join(plugin_names(package))}")
    module = find_plugin(package, options[key])
    return validate(module.Config, options, where)
