"""What the suites of all kinds of parts share: parts as trees, as values, in words and as files."""

import dataclasses
import re

import jax
import numpy as np
import pytest

from jaxaimc import config as files
from jaxaimc._core.describe import describe

UNITS = {"g_min": "S", "g_max": "S", "t_lsb": "s", "t_pulse": "s", "v_read": "V", "f_adc": "Hz", "i_ref": "A"}


def public(package, base):
    """Return the names of a package's components of a kind."""
    found = [getattr(package, n) for n in package.__all__]
    return {c.__name__ for c in found if isinstance(c, type) and issubclass(c, base) and dataclasses.is_dataclass(c)}


def names_of(parts):
    return {type(part).__name__ for part in parts}


def check_as_part(part, config):
    """Check a part by itself, and within a config that goes with it."""
    part.validate()
    leaves, tree = jax.tree.flatten(part)
    assert describe(jax.tree.unflatten(tree, leaves)) == describe(part)
    assert hash(tree) == hash(jax.tree.structure(part))
    _check_words(part)
    check_refusals(part)
    again = files.loads(files.dumps(config))
    assert describe(again) == describe(config)
    assert jax.tree.structure(again) == jax.tree.structure(config)


def _check_words(part):
    for line in describe(part).splitlines()[1:]:
        field, found, _ = line.strip().partition(" = ")
        if found:
            assert line.endswith(")"), f"no documentation: {line}"
        if field in UNITS:
            assert re.search(rf" = [-0-9.a-z]+ [munpkMG]?{UNITS[field]} ", line), line


def check_refusals(part):
    """Whatever continuous field is not a number, `validate` names it."""
    leaves, tree = jax.tree_util.tree_flatten_with_path(part)
    for index, (path, leaf) in enumerate(leaves):
        broken = [value for _, value in leaves]
        broken[index] = np.full(np.shape(leaf), np.nan) if np.ndim(leaf) else float("nan")
        field = next(key.name for key in reversed(path) if isinstance(key, jax.tree_util.GetAttrKey))
        with pytest.raises(ValueError, match=f"`{field}` of .* nan"):
            jax.tree.unflatten(tree, broken).validate()
