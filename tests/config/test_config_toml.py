"""Configs as TOML: the standard library reads what is written, and what is no config is refused with the reason."""

import random
import tomllib

import numpy as np
import pytest

from jaxaimc import AnalogConfig, component, config, presets, wires
from jaxaimc.config import ConfigFileError
from jaxaimc.config.toml import toml_text


@pytest.mark.parametrize("name", presets.__all__)
def test_presets_are_the_same_in_both_forms(name, tmp_path):
    written = getattr(presets, name)()
    file = tmp_path / "tile.TOML"
    file.write_text(config.dumps(written, "toml"), encoding="utf-8-sig")
    assert config.dumps(config.load(file)) == config.dumps(written)


def test_the_standard_library_reads_what_is_written():
    content = {
        "text": 'a "quoted" \\ \n \x7f \x00 line, 10 µm',
        "numbers": [0, -1, 1e-30, 1.5e300, float("inf"), -float("inf"), True, False],
        "nested": [[1.0, [2.0]], [], ["a"], [{"b": 1, "c d": "e"}]],
        "a key with.dots": {'and "more"': {"deep": 1}, "empty": {}},
        "after": {"x": 1},
    }
    assert tomllib.loads(toml_text(content)) == content
    assert tomllib.loads(toml_text({"absent": None, "x": {"absent": None}})) == {"x": {}}


def test_infinity_is_a_number_where_a_field_allows_it():
    text = 'schema = 2\n[config]\ntype = "AnalogConfig"\n[config.adc]\ntype = "adcs.CCO"\nmax_count = {}\n'
    for written in ("inf", '"inf"'):
        assert config.loads(text.format(written), form="toml").adc.max_count == np.inf
    assert config.loads(text.format(3), form="toml").adc.max_count == 3.0


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("r = nan", "config.wires.r: Field `r` of Ladder must be a number [ohm], but is nan."),
        ("r = inf", "config.wires: Field `r` of Ladder must be in [0, "),
        ("r = 1e999", "config.wires.r: Field `r` of Ladder must be a number [ohm], but is 1e999."),
        ("r = 1979-05-27", "config.wires.r: Field `r` of Ladder must be a number [ohm], but is datetime.date(1979,"),
        ("r = " + "9" * 5000, "a number has too many digits at line 5: 'r = 99999"),
        ("r = 0x" + "f" * 5000, "config.wires.r: Field `r` of Ladder must be a number [ohm], but is 0xffff"),
        ("alternate = 2", "config.wires: Field `alternate` of Ladder must be true or false, but is 2."),
        ("ohms = 1", "config.wires has no field 'ohms'; Ladder has: r, "),
        ("r = 1\nr = 2", "not TOML: "),
        ("r = ", "not TOML: Invalid value at line 5."),
        ("r.a = 1", "config.wires.r: Field `r` of Ladder must be a number"),
    ],
)
def test_bad_lines_are_refused_with_the_field(line, message):
    text = f'schema = 2\n[config]\ntype = "AnalogConfig"\n[config.wires]\n{line}\ntype = "wires.Ladder"'
    with pytest.raises(ConfigFileError) as caught:
        config.loads(text, "tile", "toml")
    assert str(caught.value).startswith(f"Config tile: {message}")


@component
class Hopeful(wires.NoWires):
    """Wires of a user, with a field that is None only if one says so."""

    layout: wires.Layout | None = wires.Separate()


def test_bad_config_that_only_json_can_hold():
    assert config.loads(config.dumps(AnalogConfig(wires=Hopeful()), "toml"), form="toml") == AnalogConfig(
        wires=Hopeful()
    )
    mine = AnalogConfig(wires=Hopeful(layout=None))
    assert config.loads(config.dumps(mine)) == mine
    with pytest.raises(ConfigFileError, match="cannot be written as TOML, which has no null"):
        config.dumps(mine, "toml")


PIECES = ["", '"', "]", "[", "\n", "=", "\x00", "nan", "{", "#", ".", "7", "µ"]


@pytest.mark.parametrize("seed", range(60))
def test_bad_mutated_text_ends_in_a_config_or_in_one_line(seed):
    rng = random.Random(seed)
    text = config.dumps(presets.tile_circuit() if seed % 2 else presets.isaac(), "toml")
    for _ in range(rng.randint(1, 3)):
        at, cut = rng.randrange(len(text)), rng.choice([0, 1, 1, 5, 200])
        text = text[:at] + rng.choice(PIECES) + text[at + cut :]
    message = None
    try:
        read = config.loads(text, "mutated", "toml")
    except ConfigFileError as error:
        message = str(error)
    if message is None:
        assert config.dumps(read, "toml")
        return
    assert message.startswith("Config mutated: ")
    assert "\n" not in message
    assert not any(word in message for word in ("TypeError", "AttributeError", "IndexError", "KeyError"))
