"""Fields by path: read, changed, listed, also through wrappers."""

import jax
import jax.numpy as jnp
import pytest

from jaxaimc import AnalogConfig, adcs, cells, config, presets, wires

WRAPPED = AnalogConfig(
    cell=cells.Quantised(cell=cells.Differential(g_max=20e-6)),
    adc=adcs.ColumnMux(adc=adcs.Mismatch(adc=adcs.Uniform(bits=7.0, range=adcs.Symmetric(limit=3.0)), gain=0.01)),
)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("wires.r", 0.15), ("rows", 512), ("adc.columns", 8), ("adc.gain", 0.01), ("adc.bits", 7.0),
        ("adc.range.limit", 3.0), ("adc.adc.adc.range", adcs.Symmetric(limit=3.0)), ("cell.g_max", 20e-6),
        ("cell.states", 16), ("device.programming.std.coefficients", (0.26348, 1.965, -1.1731)),
    ],
)  # fmt: skip
def test_fields_are_found_through_wrappers(path, value):
    assert config.at(WRAPPED, path) == value


def test_changes_reach_through_wrappers_and_leave_the_rest():
    changes = {"adc.bits": 5.0, "adc.gain": 0.02, "adc.range.limit": 4.0, "cell.g_max": 10e-6, "cols": 64}
    changed = config.with_at(WRAPPED, changes)
    assert {path: config.at(changed, path) for path in changes} == changes
    assert changed.adc.columns == 8
    assert config.with_at(changed, {path: config.at(WRAPPED, path) for path in changes}) == WRAPPED
    assert config.with_at(WRAPPED, {}) == WRAPPED


def test_parts_and_structure_change_too():
    changed = config.with_at(WRAPPED, {"wires": wires.NoWires(), "adc.range": adcs.FullRange(), "drive.bits": 4})
    assert (changed.wires, changed.adc.adc.adc.range, changed.drive.bits) == (wires.NoWires(), adcs.FullRange(), 4)


def test_fields_of_one_part_change_together():
    serial = presets.isaac()
    changed = config.with_at(serial, {"cell.bits": 4, "cell.widths": (2, 2)})
    assert changed.cell.cell.widths == (2, 2)


def test_every_leaf_is_listed_with_its_limits():
    leaves = config.leaf_paths(WRAPPED)
    assert len(leaves) == len(jax.tree.leaves(WRAPPED)) - 2  # three coefficients are one tuple
    for path, (value, _) in leaves.items():
        assert config.at(WRAPPED, path) is value
    value, limits = leaves["wires.r"]
    assert (value, limits.unit, limits.low) == (0.15, "ohm", 0.0)
    assert "rows" not in leaves


def test_changes_are_traced_and_mapped_over():
    def read(r):
        return config.at(config.with_at(WRAPPED, {"wires.r": r}), "wires.r") ** 2

    assert float(jax.grad(read)(3.0)) == 6.0
    batch = config.with_at(WRAPPED, {"wires.r": jnp.arange(3.0)})
    axes = config.with_at(jax.tree.map(lambda _: None, WRAPPED, is_leaf=lambda leaf: leaf is None), {"wires.r": 0})
    mapped = jax.vmap(lambda each: each.wires.r + each.adc.adc.gain, in_axes=(axes,))(batch)
    assert mapped.shape == (3,)


def test_bad_paths_name_the_nearest_and_all_that_there_is():
    with pytest.raises(
        ValueError, match=r"AnalogConfig has no field at the path 'wires.rr' \(did you mean 'wires.r'\?\)"
    ):
        config.at(WRAPPED, "wires.rr")
    with pytest.raises(ValueError, match=r"it has: adc, adc.adc, .*wires.r_out"):
        config.with_at(WRAPPED, {"wires.q": 1.0})
    for path in ("", "wires.r.x", ".", "wires.", "adc.missing", "rows.x"):
        with pytest.raises(ValueError, match="has no field at the path"):
            config.at(WRAPPED, path)


def test_bad_changes():
    with pytest.raises(ValueError, match=r"must not hold 'wires.r' beside 'wires', which replaces it"):
        config.with_at(WRAPPED, {"wires": wires.NoWires(), "wires.r": 1.0})
    with pytest.raises(ValueError, match="Field `rows` of AnalogConfig must be an integer"):
        config.with_at(WRAPPED, {"rows": 0})
    with pytest.raises(ValueError, match="Field `adc` of AnalogConfig must be an ADC"):
        config.with_at(WRAPPED, {"adc": wires.NoWires()})
    with pytest.raises(ValueError, match=r"Field `r` of Ladder must be in .* but is -1 ohm"):
        config.with_at(WRAPPED, {"wires.r": -1.0}).validate()


@pytest.mark.parametrize("x64", [False, True])
def test_s2_arrays_for_those_who_expect_them(x64):
    with jax.enable_x64(x64):
        arrays = config.as_arrays(AnalogConfig(adc=adcs.Uniform(bits=8)))
        for leaf in jax.tree.leaves(arrays):
            assert isinstance(leaf, jax.Array)
            assert leaf.dtype == (jnp.float64 if x64 else jnp.float32)
        arrays.validate()
        assert arrays.rows == 512
