"""Compiled programs that are kept between runs: found again, never wrong, never in the way."""

import os
import re

import jax
import pytest
from processes import run_command

from jaxaimc import cli
from jaxaimc.cli import parser, programs

# Computes something, and says what JAX found of it.
_CODE = """
from jaxaimc.cli import programs, startup
programs.quiet_loading()
startup.begin()
import jax, jax.monitoring
seen = []
jax.monitoring.register_event_listener(lambda name, **_: seen.append(name.rpartition("/")[2]))
print(jax.jit(lambda x: 3 * x + 1)(2.0), seen.count("cache_hits"), seen.count("cache_misses"))
"""


def computed(tmp_path):
    done = run_command([], tmp_path, code=_CODE)
    assert done.returncode == 0, done.stderr
    result, hits, misses = done.stdout.split()
    assert float(result) == 7
    return int(hits), int(misses), done.stderr


def test_a_second_process_finds_programs_and_damage_is_told(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("JAXAIMC_CACHE", str(tmp_path))
    monkeypatch.delenv("JAX_DISABLE_MOST_OPTIMIZATIONS", raising=False)
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL", raising=False)
    monkeypatch.delenv("XLA_FLAGS", raising=False)
    assert computed(tmp_path)[:2] == (0, 1)
    assert computed(tmp_path) == (1, 0, "")  # and XLA says nothing of it
    monkeypatch.setenv("XLA_FLAGS", "--xla_backend_optimization_level=0")
    assert computed(tmp_path)[:2] == (0, 1)  # other flags, another program

    monkeypatch.delenv("XLA_FLAGS")
    cli.main(["cache"])
    assert re.match(r"2 compiled programs, 0\.0 MB, in " + re.escape(str(tmp_path)), capsys.readouterr().out)
    for path in programs.entries():
        path.write_bytes(path.read_bytes()[:50])
    hits, _, said = computed(tmp_path)
    assert hits == 0
    assert programs.TROUBLE[1] in said

    (tmp_path / "programs" / "mine.txt").write_text("not a program")
    cli.main(["cache", "--clear"])
    assert capsys.readouterr().out.startswith("2 compiled programs removed from ")
    assert not programs.entries()
    assert (tmp_path / "programs" / "mine.txt").exists()


def test_tests_keep_nothing_in_the_users_folder(capsys):
    assert programs.home() is None
    programs.keep()
    assert jax.config.jax_compilation_cache_dir is None
    cli.main(["cache"])
    assert "not kept: JAXAIMC_CACHE is off" in capsys.readouterr().out


def test_the_users_cache_folder_is_the_default(monkeypatch, tmp_path):
    monkeypatch.delenv("JAXAIMC_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert programs.home() is not None
    assert programs.home().parts[-2:] == ("jaxaimc", "programs")


def test_a_folder_that_cannot_be_written_is_told_and_left(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("JAXAIMC_CACHE", str(tmp_path / "file"))
    with pytest.warns(UserWarning, match="Compiled programs are not kept, since folder .* cannot be written"):
        programs.keep()
    assert jax.config.jax_compilation_cache_dir is None


def test_a_full_disk_is_told(monkeypatch, small_disk):
    monkeypatch.setenv("JAXAIMC_CACHE", str(small_disk[0]))
    with pytest.warns(UserWarning, match="No space left"):
        programs.keep()
    assert jax.config.jax_compilation_cache_dir is None


def test_the_oldest_are_dropped_from_too_many(monkeypatch, tmp_path):
    monkeypatch.setenv("JAXAIMC_CACHE", str(tmp_path))
    monkeypatch.setattr(programs, "_MOST", 300)
    folder = tmp_path / "programs" / "processor"
    folder.mkdir(parents=True)
    for number in range(4):
        path = folder / f"{number}-cache"
        path.write_bytes(bytes(100))
        os.utime(path, (number, number))
    programs._drop_oldest(tmp_path / "programs")
    assert sorted(path.name for path in programs.entries()) == ["3-cache"]


def test_trouble_with_every_program_is_said_once(capsys):
    shown = parser._Shown()
    for name in ("f", "g"):
        shown(UserWarning(f"{programs.TROUBLE[0]} for {name!r}: OSError: No space left"))
    shown(UserWarning("another"))
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["Warning: Compiled programs cannot be kept or found: OSError: No space left (said once)",
                     "Warning: another"]  # fmt: skip
