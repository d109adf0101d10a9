"""Every public name says what it is; its units and bounds reach the site's tables."""

import importlib
import inspect
import sys
import types
from pathlib import Path

import pytest

import jaxaimc

sys.path.append(str(Path(__file__).resolve().parents[2] / "docs" / "_extensions"))
from fields import rows_of

MODULES = ["jaxaimc", *(f"jaxaimc.{name}" for name in jaxaimc._PACKAGES)]


def _without_docstring(module):
    for name in getattr(module, "__all__", ()):
        value = getattr(module, name)
        if isinstance(value, types.ModuleType):
            assert value.__doc__, value.__name__
            yield from _without_docstring(value)
        elif isinstance(value, type):
            if not value.__dict__.get("__doc__"):
                yield name
            yield from (
                f"{name}.{member}"
                for member, method in vars(value).items()
                if not member.startswith("_")
                and (inspect.isfunction(method) or isinstance(method, property))
                and not method.__doc__
            )
        elif inspect.isroutine(value) and not inspect.getdoc(value):
            yield name


@pytest.mark.parametrize("name", MODULES)
def test_every_public_name_has_a_docstring(name):
    module = importlib.import_module(name)
    assert module.__doc__
    assert list(_without_docstring(module)) == []


def test_tables_of_fields_say_what_the_fields_say():
    from jaxaimc.adcs import CCO, Uniform
    from jaxaimc.wires import Ladder

    frequency, _, count = rows_of(CCO)
    assert frequency == ("f_adc", "Oscillation frequency at the reference current.", "Hz", "> 0", "6.24 GHz")
    assert (count.allowed, count.default) == ("≥ 1", "infinite")
    assert rows_of(Ladder)[0][2:] == ("ohm", "[0, 1e+09]", "150 mohm")
    assert next(row for row in rows_of(Uniform) if row.name == "range").default == "FullRange"


def test_every_field_of_a_component_is_explained():
    from jaxaimc._core.component import CLASSES

    public = [
        cls for name, cls in CLASSES.items() if name.split(".")[1] in ("adcs", "cells", "devices", "drives", "wires")
    ]
    assert len(public) > 80
    assert [(cls.__name__, row.name) for cls in public for row in rows_of(cls) if not row.meaning] == []
