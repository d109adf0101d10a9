"""The shape of the library: what imports what, how large files are, how far a call goes."""

import ast
import statistics
import traceback
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest
from flax import nnx

import jaxaimc
from jaxaimc import AnalogConfig, component, nn
from jaxaimc.adcs import ADC
from jaxaimc.drives import PWM, FixedRange, PerVector

ROOT = Path(jaxaimc.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))
# A package may import those of its own level and of levels before it.
LEVELS = (
    ("units",), ("_core",), ("cells", "drives", "devices", "wires", "adcs"), ("config",), ("tile", "presets", "spice"),
    ("calibration", "cost", "plots", "testing"), ("nn",), ("interop",), ("tasks",), ("studies",), ("training",),
    ("design", "sweeps"), ("report",), ("cli",),
)  # fmt: skip
LEVEL = {name: depth for depth, names in enumerate(LEVELS) for name in names}
FLAX = {"nn", "interop", "tasks", "studies", "training", "design", "sweeps"}


def imports(path):
    """Yield the modules that a file imports, wherever in the file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def package(path):
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_package_imports_only_what_stands_before_it(path):
    own = package(path)
    if own == "__init__":
        return
    for name in imports(path):
        parts = name.split(".")
        if parts[0] in ("models", "experiments", "benchmarks", "tests"):
            pytest.fail(f"{path.name} imports {name}")
        if parts[0] == "flax":
            assert own in FLAX, f"{path.name} imports {name}"
        if parts[0] == "jaxaimc" and len(parts) > 1 and parts[1] != own:
            assert parts[1] in LEVEL, f"{path.name} of {own} imports {name}, not from the package that has it"
            assert LEVEL[parts[1]] <= LEVEL[own], f"{path.name} of {own} imports {name}"


def test_files_are_small():
    lines = {path: len(path.read_text().splitlines()) for path in FILES}
    assert max(lines.values()) <= 400, max(lines, key=lines.get)
    assert statistics.median(lines.values()) <= 150


def test_the_top_level_is_small_and_public():
    names = dir(jaxaimc)
    assert len(names) <= 45
    assert not [name for name in names if name.startswith("_")]
    for name in names:
        assert getattr(jaxaimc, name) is not None


@pytest.mark.parametrize(
    ("layer", "shape", "bound"),
    [
        (lambda rngs: nnx.Linear(4, 3, rngs=rngs), (2, 4), PerVector()),
        (lambda rngs: nnx.Conv(4, 4, 2, feature_group_count=2, rngs=rngs), (2, 5, 4), PerVector()),
        (lambda rngs: nnx.Conv(4, 4, 2, rngs=rngs), (2, 5, 4), FixedRange(limit=1.0)),
    ],
    ids=["linear", "convolution", "images"],
)
def test_from_a_layers_call_to_the_converter_are_six_functions(layer, shape, bound):
    """Counted in the stack of a converter that looks at who called it."""
    seen = []

    @component
    class Looking(ADC):
        def convert(self, q, readout, key=None):
            seen.append(
                [frame.name for frame in traceback.extract_stack() if Path(frame.filename).is_relative_to(ROOT)]
            )
            return q

    config = AnalogConfig(adc=Looking(), drive=PWM(range=bound), rows=8, cols=8)
    analog = nn.convert(layer(nnx.Rngs(0)), config, key=jax.random.key(0))
    nn.with_read_key(analog, jax.random.key(1))(jnp.ones(shape))
    assert 0 < len(seen[-1]) <= 6, seen[-1]
