"""The library as a wheel installs it: for a person without a checkout, in a folder that may hold anything."""

import os
import subprocess
import sys

import pytest
from processes import ROOT, run_command

HOSTILE = "print('hostile code ran', flush=True); raise SystemExit('hostile')"


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Build the wheel and unpack it into a folder of its own."""
    pytest.importorskip("hatchling")
    wheels, target = tmp_path_factory.mktemp("wheels"), tmp_path_factory.mktemp("installed")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    build = ["wheel", "--no-build-isolation", "--no-deps", "--wheel-dir", str(wheels), str(ROOT)]
    subprocess.run([*pip, *build], check=True)
    (wheel,) = wheels.iterdir()
    subprocess.run([*pip, "install", "--no-deps", "--no-compile", "--target", str(target), str(wheel)], check=True)
    return target


@pytest.fixture
def hostile(tmp_path):
    """A folder whose files would run if anything were imported from it."""
    for name in ("models", "jaxaimc_models", "tokenizers"):
        (tmp_path / name).mkdir()
        for file in ("__init__", "vit"):
            (tmp_path / name / f"{file}.py").write_text(HOSTILE)
    return tmp_path


def evaluate(installed, folder, *arguments):
    done = run_command(["evaluate", "--examples", "8", "--chips", "1", *arguments], folder, path=[installed])
    assert "hostile" not in done.stdout
    return done


def test_s9_models_come_under_a_name_that_cannot_clash(installed):
    assert sorted(name for name in os.listdir(installed) if "." not in name) == ["bin", "jaxaimc", "jaxaimc_models"]


def test_s9_the_demo_is_that_of_the_installation_wherever_it_runs(installed, hostile):
    # The task is loaded before the checkpoint is looked for.
    done = evaluate(installed, hostile, "--checkpoint", "absent.safetensors")
    assert done.returncode == 2
    assert done.stderr.startswith("Error: There is no checkpoint 'absent.safetensors'")


def test_s9_other_code_runs_only_when_it_is_named(installed, hostile):
    done = run_command(["evaluate", "models.vit:fashion_mnist"], hostile, path=[installed])
    assert "hostile code ran" in done.stdout
    assert done.returncode == 2


@pytest.mark.slow
def test_s9_the_default_command_of_a_wheel_works_in_any_folder(installed, hostile):
    done = evaluate(installed, hostile, "--times", "--resistances")
    assert done.returncode == 0, done.stderr
    assert "Task fashion_mnist, 20 of 20 products on tiles" in done.stdout
