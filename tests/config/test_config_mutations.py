"""Config files changed at random end in a config, or in one line that names the field: never in another error."""

import copy
import json
import math
import random
from pathlib import Path

import pytest

from jaxaimc import config, presets
from jaxaimc.config import ConfigFileError

MAKERS = [
    presets.tile_circuit,
    presets.standard_aimc,
    presets.crosssim_sonos,
    presets.isaac,
    presets.prime,
    presets.asim,
]
VALUES = [
    None, True, False, 0, 1, -1, 7, 0.5, -0.0, 1e-45, 1e-30, 1e30, 1e38, 1e39, 1e308, 10**30, 10**400, -(2**63), 65537,
    "", "x", "inf", "-inf", "nan", "AnalogConfig", [], [[]], [1.0], [[1.0], [2.0, 3.0]], [None], ["1"], ["inf"], {},
    {"type": None}, {"type": "adcs.CCO"}, {"type": "wires.Ladder", "r": 1.0}, {"type": "devices.NoDrift"},
    {"type": "a.B"},
    {"type": "devices.Polynomial", "coefficients": [1.0, [2.0]]}, math.nan, math.inf, -math.inf, [math.nan],
]  # fmt: skip
OLD = sorted(path for path in (Path(__file__).parent / "schema1").glob("*.json") if path.stem != "crosssim_sonos")
WORDS = [
    "",
    "type",
    "r",
    "range",
    "schema",
    "config",
    "adc",
    "retention",
    "g_max",
    "\ud800",
    "a\nb",
    "validate",
    "__init__",
]


def _places(value):
    """Return every object and list in a file with its keys."""
    found = []
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else []
    for key in keys:
        found += [(value, key), *_places(value[key])]
    return found


def _mutated(content, rng):
    """Return a file's text with one to three random changes: value, type, key, nesting or truncation."""
    for _ in range(rng.randint(1, 3)):
        owner, key = rng.choice(_places(content))
        change = rng.choice(["value", "value", "swap", "key", "nest", "drop", "add"])
        if change == "value":
            owner[key] = copy.deepcopy(rng.choice(VALUES))
        elif change == "swap":
            other, place = rng.choice(_places(content))
            owner[key] = copy.deepcopy(other[place])
        elif change == "nest":
            for _ in range(rng.choice([1, 2, 60])):
                owner[key] = [owner[key]] if rng.random() < 0.5 else {"type": rng.choice(WORDS), "adc": owner[key]}
        elif change == "drop":
            del owner[key]
        elif isinstance(owner, dict):
            owner[rng.choice(WORDS)] = owner.pop(key) if change == "key" else copy.deepcopy(rng.choice(VALUES))
        if not _places(content):
            break
    text = json.dumps(content)
    if rng.random() < 0.1:
        text = text[: rng.randrange(len(text))]
    if rng.random() < 0.05:
        start = rng.randrange(len(text))
        text = text[:start] + rng.choice(['"', "}", "\x00", "1e999", "\ufeff", "//"]) + text[start:]
    return text


@pytest.fixture(scope="module")
def files():
    return [json.loads(config.dumps(make())) for make in MAKERS]


@pytest.mark.parametrize("seed", range(300))
def test_bad_mutated_file_s3_ends_in_a_config_or_in_one_line(files, seed):
    rng = random.Random(seed)
    content = copy.deepcopy(files[seed % len(files)])
    if seed % 5 == 4:
        content = json.loads(rng.choice(OLD).read_text())
    text = _mutated(content, rng)
    message = None
    try:
        read = config.loads(text, "mutated")
    except ConfigFileError as error:
        message = str(error)
    if message is None:
        assert config.dumps(config.loads(config.dumps(read))) == config.dumps(read)
    else:
        _check_message(message, text)


def _check_message(message, text):
    assert message.startswith("Config mutated: ")
    assert "\n" not in message
    message.encode()
    # Failures in the library's own classes are refusals, not accidents.
    assert not any(
        word in message for word in ("cannot be made: TypeError", "AttributeError", "IndexError", "KeyError")
    )
    if '"config": ' not in text or "not JSON" in message:
        return
    named = ("config.", "config ", "config:", "Field `", "key ", "nested", '"schema"')
    assert any(part in message.removeprefix("Config mutated: ") for part in named), message


def _parts(part):
    """Return the paths of all fields of a config, parts included."""
    return [
        *config.leaf_paths(part),
        *(name for name in ("wires", "adc", "cell", "drive", "device", "rows", "adc.range")),
    ]


@pytest.mark.parametrize("seed", range(100))
def test_bad_mutated_config_s2_in_python_is_refused_in_one_line(seed):
    """The same in Python: any value in any field is a config, or a `ValueError` that names the field."""
    rng = random.Random(seed)
    made = presets.isaac() if seed % 2 else presets.standard_aimc()
    everything = [config.at(made, path) for path in ("wires", "adc", "cell", "drive", "device", "adc.range")]
    values = [*VALUES, *everything, *map(type, everything), object(), lambda: 3, {1, 2}, 1j, b"x"]
    path, value = rng.choice(_parts(made)), rng.choice(values)
    message = None
    try:
        config.with_at(made, {path: value}).validate()
    except ValueError as error:
        message = str(error)
    assert message is None or ("Field `" in message and "\n" not in message)
