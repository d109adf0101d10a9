"""The networks that come with the library, wherever it is installed.

In a wheel they are the package `jaxaimc_models` beside `jaxaimc`; in a checkout they are the folder `models`. They are
found by the place of this file, never on the import path, where a folder of the same name might lie.
"""

import importlib.util
import sys
from pathlib import Path

PACKAGE = "jaxaimc_models"
DEMO = f"{PACKAGE}.vit:fashion_mnist"


def import_models() -> None:
    """Make the package `jaxaimc_models` importable under its name.

    Raises:
        ModuleNotFoundError: If the installation has no models.
    """
    if PACKAGE in sys.modules:
        return
    root = Path(__file__).resolve().parent.parent.parent
    # A `models` without the checkout's own files around it belongs to somebody else.
    folder = root / "models" if (root / "pyproject.toml").is_file() else root / PACKAGE
    if not (folder / "__init__.py").is_file():
        raise ModuleNotFoundError(
            f"This installation of jaxaimc has no models: there is no folder {str(folder)!r}.", name=PACKAGE
        )
    spec = importlib.util.spec_from_file_location(
        PACKAGE, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    assert spec is not None
    assert spec.loader is not None
    package = importlib.util.module_from_spec(spec)
    sys.modules[PACKAGE] = package
    spec.loader.exec_module(package)
