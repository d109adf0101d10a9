"""Configs in words: units from the fields' declarations first, from the docstring second."""

import dataclasses

import pytest

from jaxaimc import AnalogConfig, adcs, component, config, leaf, presets, static
from jaxaimc._core.component import Component
from jaxaimc._core.describe import attributes, describe


@component
class Base(Component):
    """A part.

    Attributes:
        r: Resistance of a segment [kohm], without leads: as measured.
        gains: Gains of the stages [1]; the first counts.
        label: What it is called.
    """

    r: float = leaf(0.15, "ohm", low=0.0)
    gains: tuple[float, ...] = (1.0, 2.5)
    label: str = static(default="x")


@component
class Derived(Base):
    """Another part.

    Attributes:
        t: Time [s].
    """

    t: float = 2e-9


@component
class Silent(Base):
    pass


def test_units_are_the_declared_ones_and_fields_of_bases_keep_their_words():
    assert describe(Derived(), "part").splitlines() == [
        "part: Derived",
        "  r = 150 mohm  (Resistance of a segment)",
        "  gains = (1, 2.5)  (Gains of the stages)",
        "  label = x  (What it is called)",
        "  t = 2 ns  (Time)",
    ]
    assert describe(Silent()).splitlines()[1:] == describe(Base()).splitlines()[1:]
    assert attributes(Derived)["t"] == ("Time", "s")
    assert Derived().describe() == describe(Derived())


@pytest.mark.parametrize("make", [presets.tile_circuit, presets.crosssim_sonos, presets.isaac, presets.asim])
def test_every_field_of_a_preset_is_on_a_line(make):
    lines = make().describe().splitlines()
    assert len(lines) == len(config.leaf_paths(make())) + _parts_and_structure(make())
    assert not any(" = None" in line for line in lines)


def _parts_and_structure(part):
    inner = [
        value for field in dataclasses.fields(part) if dataclasses.is_dataclass(value := getattr(part, field.name))
    ]
    statics = [field for field in dataclasses.fields(part) if field.metadata.get("static")]
    return 1 + len(statics) + sum(map(_parts_and_structure, inner))


def test_declared_units_reach_the_built_in_parts():
    text = AnalogConfig(adc=adcs.CCO(max_count=127.0)).describe()
    for line in ("r = 150 mohm", "g_max = 25 uS", "f_adc = 6.24 GHz", "i_ref = 100 uA", "t_lsb = 1 ns", "bits = 8"):
        assert line in text
