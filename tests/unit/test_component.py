"""Components are told apart by their class, also where their fields are equal."""

import itertools

import jax
import numpy as np

from jaxaimc import adcs, component
from jaxaimc._core.component import static


def test_structures_of_different_classes_differ():
    parts = [adcs.FullRange(), adcs.TileRange(), adcs.MidTread(), adcs.BothEnds(), adcs.Nearest(), adcs.Floor()]
    for one, other in itertools.combinations(map(jax.tree.structure, parts), 2):
        assert one != other
    assert jax.tree.structure(adcs.Symmetric(limit=1.0)) != jax.tree.structure(adcs.ChargeNoise(rms=1.0))
    assert jax.tree.structure(adcs.FullRange()) == jax.tree.structure(adcs.FullRange())


def test_jit_never_answers_for_another_class():
    """A hundred classes alike but for their name: a cache that compares fields alone confuses some of them."""
    kinds = [component(type("Kind", (), {"number": index})) for index in range(100)]
    add = jax.jit(lambda part, x: x + type(part).number)
    assert [float(add(kind(), 0.0)) for kind in kinds] == list(range(100))


def test_leaves_have_names_and_static_fields_are_structure():
    @component
    class Part:
        value: float = 2.0
        size: int = static(default=3)

    paths, tree = jax.tree_util.tree_flatten_with_path(Part())
    assert [(jax.tree_util.keystr(path), leaf) for path, leaf in paths] == [(".value", 2.0)]
    assert tree != jax.tree.structure(Part(size=4))
    again = jax.tree.map(lambda leaf: np.asarray([leaf, 5.0]), Part())
    np.testing.assert_array_equal(again.value, [2.0, 5.0])
    assert again.size == 3
