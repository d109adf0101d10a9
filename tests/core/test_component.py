"""Components: told apart by their class, held to what their fields declare, refused with what to write instead."""

import abc
import itertools
from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxaimc import adcs, component, devices, leaf, static
from jaxaimc._core.component import Component, kind


class Filter(Component):
    """A kind of part of these tests."""

    @abc.abstractmethod
    def smooth(self, x: Any, key: Any = None) -> Any:
        """Smooth."""

    @property
    @abc.abstractmethod
    def width(self) -> float:
        """Width [s]."""


class Source(Component):
    """Another kind of part."""


@component
class Mean(Filter):
    width: float = leaf(1.0, "s", above=0.0)
    order: int = static(default=2, low=1, high=8)

    def smooth(self, x, key=None):
        return x


@component
class Around(Filter):
    inner: Filter = Mean()
    gain: float = leaf(1.0, low=0.0, high=2.0)

    @property
    def width(self):
        return self.inner.width

    def smooth(self, x, key=None):
        return self.inner.smooth(x)


@component
class Battery(Source):
    volts: float = leaf(1.0, "V", infinite=True)


@component
class Circuit(Component):
    filter: Filter = Mean()
    source: Source | None = None
    gains: tuple[float, ...] = leaf((1.0, 2.0), low=0.0)
    profile: float = leaf(0.0, "V", array=True)
    mode: Literal["fast", "exact"] = static(default="fast")
    sizes: tuple[int, ...] = static(default=(4, 4), low=1, high=64)


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


def test_bounds_of_an_optional_integer_let_none_pass():
    @component
    class Part(Component):
        size: int | None = static(default=None, low=1, high=8)

    assert Part().size is None
    assert Part(size=8).size == 8
    for wrong in (0, 9, True, 1.5):
        with pytest.raises(ValueError, match=r"`size` of Part must be an integer in \[1, 8\] or None, but is"):
            Part(size=wrong)


@pytest.mark.parametrize("declared", [int, bool, str, bytes, int | None, tuple[int, ...], Literal[1, 2], Callable])
def test_s2_structure_that_is_not_static_is_refused_with_what_to_write(declared):
    with pytest.raises(TypeError, match=r"Field `size` of Part is declared .*write `size: .* = static\(default=...\)`"):
        component(type("Part", (), {"__annotations__": {"size": declared}}))


@pytest.mark.parametrize("declared", ["int", "tuple[int, ...]", "bool | None"])
def test_s2_structure_declared_as_text_is_refused_beside_names_that_nobody_knows(declared):
    with pytest.raises(TypeError, match="Field `size` of Part is declared"):
        component(type("Part", (), {"__annotations__": {"other": "OnlyAFunctionKnows", "size": declared}}))


@pytest.mark.parametrize("declared", [float, float | None, tuple[float, ...], Any, "OnlyAFunctionKnows"])
def test_continuous_fields_need_no_declaration(declared):
    component(type("Part", (), {"__annotations__": {"size": declared}}))


def test_s2_a_missing_method_is_named_with_how_it_begins():
    @component
    class Half(Filter):
        @property
        def width(self):
            return 1.0

    @component
    class Nothing(Filter):
        pass

    with pytest.raises(
        TypeError, match=r"^Half is not a whole Filter yet: it lacks `def smooth\(self, x, key=None\)`\.$"
    ):
        Half()
    with pytest.raises(TypeError, match=r"lacks `def smooth\(self, x, key=None\)` and the field `width` \(or a prop"):
        Nothing()
    with pytest.raises(TypeError, match="Filter is not a whole Filter yet"):
        Filter()


def test_s2_a_required_field_takes_the_place_of_a_property():
    @component
    class Wide(Filter):
        width: float

        def smooth(self, x, key=None):
            return x

    assert Wide(width=3.0).width == 3.0
    assert jax.tree.map(lambda value: 2 * value, Wide(width=3.0)).width == 6.0
    with pytest.raises(TypeError, match="missing 1 required keyword-only argument: 'width'"):
        Wide()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Circuit(filter=Battery()), r"Field `filter` of Circuit must be a Filter of `.*` or a class derived"),
        (lambda: Circuit(filter=Battery()), "but is a Battery, which is a Source"),
        (lambda: Circuit(filter=Mean), r"but is the class Mean itself: write `Mean\(...\)`"),
        (lambda: Circuit(source=Mean()), "Field `source` of Circuit must be a Source"),
        (lambda: Circuit(filter=3), "Field `filter` of Circuit must be a Filter .* but is 3"),
        (lambda: Circuit(filter="Mean"), "Field `filter` of Circuit must be a Filter .* but is 'Mean'"),
        (lambda: Circuit(filter=None), "Field `filter` of Circuit must be a Filter .* but is None"),
        (lambda: Mean(width=Battery()), r"Field `width` of Mean must be a number \[s\], but is Battery\("),
        (lambda: Mean(width=Battery), r"Field `width` of Mean must be a number \[s\], but is the class Battery"),
        (lambda: Mean(width=lambda: 3), "Field `width` of Mean must be a number"),
        (lambda: Mean(width={"a": 1.0}), "Field `width` of Mean must be a number"),
        (lambda: Mean(width="1 s"), "Field `width` of Mean must be a number .* but is '1 s'"),
        (lambda: Mean(width=None), "Field `width` of Mean must be a number .* but is None"),
        (lambda: Mean(width=[1.0, 2.0]), r"Field `width` of Mean must be one number, but has shape \(2,\)"),
        (lambda: Mean(width=(1.0, 2.0)), r"Field `width` of Mean must be one number, but is \(1.0, 2.0\)"),
        (lambda: Mean(width=[[1.0], [2.0, 3.0]]), "Field `width` of Mean must be a number"),
        (lambda: Mean(width=np.ones(3)), r"Field `width` of Mean must be one number, but has shape \(3,\)"),
        (lambda: Around(inner=Mean(width=-1.0)), r"Field `width` of Mean must be in \(0, .*\) s, but is -1 s"),
        (lambda: Circuit(gains=()), "Field `gains` of Circuit must hold at least one number, but is empty"),
        (lambda: Circuit(gains=((1.0,), (2.0,))), "Field `gains` of Circuit must be a flat tuple of numbers"),
        (lambda: Circuit(gains=(1.0, float("nan"))), "Field `gains` of Circuit must be in"),
        (lambda: Circuit(gains=(1.0, "2")), "Field `gains` of Circuit must be a number"),
        (lambda: Circuit(profile=np.ones((0, 3))), r"Field `profile` of Circuit must hold at least one number"),
        (lambda: Circuit(mode="slow"), "Field `mode` of Circuit must be one of 'fast', 'exact', but is 'slow'"),
        (lambda: Circuit(mode=["fast"]), "Field `mode` of Circuit must be one of"),
        (lambda: Circuit(sizes=()), "Field `sizes` of Circuit must be a tuple of type"),
        (lambda: Circuit(sizes=4), "Field `sizes` of Circuit must be a tuple of type"),
        (lambda: Circuit(sizes=(4, 0)), r"Field `sizes` of Circuit must be an integer in \[1, 64\], but is 0"),
        (lambda: Circuit(sizes=(4, (4,))), r"Field `sizes` of Circuit must be an integer in \[1, 64\], but is \(4,\)"),
        (lambda: Mean(order=2.0), r"Field `order` of Mean must be an integer in \[1, 8\], but is 2.0"),
        (lambda: Mean(order=True), r"Field `order` of Mean must be an integer in \[1, 8\], but is True"),
        (lambda: Mean(order=None), r"Field `order` of Mean must be an integer in \[1, 8\], but is None"),
    ],
)
def test_bad_values_and_parts_s2_name_field_class_and_role(make, message):
    with pytest.raises(ValueError, match=message) as caught:
        make().validate()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("value", "unit", "ok"),
    [
        (1e30, "s", False), (1e-30, "S", False), (1e38, "A", False), (1e39, "", False), (1e-39, "", True),
        (10**400, "V", False), (0.0, "S", True), (1e-9, "S", True), (1e30, "", True), (3, "V", True),
    ],
)  # fmt: skip
def test_bad_sizes_s3_no_field_leaves_single_precision(value, unit, ok):
    @component
    class Part(Component):
        value: float = leaf(1.0, unit)

    if ok:
        Part(value=value).validate()
    else:
        with pytest.raises(ValueError, match="Field `value` of Part must be "):
            Part(value=value).validate()


def test_bad_sizes_s3_a_positive_number_is_not_rounded_to_zero():
    @component
    class Part(Component):
        width: float = leaf(1.0, above=0.0)

    with pytest.raises(
        ValueError, match=r"Field `width` of Part must be zero or 1.18e-38 to 3.4e.38 in size, but is 1e-39"
    ):
        Part(width=1e-39).validate()


def test_static_fields_without_bounds_keep_their_type():
    @component
    class Part(Component):
        count: int = static(default=3)
        name: str | None = static(default=None)
        signs: tuple[float, ...] = static(default=(1.0,))
        anything: Any = static(default=None)

    Part(count=np.int64(4), name="x", signs=[1, -1], anything=print)
    assert Part(signs=np.array([1.0, -1.0])).signs == (1.0, -1.0)
    for wrong in ({"count": 3.5}, {"count": "3"}, {"count": True}, {"name": 3}, {"signs": (float("nan"),)}):
        with pytest.raises(ValueError, match=f"Field `{next(iter(wrong))}` of Part must be"):
            Part(**wrong)


def test_trees_of_anything_can_stand_in_for_a_component():
    """What JAX puts into components (axes for `vmap`, tracers, Nones) is not refused when they are rebuilt."""
    axes = Circuit(filter=None, source=None, gains=None, profile=0)
    batch = Circuit(profile=jnp.arange(3.0))
    assert jax.vmap(lambda circuit: circuit.profile + circuit.gains[1], in_axes=(axes,))(batch).tolist() == [
        2.0,
        3.0,
        4.0,
    ]
    jax.jit(lambda circuit: circuit.validate())(Circuit(profile=-1.0))


def test_with_reaches_through_wrappers():
    assert Around(inner=Mean(width=2.0)).with_(order=3) == Around(inner=Mean(width=2.0, order=3))
    assert Around().with_(gain=0.5) == Around(gain=0.5)
    assert Around().with_(volts=0.5) is None


def test_programming_drift_and_read_noise_are_three_kinds():
    assert kind(devices.PCMDrift) is devices.DriftLaw
    assert kind(devices.PCMFlickerNoise) is devices.ReadNoise
    assert kind(devices.PCMProgrammingNoise) is devices.ProgrammingNoise
