"""Folders of data that a user names, each once or all at once."""

import os
from pathlib import Path


def data_folder(data: Path | None, name: str, source: str) -> Path:
    """Return the folder of a data set.

    Args:
        data: The folder itself or one that has it under its name; None for the folder of all data that the environment
            variable JAXAIMC_DATA names.
        name: Name of the data set, such as `"banking77"`.
        source: What to say of the data where they are absent: their files, and where they come from.

    Returns:
        An existing folder.

    Raises:
        FileNotFoundError: If no folder is named or there is none.
    """
    root = data or (Path(os.environ["JAXAIMC_DATA"]) if os.environ.get("JAXAIMC_DATA") else None)
    if root is None:
        raise FileNotFoundError(
            f"The task needs {source}: name the folder as the data folder, or the folder that has it as {name!r} in "
            "the environment variable JAXAIMC_DATA."
        )
    if (root / name).is_dir():
        return root / name
    if data is None or not data.is_dir():
        raise FileNotFoundError(
            f"There is no folder {str(root / name if data is None else data)!r}; it needs {source}."
        )
    return data


def beside(data: Path | None, name: str) -> list[Path]:
    """Return the folders in which another data set's folder may lie: beside the one that is used, or in JAXAIMC_DATA.

    Args:
        data: The data folder that a task was given, or None.
        name: Name of the other folder.
    """
    roots = [] if data is None else [data, data.parent]
    named = os.environ.get("JAXAIMC_DATA")
    roots += [Path(named)] if named else []
    return [root / name for root in roots if (root / name).is_dir()]
