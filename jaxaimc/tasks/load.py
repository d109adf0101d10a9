"""Find a task by its import path, such as `my_package.my_net:task`, or by the name under which it is registered."""

import importlib
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from jaxaimc.tasks import demo, hub
from jaxaimc.tasks.task import Task

# Packages register tasks under this group of entry points: `my_task = "my_package.my_net:task"`.
GROUP = "jaxaimc.tasks"


def registered_tasks() -> dict[str, str]:
    """Return the import paths of all tasks that installed packages have registered, by name.

    A package registers a task by an entry point of the group `jaxaimc.tasks`. Nothing is imported.

    Raises:
        ValueError: If two packages register different tasks under one name.
    """
    found: dict[str, str] = {}
    for entry in entry_points(group=GROUP):
        if found.setdefault(entry.name, entry.value) != entry.value:
            raise ValueError(
                f"Two packages register a task {entry.name!r}, {found[entry.name]!r} and {entry.value!r}: name the one "
                "that is meant by its path."
            )
    return dict(sorted(found.items()))


def load_task(path: str, data: str | Path | None = None) -> Task:
    """Import a task factory and call it.

    The current directory is importable while the module is loaded, and stays so; for the networks that come with the
    library, `jaxaimc_models.vit:fashion_mnist`, it is not looked at.

    Args:
        path: `package.module:factory`, or the name of a task that an installed package has registered.
        data: Folder with the data, passed on to the factory; None for the task's own default. Of a data set of the
            hub, `hf://datasets/owner/name`, the folder into which it was fetched is passed on, with all files of
            `jaxaimc.tasks.hub.DATA`, unless the factory fetches what it needs itself (`hub.takes_names`).

    Returns:
        The task.

    Raises:
        ValueError: If `path` is neither, or the module has no such attribute.
        ModuleNotFoundError: If the module, or a module it needs, is not installed.
        TypeError: If the attribute is not a function from a folder or None to a `Task`.
        FileNotFoundError: If `data` is given and is not a folder, or a data set that cannot be fetched.
        PermissionError: If it is a data set to which its owner has not given access.
    """
    named = path if ":" in path else registered_tasks().get(path, path)
    module_name, separator, attribute = named.partition(":")
    if not separator or not all(part.isidentifier() for part in [*module_name.split("."), attribute]):
        known = ", ".join(registered_tasks()) or "none"
        raise ValueError(
            f"Argument `path` must have the form 'package.module:factory', but is {path!r}, which is no registered "
            f"task either; these are: {known}."
        )
    folder = None if data is None else Path(data)
    if folder is not None and not hub.is_name(folder) and not folder.is_dir():
        raise FileNotFoundError(f"Argument `data` must be an existing folder, but is {str(data)!r}.")
    factory = _attribute(_import(module_name, path), attribute, path)
    if not callable(factory):
        raise TypeError(
            f"Task path {path!r} must name a function (folder or None) -> Task, but names a {type(factory).__name__}."
        )
    if folder is not None and not getattr(factory, "takes_hub_names", False):
        folder = hub.folder(folder, hub.DATA)
    task = factory(folder)
    if not isinstance(task, Task):
        raise TypeError(f"Task path {path!r} must return a Task, but returned a {type(task).__name__}.")
    return task


def _import(module_name: str, path: str) -> Any:
    if module_name.partition(".")[0] == demo.PACKAGE:
        # Nothing of the current directory is run for what comes with the library.
        demo.import_models()
        return importlib.import_module(module_name)
    directory = str(Path.cwd())
    if directory not in sys.path:
        sys.path.insert(0, directory)
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise ModuleNotFoundError(
                f"Task path {path!r}: module {module_name!r} needs {error.name!r}, which is not installed.",
                name=error.name,
            ) from error
        raise ModuleNotFoundError(
            f"Task path {path!r}: there is no module {error.name!r} on the import path or in the current directory.",
            name=error.name,
        ) from error


def _attribute(module: Any, attribute: str, path: str) -> Any:
    if not hasattr(module, attribute):
        public = ", ".join(sorted(name for name in vars(module) if not name.startswith("_")))
        raise ValueError(
            f"Task path {path!r}: module {module.__name__!r} has no attribute {attribute!r}; it has: {public}."
        )
    return getattr(module, attribute)
