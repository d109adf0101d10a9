"""Folders of data that a user names, each once or all at once."""

import os
from collections.abc import Sequence
from pathlib import Path

from jaxaimc.tasks import hub


def data_folder(data: str | Path | None, name: str, source: str, files: Sequence[str]) -> Path:
    """Return the folder of a data set.

    Args:
        data: The folder itself or one that has it under its name; None for the folder of all data that the environment
            variable JAXAIMC_DATA names. Either may be a name of the hub (`jaxaimc.tasks.hub`), such as
            `hf://datasets/owner/name`.
        name: Name of the data set, such as `"banking77"`.
        source: What to say of the data where they are absent: their files, and where they come from.

        files: Patterns of the files that are needed, for the hub.

    Returns:
        An existing folder.

    Raises:
        FileNotFoundError: If no folder is named or there is none, or a data set of the hub cannot be fetched.
    """
    named = data or os.environ.get("JAXAIMC_DATA")
    if not named:
        raise FileNotFoundError(
            f"The task needs {source}: name the folder as the data folder, or the folder that has it as {name!r} in "
            "the environment variable JAXAIMC_DATA."
        )
    root = hub.folder(named, [*files, *(f"{name}/{pattern}" for pattern in files)])
    if (root / name).is_dir():
        return root / name
    if data is None or not root.is_dir():
        missing = str(root / name if data is None else root)
        raise FileNotFoundError(f"There is no folder {missing!r}; it needs {source}.")
    return root


def beside(data: str | Path | None, name: str, files: Sequence[str]) -> list[Path]:
    """Return the folders in which another data set's folder may lie: beside the one that is used, or in JAXAIMC_DATA.

    Args:
        data: The data folder that a task was given, or None.
        name: Name of the other folder.
        files: Patterns of its files that are needed, for the hub.
    """
    patterns = [f"{name}/{pattern}" for pattern in files]
    roots = [] if data is None else [hub.folder(data, patterns)]
    if data is not None and not hub.is_name(data):
        roots += [Path(data).parent]
    named = os.environ.get("JAXAIMC_DATA")
    roots += [hub.folder(named, patterns)] if named else []
    return [root / name for root in roots if (root / name).is_dir()]
