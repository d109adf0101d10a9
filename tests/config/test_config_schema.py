"""The JSON schema says of files what the reader does."""

import json
import re
from urllib.parse import unquote

import json_schema
import pytest

from jaxaimc import AnalogConfig, adcs, cells, component, config, leaf, presets, static, wires


@component
class Tilted(wires.Wires):
    """Wires of a user.

    Attributes:
        angle: How far they are turned [V]; nothing more.
    """

    angle: float = leaf(0.0, "V", above=-1.0, high=2.0)
    layers: int = static(default=1, low=1, high=4)
    extra: wires.Layout | None = None

    def effective(self, g, signs, placement):
        raise NotImplementedError


SCHEMA = config.schema()


def check(content):
    """Return whether a file fits the schema."""
    return json_schema.fits(content, SCHEMA)


VALID = [
    AnalogConfig(),
    *(
        getattr(presets, name)()
        for name in ("tile_circuit", "standard_aimc", "crosssim_sonos", "isaac", "prime", "asim")
    ),
    AnalogConfig(wires=Tilted(extra=wires.Separate())),
    AnalogConfig(adc=adcs.ColumnMux(adc=adcs.Mismatch(adc=adcs.Pipeline()))),
    AnalogConfig(cell=cells.Pairs(factors=(1.0, 4.0)), wires=wires.Mesh(layout=wires.InterleavedRows())),
]


def test_it_is_json_and_every_reference_leads_somewhere():
    text = config.schema_text()
    schema = config.schema()  # not SCHEMA: other tests may have added parts of their own since that was made
    assert json.loads(text) == schema
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    for name in re.findall(r'"\$ref": "#/\$defs/([^"]+)"', text):
        assert unquote(name) in schema["$defs"]
    json_schema.check_schema(schema)


@pytest.mark.parametrize("valid", VALID)
def test_what_is_written_fits(valid):
    assert check(json.loads(config.dumps(valid)))


@pytest.mark.parametrize(
    "change",
    [
        lambda c: c.update(schema=1),
        lambda c: c.update(rows=3),
        lambda c: c.pop("config"),
        lambda c: c["config"].update(rows=0),
        lambda c: c["config"].update(rows="8"),
        lambda c: c["config"].update(column_scales=0.5),
        lambda c: c["config"].update(adc=3),
        lambda c: c["config"].update(adc={"type": "wires.Ladder"}),
        lambda c: c["config"].update(adc={"type": "adcs.Uniform", "range": {"type": "wires.Ladder"}}),
        lambda c: c["config"]["wires"].update(r=-1),
        lambda c: c["config"]["wires"].update(r="0.1"),
        lambda c: c["config"]["wires"].update(r=[1.0]),
        lambda c: c["config"]["wires"].update(ohms=1.0),
        lambda c: c["config"]["wires"].pop("type"),
        lambda c: c["config"]["drive"].update(bits=40),
        lambda c: c["config"]["drive"].update(t_lsb=1e30),
        lambda c: c["config"]["device"]["programming"]["std"].update(coefficients=[]),
        lambda c: c["config"].update(adc={"type": "adcs.Uniform", "range": {"type": "adcs.Span", "low": 0.0}}),
    ],
)
def test_bad_files_fit_neither_the_schema_nor_the_reader(change):
    content = json.loads(config.dumps(presets.tile_circuit()))
    assert check(content)
    change(content)
    assert not check(content)
    if content.get("schema") != 1:
        with pytest.raises(config.ConfigFileError):
            config.loads(json.dumps(content))


def test_definitions_carry_bounds_units_and_words():
    tilted = SCHEMA["$defs"][f"{__name__}.Tilted"]
    assert tilted["description"] == "Wires of a user."
    assert tilted["properties"]["angle"] == {
        "description": "How far they are turned [V]",
        "default": 0.0,
        "type": "number",
        "exclusiveMinimum": -1.0,
        "maximum": 2.0,
    }
    assert tilted["properties"]["layers"] == {"default": 1, "type": "integer", "minimum": 1, "maximum": 4}
    assert {"type": "null"} in tilted["properties"]["extra"]["anyOf"]
    assert {"$ref": "#/$defs/wires.Separate"} in tilted["properties"]["extra"]["anyOf"]
    assert SCHEMA["$defs"]["wires.Ladder"]["properties"]["r"]["description"].endswith("[ohm]")
    assert SCHEMA["$defs"]["adcs.Span"]["required"] == ["type", "low", "high"]
    roles = [choice["$ref"] for choice in SCHEMA["$defs"]["AnalogConfig"]["properties"]["wires"]["anyOf"]]
    assert "#/$defs/wires.NoWires" in roles
    assert not any("adcs" in role for role in roles)


@pytest.mark.parametrize("name", sorted(name for name in SCHEMA["$defs"] if name != "numbers" and "test_" not in name))
def test_every_field_of_the_library_is_described(name):
    for field, rule in SCHEMA["$defs"][name]["properties"].items():
        assert field == "type" or rule.get("description"), f"{name}.{field}"
