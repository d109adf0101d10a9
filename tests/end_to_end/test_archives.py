"""What is published: the archives hold what a user needs and nothing else, and both give the same wheel."""

import tarfile
import zipfile
from email import message_from_bytes

import pytest
from processes import ROOT

hatchling = pytest.importorskip("hatchling")


def built(kind, root, folder):
    """Build one archive in this process."""
    from hatchling.builders.sdist import SdistBuilder
    from hatchling.builders.wheel import WheelBuilder

    builder = {"sdist": SdistBuilder, "wheel": WheelBuilder}[kind](str(root))
    return next(iter(builder.build(directory=str(folder), versions=["standard"])))


def content(wheel):
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture(scope="module")
def sdist(tmp_path_factory):
    return built("sdist", ROOT, tmp_path_factory.mktemp("sdist"))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    return content(built("wheel", ROOT, tmp_path_factory.mktemp("wheel")))


def test_the_source_archive_builds_the_same_wheel(sdist, wheel, tmp_path):
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (root,) = tmp_path.iterdir()
    assert content(built("wheel", root, tmp_path / "again")) == wheel


def test_the_wheel_holds_the_library_and_its_networks(wheel):
    info = next(name for name in wheel if name.endswith("/METADATA")).partition("/")[0]
    assert {name.partition("/")[0] for name in wheel} == {"jaxaimc", "jaxaimc_models", info}
    kept = {"jaxaimc/py.typed", "jaxaimc/interop/chips.py", "jaxaimc_models/py.typed", f"{info}/licenses/LICENSE",
            "jaxaimc_models/assets/fashion_mnist/vit.safetensors"}  # fmt: skip
    assert kept <= set(wheel)
    # Every file of both packages that git would keep, under the wheel's names.
    for own, name in (("jaxaimc", "jaxaimc"), ("models", "jaxaimc_models")):
        files = {str(path.relative_to(ROOT / own)) for path in (ROOT / own).rglob("*.py")}
        assert {
            file.partition("/")[2] for file in wheel if file.startswith(f"{name}/") and file.endswith(".py")
        } == files
    assert not [name for name in wheel if "__pycache__" in name or name.endswith(".pyc")]
    assert sum(map(len, wheel.values())) < 40e6


def test_the_metadata_name_commands_tasks_and_extras(wheel):
    info = next(name for name in wheel if name.endswith("/METADATA"))
    said = message_from_bytes(wheel[info])
    assert {"app", "models", "export", "hub", "cluster"} <= set(said.get_all("Provides-Extra"))
    assert said["Description-Content-Type"] == "text/markdown"
    assert said["License-Expression"] == "Apache-2.0"
    points = wheel[info.replace("METADATA", "entry_points.txt")].decode()
    assert "jaxaimc = jaxaimc.cli:main" in points
    for line in points.partition("[jaxaimc.tasks]\n")[2].split():
        if ":" in line:
            module, _, factory = line.partition(":")
            source = wheel[module.replace(".", "/") + ".py"].decode()
            assert f"\ndef {factory}(" in source, line
