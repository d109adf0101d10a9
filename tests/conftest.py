"""Fixtures and run-time annotation checks for all tests."""

import gc
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

# LAPACK calls from jaxlib and SciPy fight over threads on small matrices; one thread is faster and steadier.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# Tests compile thousands of small programs and run each once. `.ci/run` has its second pair of versions optimise.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
# Two thirds of the time went into generating code, and half of that into emitters and splits that pay at run time only.
# A flag that a version does not know ends the process.
if os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] == "1" and version("jaxlib").startswith("0.10."):
    quick = "--xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1"
    os.environ["XLA_FLAGS"] = f"{quick} {os.environ.get('XLA_FLAGS', '')}".strip()
# Commands that tests run keep nothing in the user's own folders, and find nothing there.
os.environ.setdefault("JAXAIMC_CACHE", "off")
sys.path.insert(0, str(Path(__file__).parent))
# Tracing makes very many small objects that live on: the collector's defaults cost a tenth of the suite.
gc.set_threshold(50_000, 20, 50)

import jaxtyping  # noqa: E402

# Before the first import of the library: only modules imported afterwards are checked.
jaxtyping.install_import_hook("jaxaimc", "runtime_types.check")

import hypothesis  # noqa: E402
import jax  # noqa: E402
import pytest  # noqa: E402

# JAX compiles in the first example of a property, so per-example deadlines say nothing.
hypothesis.settings.register_profile("jaxaimc", deadline=None, max_examples=30, derandomize=True)
hypothesis.settings.load_profile("jaxaimc")


@pytest.fixture
def x64():
    """Run a test in double precision."""
    with jax.enable_x64(True):
        yield


@pytest.fixture
def empty_jit_cache():
    """Start with no compiled functions: near its capacity of 8192, JAX's cache reports too few of a function."""
    jax.clear_caches()


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 64 kB; grows when its function is called."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    disk = tmp_path / "disk"
    disk.mkdir()

    def mount(options):
        return subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", disk], capture_output=True, check=False)

    if mount("size=64k").returncode:
        pytest.skip("this system does not let root mount a small disk")
    yield disk, lambda: mount("remount,size=4m")
    subprocess.run(["umount", disk], check=True)


@pytest.fixture(autouse=True, scope="module")
def _room_for_programs():
    """Forget compiled programs before the kernel's limit of memory maps is reached, where XLA crashes.

    Every program takes several maps, a worker compiles thousands, and Linux allows a process 65,530.
    """
    yield
    maps = Path("/proc/self/maps")
    if maps.exists() and maps.read_bytes().count(b"\n") > 30_000:
        jax.clear_caches()


@pytest.fixture(autouse=True)
def _annotations(request):
    """Switch the annotation checks off in tests named `test_bad_*`: there the library's own refusal is the subject."""
    off = request.node.name.startswith("test_bad_")
    jaxtyping.config.update("jaxtyping_disable", off)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
