"""Settings files: what they fill, what wins over them, and one line for everything that can be wrong in one."""

import copy
import json
import random
import tomllib
import typing
from pathlib import Path

import json_schema
import pytest

from jaxaimc import AnalogConfig, cli, config, presets, wires
from jaxaimc.cli.config import read_config
from jaxaimc.cli.evaluate import Evaluate
from jaxaimc.cli.formats import files_schema, template
from jaxaimc.cli.options import name_of, options
from jaxaimc.cli.parser import COMMANDS
from jaxaimc.cli.settings import keep_settings, read_settings
from jaxaimc.config.parse import values
from jaxaimc.config.toml import toml_text

RUN = {
    "schema": 1,
    "command": "evaluate",
    "task": "my_task:task",
    "examples": 500,
    "times": [1, 3600.5],
    "full": True,
    "data": "hf://datasets/owner/name",
    "checkpoint": "weights/c.safetensors",
    "config": "tile.json",
}
HEAD = b'schema = 1\ncommand = "evaluate"\n'
# The smallest settings that each command takes beside those of its options with a default.
NEEDED = {
    "train": {"task": "t:t", "output": "out"},
    "design": {"variables": ["wires.r"], "output": "out"},
    "sweep": {"output": "out"},
    "report": {"folders": ["results"]},
}
TILE = {"type": "AnalogConfig", "rows": 64, "wires": {"type": "wires.Ladder", "r": 0.3}}


@pytest.fixture
def ran(monkeypatch, tmp_path):
    """Run a command line in a folder, and return the command as it was about to run."""
    monkeypatch.chdir(tmp_path)
    seen = []
    for command in COMMANDS.values():
        monkeypatch.setattr(command, "run", lambda self: seen.append(self))

    def run(*arguments):
        cli.main([str(argument) for argument in arguments])
        return seen.pop()

    return run


def written(path, content):
    path.parent.mkdir(exist_ok=True)
    path.write_text(toml_text(content) if path.suffix == ".toml" else json.dumps(content), encoding="utf-8")
    return path


def refused(capsys, *arguments):
    with pytest.raises(SystemExit) as stop:
        cli.main([str(argument) for argument in arguments])
    message = capsys.readouterr().err
    assert stop.value.code == 2
    assert message.startswith("Error: ")
    assert message.count("\n") == 1
    return message


@pytest.mark.parametrize("name", ["run.toml", "run.json"])
def test_a_file_fills_the_command_and_the_command_line_wins(ran, tmp_path, name):
    file = written(tmp_path / "deep" / name, RUN)
    command = ran("evaluate", "--settings", f"deep/{name}")
    assert isinstance(command, Evaluate)
    assert (command.task, command.examples, command.times, command.full) == ("my_task:task", 500, (1.0, 3600.5), True)
    assert [type(t) for t in command.times] == [float, float]
    assert command.chips is None
    # Relative paths are relative to the file; names of the hub and defaults are not of the file.
    assert (command.checkpoint, command.config) == (Path("deep/weights/c.safetensors"), Path("deep/tile.json"))
    assert (command.data, command.output) == (Path("hf://datasets/owner/name"), Path("results"))

    command = ran("evaluate", "other:task", f"--settings={file}", "--times", "7", "--no-full", "--config", "my.json")
    assert (command.task, command.times, command.full) == ("other:task", (7.0,), False)
    assert (command.config, command.examples) == (Path("my.json"), 500)
    assert ran("evaluate", "--full", "--settings", file).full is True
    assert ran("evaluate").examples is None


def test_what_is_needed_can_stand_in_either(ran, capsys, tmp_path):
    file = written(tmp_path / "run.toml", {"schema": 1, "command": "design", "variables": ["wires.r"], "lambda": [1]})
    command = ran("design", "--settings", file, "--output", "out")
    assert (command.variables, command.weights, command.output) == (("wires.r",), (1.0,), Path("out"))
    with pytest.raises(SystemExit) as stop:
        ran("design", "--settings", file)
    assert stop.value.code == 2
    assert "--output" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["run.toml", "run.json"])
def test_the_tile_can_stand_in_the_file(ran, capsys, tmp_path, name):
    file = written(tmp_path / "a" / name, {**RUN, "config": TILE})
    expected = AnalogConfig(rows=64, wires=wires.Ladder(r=0.3))
    assert read_config(ran("evaluate", "--settings", file).config) == expected
    assert read_config(Path(f"a/{name}#config")) == expected
    wrong = {**TILE, "wires": {"type": "wires.Ladder", "r": -1.0}}
    written(file, {**RUN, "config": wrong})
    with pytest.raises(config.ConfigFileError, match=r"^Settings '.*run.*': config.wires: Field `r` of Ladder must be"):
        read_config(ran("evaluate", "--settings", file).config)
    written(file, {**RUN, "config": {}})
    with pytest.raises(config.ConfigFileError, match='config must name its class under "type"'):
        read_config(ran("evaluate", "--settings", file).config)
    written(tmp_path / "odd#config", {"schema": 2, "config": TILE})
    assert read_config(tmp_path / "odd#config") == expected


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"exmples": 5}, "unknown key 'exmples' (did you mean 'examples'?); evaluate has: task, data, "),
        ({"sweep-examples": 5}, "unknown key 'sweep-examples' (did you mean 'sweep_examples'?)"),
        ({"settings": "x.json"}, "unknown key 'settings'; evaluate has"),
        ({"examples": "500"}, "`examples` must be an integer, but is '500'."),
        ({"examples": 500.0}, "`examples` must be an integer, but is 500.0."),
        ({"examples": True}, "`examples` must be an integer, but is True."),
        ({"seed": None}, "`seed` must be an integer, but is None."),
        ({"full": 1}, "`full` must be true or false, but is 1."),
        ({"times": 3.0}, "`times` must be a list, each entry a number, but is 3.0."),
        ({"times": [1.0, "2"]}, "`times` must be a list, each entry a number, but is [1.0, '2']."),
        ({"times": [float("nan")]}, "`times` must be a list, each entry a number, but is [NaN]."),
        ({"times": [float("inf")]}, "`times` must be a list, each entry a number, but is [Infinity]."),
        ({"seed": 10**4200}, "`seed` must be an integer, but is 1000000"),
        ({"output": 3}, "`output` must be a path, but is 3."),
        ({"output": "a\0b"}, "`output` must hold characters that a text can have, but is 'a\\x00b'."),
        ({"task": "\ud800"}, "`task` must hold characters"),
        ({"config": 3}, "`config` must be a path, or an object of type 'AnalogConfig', but is 3."),
        ({"data": {"type": "AnalogConfig"}}, "`data` must be a path, but is {'type'"),
        ({"command": "train"}, "`command` must be 'evaluate', which is what runs, but is 'train'."),
        ({"command": None}, "`command` must be 'evaluate'"),
        ({"schema": 2}, "`schema` must be at most 1 for this version of jaxaimc, but is 2: it was written for a newer"),
        ({"schema": "1"}, "`schema` must be 1, but is '1'."),
        ({"schema": True}, "`schema` must be 1, but is True."),
    ],
)
def test_bad_keys_and_values_name_file_and_key(capsys, tmp_path, change, message):
    file = written(tmp_path / "run.json", {**RUN, **change})
    assert f"Settings {str(file)!r}: {message}" in refused(capsys, "evaluate", "--settings", file)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "a.json",
            b"[1]",
            'must have "schema": 1 and "command": "evaluate", but has no \'schema\' and no \'command\'.',
        ),
        (
            "a.json",
            b'{"schema": 2, "config": {}}',
            "has no 'command'; a file of the tile alone is given with --config.",
        ),
        ("a.json", json.dumps(RUN).encode()[:-9], "not JSON: "),
        ("a.toml", toml_text(RUN).encode()[:-3], "not TOML: "),
        ("a.toml", b"\x93NUMPY\x00", "is not text: "),
        ("a.json", b"\x00\x01", "not JSON: "),
        ("a.json", b'{"schema": 1, "schema": 1}', "the key 'schema' occurs twice in one object."),
        ("a.toml", b"schema = 1\nschema = 1", "not TOML: "),
        ("a.toml", b"schema = 1\nseed = " + b"1" * 5000, "a number has too many digits at line 2: 'seed = 11111"),
        ("a.toml", HEAD + b"seed = 0x" + b"f" * 9000, "`seed` must be an integer, but is 0xff"),
        ("a.toml", HEAD + b"times = [nan]", "each entry a number, but is [nan]."),
        ("a.toml", HEAD + b"seed = 1979-05-27", "must be an integer, but is datetime.date("),
        ("a.toml", b"a = " + b"[" * 5000, "objects and lists are nested more than 50 deep."),
        ("a.toml", b".".join([b"a"] * 99) + b" = 1", "objects and lists are nested more than 50 deep."),
    ],
)
def test_bad_files_are_refused_in_one_line(capsys, tmp_path, name, content, message):
    file = tmp_path / name
    file.write_bytes(content)
    text = refused(capsys, "evaluate", "--settings", file)
    assert message in text
    assert f"Settings {str(file)!r}" in text


def test_bad_command_lines(capsys, tmp_path):
    absent = tmp_path / "absent.toml"
    assert f"There is no settings file {str(absent)!r}." in refused(capsys, "evaluate", "--settings", absent)
    text = refused(capsys, "evaluate", "--settings", "a", "--settings=b")
    assert "Argument `settings` must be one file, but is given 2 times." in text
    assert "must be one of tile, evaluate, " in refused(capsys, "config", "--schema", "tain")
    assert "(did you mean 'train'?)" in refused(capsys, "config", "--settings", "tain")
    assert "must not be given with `schema`" in refused(capsys, "config", "--schema", "--settings", "train")
    with pytest.raises(config.ConfigFileError, match="config must be an object of type 'AnalogConfig', but is None"):
        read_config(Path(f"{written(tmp_path / 'run.json', {'schema': 1, 'command': 'x'})}#config"))


def test_a_byte_order_mark_is_no_riddle(tmp_path):
    file = tmp_path / "run.toml"
    file.write_text(toml_text({"schema": 1, "command": "evaluate", "seed": 3}), encoding="utf-8-sig")
    assert read_settings(Evaluate, file) == {"seed": 3}


VALUES = [
    None, True, 0, -1, 7, 0.5, 1e308, 10**400, "", "x", "inf", "\0", [], [[]], [1.0], [None], ["a"], {}, {"type": None},
    TILE, float("nan"), float("inf"),
]  # fmt: skip


@pytest.mark.parametrize("seed", range(60))
def test_bad_mutated_settings_end_in_a_command_or_in_one_line(tmp_path, seed):
    rng = random.Random(seed)
    name = rng.choice(list(COMMANDS))
    known = options(COMMANDS[name])
    content = {"schema": 1, "command": name, **{key: rng.choice(VALUES) for key in rng.sample(list(known), 2)}}
    if rng.random() < 0.3:
        content[rng.choice([*map(str.upper, known), "", "a\nb", "\ud800"])] = rng.choice(VALUES)
    text = json.dumps(content)
    if rng.random() < 0.3:
        at = rng.randrange(len(text))
        text = text[:at] + rng.choice(["", '"', "}", "\x00", "1e999", "\ufeff", "//", "\n"]) + text[at + 1 :]
    file = tmp_path / "run.json"
    file.write_text(text, encoding="utf-8")
    try:
        found = read_settings(COMMANDS[name], file)
    except config.ConfigFileError as error:
        message = str(error)
        message.encode()
        assert message.startswith(f"Settings {str(file)!r}: ")
        assert "\n" not in message
        assert any(part in message for part in ("`", "key ", "nested", "not JSON", '"schema"')), message
    else:
        # What is read fits the published schema.
        assert json_schema.fits(values(text), files_schema(COMMANDS, name))
        assert set(found) <= {option.field for option in known.values()}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_options_that_files_can_hold(name):
    plain = (str, int, float, bool, Path, type(None))

    def supported(declared):
        origin, arguments = typing.get_origin(declared), typing.get_args(declared)
        if origin is typing.Literal or declared in plain or declared is Ellipsis:
            return True
        return bool(arguments) and all(map(supported, arguments)) and (origin is tuple or origin is not list)

    assert name_of(COMMANDS[name]) == name
    for key, option in options(COMMANDS[name]).items():
        assert supported(option.declared), key
        assert option.text, key
        assert key not in ("schema", "command", "settings")


@pytest.mark.parametrize("name", COMMANDS)
def test_a_template_holds_every_option_with_its_default(ran, capsys, name):
    cli.main(["config", "--settings", name])
    text = capsys.readouterr().out
    assert text == template(COMMANDS[name])
    assert tomllib.loads(text) == {"schema": 1, "command": name}
    # With every default uncommented it is the command without a file.
    lines = [line.removeprefix("#") if line[:1] == "#" and line[1:2] != " " else line for line in text.splitlines()]
    full = [line for line in lines if not line.endswith(" =")]
    for key, value in NEEDED.get(name, {}).items():
        assert f"{key} =" in lines
        full += toml_text({key: value}).splitlines()
    Path("run.toml").write_text("\n".join(full), encoding="utf-8")
    needed = written(Path("needed.json"), {"schema": 1, "command": name, **NEEDED.get(name, {})})
    expected = COMMANDS[name](**read_settings(COMMANDS[name], needed))
    command = ran(name, "--settings", "run.toml")
    for option in options(COMMANDS[name]).values():
        assert getattr(command, option.field) == getattr(expected, option.field)


def test_the_schema_says_of_files_what_the_reader_does(capsys, tmp_path):
    cli.main(["config", "--schema"])
    everything = json.loads(capsys.readouterr().out)
    cli.main(["config", "--schema", "evaluate"])
    alone = json.loads(capsys.readouterr().out)
    json_schema.check_schema(everything)
    for content in (RUN, {**RUN, "config": TILE}, {"schema": 1, "command": "evaluate"}):
        assert json_schema.fits(content, alone)
        assert json_schema.fits(content, everything)
        assert read_settings(Evaluate, written(tmp_path / "run.json", content)) is not None
    tile = json.loads(config.dumps(presets.isaac()))
    assert json_schema.fits(tile, everything)
    assert not json_schema.fits(tile, alone)
    for change in (
        {"schema": 2}, {"command": "train"}, {"exmples": 3}, {"examples": "3"}, {"times": 3}, {"times": ["1"]},
        {"seed": None}, {"full": 1}, {"config": 3},
    ):  # fmt: skip
        content = {**copy.deepcopy(RUN), **change}
        assert not json_schema.fits(content, alone)
        assert not json_schema.fits(content, everything)
        with pytest.raises(config.ConfigFileError):
            read_settings(Evaluate, written(tmp_path / "run.json", content))
    # A tile in settings is held against the tile's own schema.
    assert not json_schema.fits({**RUN, "config": {**TILE, "rows": 0}}, alone)


def test_kept_settings_repeat_the_run_wherever_the_folders_are_moved_together(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "one" / "data").mkdir(parents=True)
    command = Evaluate(
        task="t:t", data=Path("one/data"), checkpoint=Path("hf://owner/name"), output=Path("one/results"), full=True,
        times=(), resistances=(0.0, 2.5), config=Path("one/tile.json"),
    )  # fmt: skip
    keep_settings(command, Path("one/results/x-1"), presets.tile_circuit())
    (tmp_path / "one").rename(tmp_path / "two")
    file = tmp_path / "two" / "results" / "x-1" / "settings.json"
    found = read_settings(Evaluate, file)
    assert found.pop("data").resolve() == tmp_path / "two" / "data"
    assert found.pop("output").resolve() == tmp_path / "two" / "results"
    assert read_config(found.pop("config")) == presets.tile_circuit()
    assert found == {
        "task": "t:t", "checkpoint": Path("hf://owner/name"), "full": True, "times": (), "resistances": (0.0, 2.5),
        "seed": 0,
    }  # fmt: skip
    assert json_schema.fits(json.loads(file.read_text()), files_schema(COMMANDS, "evaluate"))
