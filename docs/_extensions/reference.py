"""Pages of the reference: one for each package, with every public name, written anew at each build."""

import importlib
import inspect
import re
import types
from pathlib import Path
from typing import Any

from docstrings import as_rst
from fields import field_names

import jaxaimc

# Pages of the repository that lie outside of this folder.
_OUTSIDE = {"changelog": "CHANGELOG.md", "contributing": "CONTRIBUTING.md"}
# The order in which a signal meets the packages, then what stands on them.
_ORDER = (
    "cells", "devices", "wires", "drives", "adcs", "config", "presets", "tile", "calibration", "nn", "tasks", "studies",
    "training", "design", "sweeps", "cost", "interop", "report", "plots", "spice", "testing", "units",
)  # fmt: skip


def public_names(module: types.ModuleType) -> list[str]:
    """Return the public names of a module: those of `__all__`, or what it defines itself."""
    if hasattr(module, "__all__"):
        return sorted(module.__all__, key=str.lower)
    return [
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and (getattr(value, "__module__", None) == module.__name__)
    ]


def summary_of(value: Any) -> str:
    """Return the first sentence of a docstring; what has none is a constant, or the type of a function."""
    if not (isinstance(value, (type, types.ModuleType)) or inspect.isroutine(value)):
        return f"The number {value}." if isinstance(value, int) else "Type of a function that you may give."
    first = (inspect.getdoc(value) or "").partition("\n\n")[0].replace("\n", " ")
    return re.split(r"(?<=[a-z0-9)`\]])[.:] (?=[A-Z])", first)[0].rstrip(".:") + "."


def _write(path: Path, text: str) -> None:
    """Write a file if it changed, so that Sphinx reads only what is new."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def _heading(text: str, line: str) -> list[str]:
    return [text, line * len(text), ""]


def _page(name: str) -> str:
    module = importlib.import_module(name)
    lines = [*_heading(name, "="), *_module(module)]
    for inner in public_names(module):
        value = getattr(module, inner)
        if isinstance(value, types.ModuleType):
            lines += [*_heading(f"{name}.{inner}", "-"), *_module(value)]
    return "\n".join(lines)


def _module(module: types.ModuleType) -> list[str]:
    name = module.__name__
    lines = [f".. py:module:: {name}", "", *_prose(module), ""]
    if name == "jaxaimc.units":
        lines += _constants(module)
    names = public_names(module)
    own = [inner for inner in names if not isinstance(getattr(module, inner), types.ModuleType)]
    lines += _overview(module, names)
    for inner in own:
        lines += _entry(f"{name}.{inner}", getattr(module, inner))
    return lines


def _prose(module: types.ModuleType) -> list[str]:
    """Return what a module says of itself; its indented paragraphs are drawings."""
    found = []
    for paragraph in inspect.cleandoc(module.__doc__ or "").split("\n\n"):
        lines = paragraph.split("\n")
        drawing = all(line.startswith("    ") for line in lines)
        found += [*(["::", "", *lines] if drawing else as_rst(lines)), ""]
    return found


def _overview(module: types.ModuleType, names: list[str]) -> list[str]:
    rows = []
    for inner in names:
        value = getattr(module, inner)
        role = "mod" if isinstance(value, types.ModuleType) else "obj"
        target = value.__name__ if role == "mod" else f"{module.__name__}.{inner}"
        rows += [f"   * - :py:{role}:`{inner} <{target}>`", f"     - {' '.join(as_rst([summary_of(value)]))}"]
    return [".. list-table::", "   :widths: 30 70", "", *rows, ""] if rows else []


def _entry(name: str, value: Any) -> list[str]:
    if isinstance(value, type):
        members = ", ".join(_members(value))
        return [f".. autoclass:: {name}", *([f"   :members: {members}"] if members else []), ""]
    return [f".. {'autofunction' if inspect.isroutine(value) else 'autodata'}:: {name}", ""]


def _members(cls: type) -> list[str]:
    """Return the public methods and properties that a class defines itself, without fields, which its table has."""
    fields = {*field_names(cls), *getattr(cls, "_fields", ()), *getattr(cls, "__dataclass_fields__", ())}
    return [
        name
        for name, value in vars(cls).items()
        if not name.startswith("_")
        and name not in fields
        and (inspect.isroutine(value) or isinstance(value, (property, classmethod, staticmethod)))
        and (getattr(value, "__doc__", None) or "").strip()
    ]


def _constants(module: types.ModuleType) -> list[str]:
    rows = [
        line
        for name, value in vars(module).items()
        if isinstance(value, float) and not name.startswith("_")
        for line in (f"   * - ``{name}``", f"     - {value:g}")
    ]
    return [".. list-table::", "   :header-rows: 1", "", "   * - name", "     - value", *rows, ""]


def _top(packages: tuple[str, ...]) -> str:
    """Return the page of the package itself: names point to the packages that define them."""
    lines = [*_heading("Reference", "="), *as_rst(inspect.cleandoc(jaxaimc.__doc__ or "").split("\n")), ""]
    lines += [
        "Every public name is importable from the package below which it stands. These come from ``jaxaimc`` itself:",
        "",
        ".. list-table::",
        "   :widths: 30 70",
        "",
    ]
    own = []
    for name in jaxaimc.__all__:
        value = getattr(jaxaimc, name)
        home = jaxaimc._HOMES[name]
        if home.startswith("_"):
            own.append(name)
            home = ""
        target = f"jaxaimc.{home}.{name}" if home else f"jaxaimc.{name}"
        lines += [f"   * - :py:obj:`{name} <{target}>`", f"     - {' '.join(as_rst([summary_of(value)]))}"]
    lines += ["", ".. py:currentmodule:: jaxaimc", ""]
    for name in own:
        lines += _entry(f"jaxaimc.{name}", getattr(jaxaimc, name))
    lines += ["", ".. list-table::", "   :widths: 30 70", ""]
    for name in packages:
        module = importlib.import_module(f"jaxaimc.{name}")
        lines += [f"   * - :doc:`jaxaimc.{name} <{name}>`", f"     - {' '.join(as_rst([summary_of(module)]))}"]
    return "\n".join([*lines, "", ".. toctree::", "   :hidden:", "", *(f"   {name}" for name in packages), ""])


def _generate(app: Any) -> None:
    if set(_ORDER) != set(jaxaimc._PACKAGES):
        raise ValueError(f"The reference lists {sorted(_ORDER)}, but the library has {sorted(jaxaimc._PACKAGES)}.")
    folder = Path(app.srcdir) / "_generated"
    for name in _ORDER:
        _write(folder / "reference" / f"{name}.rst", _page(f"jaxaimc.{name}"))
    _write(folder / "reference" / "index.rst", _top(_ORDER))
    for page, file in _OUTSIDE.items():
        text = (Path(app.srcdir).parent / file).read_text(encoding="utf-8")
        _write(folder / f"{page}.md", text.replace("](docs/", "](../"))


def _inside(app: Any, docname: str, source: list[str]) -> None:
    """Point links to pages outside of this folder at their copies on the site."""
    for page, file in _OUTSIDE.items():
        source[0] = source[0].replace(f"](../{file})", f"](_generated/{page}.md)")


def setup(app: Any) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("builder-inited", _generate)
    app.connect("source-read", _inside)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
