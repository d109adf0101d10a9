"""Public names of components, as config files write them: `cells.Differential`, or module and class of your own."""

import sys

from jaxaimc import adcs, cells, devices, drives, wires  # noqa: F401 -- a file may name every part of these
from jaxaimc._core import component
from jaxaimc.config.analog import AnalogConfig
from jaxaimc.config.errors import ConfigFileError, nearest

_OWN = __name__.partition(".")[0]


def public_name(cls: type) -> str:
    """Return the name of a class of components in config files.

    Args:
        cls: The class.

    Returns:
        Package and class for the library's own, whatever file of the package they are in; module and qualified name
        for others.

    Example:
        >>> from jaxaimc import cells
        >>> public_name(cells.Differential)
        'cells.Differential'
    """
    if cls is AnalogConfig:
        return "AnalogConfig"
    package, *inner = cls.__module__.split(".")
    return f"{inner[0]}.{cls.__qualname__}" if package == _OWN and inner else f"{cls.__module__}.{cls.__qualname__}"


def classes() -> dict[str, type]:
    """Return every class that a config file can name now: those whose modules are imported."""
    own_last = sorted(component.CLASSES.values(), key=lambda cls: cls.__module__.partition(".")[0] == _OWN)
    return {public_name(cls): cls for cls in own_last}


def named(name: str) -> type:
    """Return the class of a public name. Nothing is imported.

    Args:
        name: As `public_name` returns it.

    Raises:
        ConfigFileError: If there is no such class, with the nearest one or the module to import first.
    """
    known = classes()
    if name in known:
        return known[name]
    same = [other for other in known if other.rpartition(".")[2] == name.rpartition(".")[2]]
    near = f" (did you mean {same[0]!r}?)" if same else nearest(name, known)
    module = _module_of(name)
    if near or module.partition(".")[0] == _OWN or not module:
        raise ConfigFileError(f"the class {name!r} is not known{near}.")
    if module in sys.modules:
        raise ConfigFileError(f"the class {name!r} is not known: the module {module!r} has no such component.")
    raise ConfigFileError(f"the class {name!r} is not known: import the module {module!r} first, if it is yours.")


def _module_of(name: str) -> str:
    """Return the module in a class's name: what comes before the first part that begins with a capital."""
    parts = name.split(".")
    return ".".join(parts[: next((i for i, part in enumerate(parts) if part[:1].isupper()), len(parts) - 1)])
