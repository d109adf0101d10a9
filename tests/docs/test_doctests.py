"""Every example in a docstring of the library and of its networks runs and prints what it says."""

import doctest
import importlib
import pkgutil

import pytest

import jaxaimc
import models

MODULES = sorted(
    {
        "jaxaimc",
        *(m.name for m in pkgutil.walk_packages(jaxaimc.__path__, "jaxaimc.")),
        *(m.name for m in pkgutil.walk_packages(models.__path__, "models.")),
    }
)
# Whole evaluations, over a minute with every annotation checked; suites that `conformance` runs on the same parts.
SLOW = {
    "jaxaimc.studies.run",
    "jaxaimc.studies.sensitivity",
    *(name for name in MODULES if name.startswith("jaxaimc.testing.") and name != "jaxaimc.testing.rules"),
}


def _examples(module):
    return [t for t in doctest.DocTestFinder(exclude_empty=True).find(module) if t.examples]


@pytest.mark.parametrize("name", [pytest.param(m, marks=pytest.mark.slow if m in SLOW else ()) for m in MODULES])
def test_examples(name):
    module = importlib.import_module(name)
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    report = []
    for test in _examples(module):
        runner.run(test, out=report.append)
    assert not runner.failures, "".join(report)


def test_examples_are_found_through_the_run_time_checks():
    """The import hook wraps functions; a finder that loses their docstrings would make the test above pass idly."""
    names = {
        test.name
        for name in ("jaxaimc.cells.differential", "jaxaimc.tile.state")
        for test in _examples(importlib.import_module(name))
    }
    assert {"jaxaimc.cells.differential.Differential", "jaxaimc.tile.state.tile_grid"} <= names
