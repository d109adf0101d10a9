"""What a network takes of a chip: tiles, devices and conversions counted by hand."""

import json
import math

import jax
import jax.numpy as jnp
import polars as pl
import pytest
from analog_networks import DEVICES, NEARLY_DIGITAL, Net, Pair
from flax import nnx

from jaxaimc import AnalogConfig, adcs, cells, drives, nn, presets, tile
from jaxaimc.devices import IdealDevice
from jaxaimc.tasks import load_task
from jaxaimc.wires import NoWires

SHAPES = {"embedding/projection": (49, 64), "head": (64, 10)} | {
    f"blocks/{block}/{path}": shape
    for block in range(3)
    for path, shape in {
        "attention/query": (64, 4, 16),
        "attention/key": (64, 4, 16),
        "attention/value": (64, 4, 16),
        "attention/out": (4, 16, 64),
        "mlp_in": (64, 128),
        "mlp_out": (128, 64),
    }.items()
}


@pytest.fixture(scope="module")
def vit():
    return of_zeros(lambda: load_task("jaxaimc_models.vit:fashion_mnist").build(jax.random.key(0)))


def of_zeros(build):
    """Build a model without computing its weights."""
    graph, state = nnx.split(nnx.eval_shape(build))
    return nnx.merge(graph, jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), state))


def images(count):
    return jax.ShapeDtypeStruct((count, 28, 28), jnp.uint8)


def by_path(summary):
    return {row.path: row for row in summary.rows}


def test_the_vision_transformer_on_the_tile_circuit(vit):
    found = nn.summary(nn.convert(vit, presets.tile_circuit()), images(5))
    assert {row.path: row.shape for row in found.rows} == SHAPES
    # Each matrix fits on a tile of 512 x 512; one conversion for each output, as there is one plane and one slice.
    outputs = 64 + 10 + 3 * (4 * 64 + 128 + 64)
    assert (found.analog, found.digital, found.tiles) == (20, 0, 20)
    assert sum(row.conversions for row in found.rows) == outputs
    assert all((row.tile_rows, row.tile_cols, row.devices_per_weight, row.layers) == (1, 1, 2, 1) for row in found.rows)
    weights = sum(math.prod(shape) for shape in SHAPES.values())
    assert found.utilisation == pytest.approx(weights / (20 * 512 * 512))
    assert found.devices == 2 * weights
    # Sixteen patches of each image go through every layer but the head.
    assert {row.path: row.vectors for row in found.rows} == {path: 5 if path == "head" else 80 for path in SHAPES}
    assert found.conversions_per_call == 80 * (outputs - 10) + 5 * 10


def test_the_vision_transformer_on_isaac(vit):
    found = nn.summary(nn.convert(vit, presets.isaac()), images(1))
    row = by_path(found)["blocks/0/mlp_in"]
    # 64 x 128 on 128 x 128; sixteen bits of two's complement, each a plane, eight cells for a weight, and as many in
    # one unit column for all outputs of the tile.
    assert (row.tile_rows, row.tile_cols, row.rows, row.cols, row.utilisation) == (1, 1, 64, 128, 0.5)
    assert row.conversions == 16 * 8 * (128 + 1)
    assert (row.devices_per_weight, row.devices) == (8, 8 * 64 * (128 + 1))
    narrow = by_path(found)["blocks/0/mlp_out"]
    assert (narrow.tile_rows, narrow.rows, narrow.conversions) == (1, 128, 16 * 8 * (64 + 1))


def test_rows_and_columns_are_split_evenly_and_every_tile_row_converts():
    found = tile.footprint(AnalogConfig(rows=40, cols=60), 100, 130)
    # Three tiles of 34 rows below each other, three of 44 columns side by side.
    assert found[:4] == (3, 3, 34, 44)
    assert found.utilisation == 100 * 130 / (9 * 40 * 60)
    assert found.conversions == 3 * 130
    g = jax.eval_shape(lambda: tile.program(AnalogConfig(rows=40, cols=60), jnp.ones((100, 130)), jax.random.key(0))).g
    assert g.shape == (3, 3, 1, 2, 34, 44)


@pytest.mark.parametrize(
    ("config", "conversions"),
    [
        # Seven magnitude bits, four slices: with analog accumulation one conversion for all bits.
        (AnalogConfig(cell=cells.DifferentialSlices(), drive=drives.BitSerial(bits=8)), 7 * 4),
        (AnalogConfig(cell=cells.DifferentialSlices(), drive=drives.BitSerial(bits=8, accumulates=True)), 4),
        (AnalogConfig(drive=drives.SplitPWM()), 2),
        (AnalogConfig(drive=drives.BitSerial(bits=4, signs=drives.TwoPasses())), 6),
        (AnalogConfig(adc=adcs.IdealADC()), 1),
    ],
)
def test_conversions_of_one_output(config, conversions):
    assert tile.footprint(config, 8, 1).conversions == conversions
    prepared = jax.eval_shape(lambda: tile.prepare(config, tile.program(config, jnp.ones((8, 1)), jax.random.key(0))))
    seen = jax.eval_shape(lambda p: tile.charges(config, p, jnp.ones((1, 8))), prepared)
    assert math.prod(seen.shape) == conversions


def macro(adc):
    cell, drive = cells.BitPlanes(bits=4), drives.BitSerial(bits=3, signs=drives.Unsigned())
    return AnalogConfig(cell=cell, device=IdealDevice(), wires=NoWires(), drive=drive, adc=adc)


NOISY = adcs.Uniform(range=adcs.TileRange(), noise=adcs.FullScaleNoise(rms=0.01))


@pytest.mark.parametrize(
    ("adc", "conversions"),
    [
        # Three input planes, four weight planes: diagonals of 1, 2, 3, 3, 2 and 1 conversions.
        (NOISY, 12),
        (adcs.Hybrid(adc=NOISY, digital=2), 12 - 3),
        (adcs.Voting(adc=NOISY, samples=5, levels=3), 6 + 5 * 6),
        (adcs.Hybrid(adc=adcs.Voting(adc=NOISY, samples=5, levels=3), digital=2), 6 + 5 * 3),
        (adcs.Voting(adc=adcs.Hybrid(adc=NOISY, digital=2), samples=5, levels=3), 6 + 5 * 3),
        (adcs.Mismatch(adc=adcs.Voting(adc=NOISY, samples=2, levels=1), gain=0.1), 13),
    ],
)
def test_votes_count_as_often_as_they_convert_and_digital_diagonals_do_not(adc, conversions):
    assert tile.footprint(macro(adc), 8, 5).conversions == 5 * conversions


def test_a_converter_that_would_not_be_used_is_refused():
    config = AnalogConfig(adc=adcs.Hybrid(adc=adcs.Uniform(), digital=1))
    with pytest.raises(ValueError, match="`digital` of Hybrid must be less than the conversions of an output"):
        tile.footprint(config, 8, 8)


def test_bad_sizes():
    with pytest.raises(ValueError, match=r"`n_out` of footprint must be an integer in \[1, inf\), but is 0"):
        tile.footprint(AnalogConfig(), 8, 0)


def test_shared_layers_count_every_call():
    found = by_path(nn.summary(nn.convert(of_zeros(lambda: Net(nnx.Rngs(0))), DEVICES), jnp.ones((3, 7, 6))))
    assert {path: row.vectors for path, row in found.items() if "/" not in path} == {"first": 21, "again": 42}
    assert found["attention/query"].vectors == found["attention/out"].vectors == 21


class Block(nnx.Module):
    def __init__(self, rngs):
        self.inner = nnx.Linear(4, 6, rngs=rngs)
        self.outer = nnx.LinearGeneral(6, (2, 2), rngs=rngs)

    def __call__(self, x):
        return x + self.outer(jax.nn.relu(self.inner(x))).reshape(x.shape)


class Stack(nnx.Module):
    def __init__(self, rngs):
        self.blocks = nnx.vmap(Block, axis_size=3)(rngs.split(3))
        self.head = nnx.Linear(4, 2, rngs=rngs)

    def __call__(self, x):
        scanned = nnx.scan(lambda x, block: block(x), in_axes=(nnx.Carry, 0), out_axes=nnx.Carry)
        return self.head(scanned(x, self.blocks))


class Experts(Stack):
    def __call__(self, x):
        each = nnx.vmap(lambda block, x: block(x), in_axes=(0, None))(self.blocks, x)
        return self.head(jax.vmap(lambda one: one)(each).sum(axis=0))


@pytest.mark.parametrize("kind", [Stack, Experts])
def test_a_stack_counts_each_of_its_layers(kind):
    config = AnalogConfig(rows=2, cols=4)
    found = by_path(nn.summary(nn.convert(of_zeros(lambda: kind(nnx.Rngs(0))), config), jnp.ones((5, 4))))
    inner = found["blocks/inner"]
    assert (inner.layers, inner.tile_rows, inner.tile_cols, inner.tiles) == (3, 2, 2, 12)
    assert (inner.conversions, inner.vectors, inner.conversions_per_call) == (2 * 6, 3 * 5, 3 * 5 * 2 * 6)
    assert inner.utilisation == inner.weights / inner.cells == 3 * 24 / (12 * 8)
    assert (found["blocks/outer"].vectors, found["head"].vectors) == (15, 5)


def test_an_unconverted_model_is_digital_with_reasons():
    rngs = nnx.Rngs(0)
    model = nnx.Sequential(nnx.Conv(1, 4, (3, 3), rngs=rngs), nnx.Linear(4, 2, rngs=rngs))
    found = nn.summary(model, jnp.ones((2, 6, 6, 1)))
    assert (found.analog, found.digital, found.tiles, found.utilisation) == (0, 2, 0, None)
    rows = by_path(found)
    assert rows["layers/1"].reason == "no rule puts it on a tile"
    assert rows["layers/1"].vectors == 2 * 6 * 6
    assert rows["layers/1"].conversions is None
    assert "0 of 2 products on tiles" in str(found)
    assert nn.summary(model).rows[1].vectors is None


class Loops(nnx.Module):
    def __init__(self, rngs):
        self.step = nnx.Linear(4, 4, rngs=rngs)
        self.choice = nnx.Linear(4, 4, rngs=rngs)
        self.idle = nnx.Linear(4, 4, rngs=rngs)

    def __call__(self, x):
        x = nnx.fori_loop(0, 3, lambda i, c: (c[0], c[0](c[1])), (self.step, x))[1]
        choose = lambda m, x: m(m(x))  # noqa: E731
        x = nnx.cond(x.sum() > 0, choose, lambda m, x: m(x), self.choice, x)
        return nnx.remat(lambda m, x: m(x))(self.step, x)


def test_loops_branches_and_layers_that_are_not_called():
    found = by_path(nn.summary(nn.convert(Loops(nnx.Rngs(0)), DEVICES), jnp.ones((2, 4))))
    assert {path: row.vectors for path, row in found.items()} == {"step": 2 * 4, "choice": 2 * 2, "idle": 0}


def test_a_summary_neither_programs_nor_changes_the_model():
    model = nn.convert(Pair(nnx.Rngs(0)), NEARLY_DIGITAL)
    before = nnx.split(model)[0]
    nn.summary(model, jnp.ones((3, 7, 6)))
    assert nnx.split(model)[0] == before
    assert all(dot.prepared is None for _, dot in nnx.iter_modules(model) if isinstance(dot, nn.AnalogDot))
    chip = nn.program(model, jax.random.key(0))
    assert nn.summary(chip, jnp.ones((3, 7, 6))) == nn.summary(model, jnp.ones((3, 7, 6)))


def test_rows_are_a_data_frame_and_json_and_a_table():
    found = nn.summary(nn.convert(Pair(nnx.Rngs(0)), [nn.Rule("first", DEVICES)]), jnp.ones((3, 7, 6)))
    frame = pl.DataFrame(found.rows)
    assert frame["tiles"].sum() == found.tiles == 1
    assert frame.filter(pl.col("analog"))["path"].to_list() == ["first"]
    json.dumps([row._asdict() for row in found.rows])
    lines = str(found).splitlines()
    first = next(line for line in lines if line.startswith("first "))
    texts = [text.strip() for text in first.split("  ") if text.strip()]
    assert texts == ["first", "nnx.Linear", "6 x 8", "1 x 1", "6 x 8", "0.0183 %", "2", "8", "21", "168"]
    assert lines[-2:] == ["1 tile, 0.0183 % of their cells used", "168 conversions per call"]


def test_groups_have_tiles_of_their_own_and_every_host_is_counted():
    class Mixed(nnx.Module):
        def __init__(self):
            rngs = nnx.Rngs(0)
            self.depthwise = nnx.Conv(6, 12, (3, 3), feature_group_count=6, rngs=rngs)
            self.mix = nnx.Einsum("...a,abc->...bc", (12, 2, 5), rngs=rngs)
            self.table = nnx.Embed(7, 10, rngs=rngs)

        def __call__(self, x):
            y = self.mix(self.depthwise(x))
            return self.table.attend(y.reshape(*y.shape[:-2], 10))

    config = AnalogConfig(cell=cells.Differential(), device=IdealDevice(), wires=NoWires(), rows=5, cols=8)
    found = {row.path: row for row in nn.summary(nn.convert(Mixed(), config), jnp.ones((2, 4, 4, 6))).rows}
    window = found["depthwise"]
    # Nine positions of one channel for two outputs, in two tiles, six times.
    assert (window.tile_rows, window.tile_cols, window.tiles, window.rows, window.cols) == (12, 1, 12, 5, 2)
    assert window.utilisation == 6 * 9 * 2 / (12 * 40)
    assert (window.devices, window.conversions) == (2 * 6 * 9 * 2, 12 * 2)
    assert {path: row.vectors for path, row in found.items()} == {"depthwise": 32, "mix": 32, "table": 32}
    assert found["mix"].conversions == 3 * 10
    assert found["table"].shape == (7, 10)
