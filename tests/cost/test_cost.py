"""Energy, latency and area of a matrix, counted by hand, and what is said of where the numbers are from."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxaimc import AnalogConfig, adcs, cells, cost, devices, drives, presets, program, tile, wires
from jaxaimc.cost import AssumedCostWarning, InvalidCostWarning

QUIET = pytest.mark.filterwarnings("ignore::UserWarning")
KEY = jax.random.key(0)
X = jax.random.normal(jax.random.key(1), (5, 20))
W = jax.random.normal(jax.random.key(2), (20, 6))
PLAIN = AnalogConfig(
    cell=cells.Differential(g_max=20e-6),
    device=devices.IdealDevice(),
    wires=wires.NoWires(),
    drive=drives.PWM(bits=4, t_lsb=2e-9, v_read=0.3),
    adc=adcs.Uniform(bits=6.0),
    rows=16,
    cols=4,
)


@pytest.mark.parametrize(
    ("bits", "energy", "area", "delay"), [(4, 324.207, 183.029, 9.24672), (8, 701.084, 2084.68, 18.4934)]
)
def test_the_default_converter_has_its_published_values(bits, energy, area, delay):
    """At 0.9 V and 256 rows, in fJ, um^2 and ns (ZigZag-IMC)."""
    adc = cost.ZigZagADC()
    found = adc.energy(float(bits)) * 1e15, adc.area(float(bits)) * 1e12, adc.delay(float(bits), 256.0) * 1e9
    np.testing.assert_allclose(found, (energy, area, delay), rtol=1e-5)


def test_the_sar_converter_has_its_published_values():
    """pJ and um^2 from 4 to 10 bits, as the component library of CiMLoop scales the converter of ISAAC."""
    adc, bits = cost.SARADC(), np.arange(4.0, 11.0)
    energy = np.array([0.79, 0.99, 1.20, 1.42, 1.67, 1.969, 2.379])
    area = np.array([361.04, 476.91, 626.91, 845.18, 1200.0, 1827.9, 3002.0])
    np.testing.assert_allclose(adc.energy(bits) * 1e12, energy, rtol=0.01)
    np.testing.assert_allclose(adc.area(bits) * 1e12, area, rtol=0.03)
    np.testing.assert_allclose(adc.delay(8.0, 128.0), 1 / 1.2e9, rtol=1e-6)


@QUIET
def test_every_part_is_what_one_counts_by_hand(x64):
    """Two tile rows of ten rows, two tile columns of three."""
    hardware, chip = cost.Hardware(), program(PLAIN, jnp.asarray(W, float), KEY)
    found = cost.of_tile(PLAIN, chip, jnp.asarray(X, float), hardware, vectors=7.0)
    k = np.abs(np.round(np.asarray(X, float) / np.abs(np.asarray(X, float)).max(axis=1, keepdims=True) * 7))
    g = np.asarray(chip.g).sum(axis=(2, 3))  # tile_row, tile_col, rows, cols
    g_rows = g.sum(axis=(1, 3)).reshape(20)
    vectors, pulses, steps = 7, 2 * np.sum(k > 0, axis=1).mean(), 2 * np.sum(k, axis=1).mean()
    expected = cost.Energy(
        array=np.mean(k @ g_rows) * 2e-9 * 0.3**2,
        driver=pulses * 8 * (0.1e-15 * 0.3**2 + 0.1e-15 * 0.9**2),
        dac=20e-15 * pulses + 4e-15 * steps,
        adc=12 * (100e-15 * 6 + 1e-18 * 4**6) * 0.81,
        accumulator=12 * 0.2e-3 / 9.6e9,
        buffer=5e-12 / 32 * 8 * (2 * 20 + 6),
        digital=12 * 1.5e-12,
    )
    for name, value in expected.by_part().items():
        np.testing.assert_allclose(found.energy.by_part()[name], vectors * value, rtol=1e-9, err_msg=name)
    conversion = 6 * (0.00653 * 16 + 0.640) * 1e-9
    np.testing.assert_allclose(found.latency, vectors * (14e-9 + 1e-9 + conversion + 3 / 16e9), rtol=1e-9)
    assert (found.conversions, found.macs, found.tiles, found.reads) == (7 * 12, 7 * 120, 4, 7)
    np.testing.assert_allclose(found.area.adc, 4 * 4 * 10 ** (1.206 - 0.0369 * 6) * 64e-12, rtol=1e-9)
    np.testing.assert_allclose(found.area.array, 4 * 16 * 4 * 2 * 0.05e-12, rtol=1e-9)
    np.testing.assert_allclose(found.tops_per_watt, 2 * 120 / found.energy.total * 7e-12, rtol=1e-9)
    np.testing.assert_allclose(found.tops_per_mm2 * found.area.total * 1e6, 2 * 840 / found.latency * 1e-12, rtol=1e-9)


@QUIET
@pytest.mark.parametrize(
    "config",
    [
        presets.asim(weight_bits=3, input_bits=3),
        presets.isaac(),
        presets.crosssim_sonos(),
        presets.asim().with_(adc=adcs.Voting(adc=presets.asim(noise=adcs.StepNoise(rms=0.5)).adc)),
    ],
    ids=["planes and slices", "a unit column", "accumulated", "voting"],
)
def test_conversions_are_those_of_the_footprint(config):
    config = config.with_(rows=8, cols=4)
    found = cost.of_tile(config, program(config, W, KEY), jnp.abs(X))
    assert found.conversions == tile.footprint(config, 20, 6).conversions


@QUIET
def test_shared_converters_and_pipelines_change_latency():
    at = lambda config, **own: cost.of_tile(config, program(config, W, KEY), X, cost.Hardware(**own))  # noqa: E731
    alone, shared = at(PLAIN), at(PLAIN, columns_per_converter=2)
    mux = at(PLAIN.with_(adc=adcs.ColumnMux(adc=adcs.Mismatch(adc=PLAIN.adc, gain=0.01), columns=2)))
    conversion = 6 * (0.00653 * 16 + 0.640) * 1e-9
    np.testing.assert_allclose(shared.latency - alone.latency, conversion, rtol=1e-4)
    np.testing.assert_allclose(mux.latency, shared.latency, rtol=1e-6)
    np.testing.assert_allclose(shared.area.adc / alone.area.adc, 0.5, rtol=1e-6)
    np.testing.assert_allclose(at(PLAIN, pipelined=True).latency, 15e-9, rtol=1e-5)


@QUIET
def test_idle_rows_cost_no_supply_and_no_pulses():
    config, quiet = presets.tile_circuit("open").with_(rows=24, cols=8), X.at[:, 3:].set(0)
    chip = program(config, W, KEY)
    few, none = (cost.of_tile(config, chip, x).energy for x in (quiet, 0 * X))
    assert 0 < few.array < cost.of_tile(config, chip, X).energy.array / 2
    assert none.array == none.driver == none.dac == 0


@QUIET
def test_under_jit_and_vmap_it_is_the_same():
    chip, hardware = program(PLAIN, W, KEY), cost.Hardware()
    alone = cost.of_tile(PLAIN, chip, X, hardware)
    jitted = jax.jit(cost.of_tile)(PLAIN, chip, X, hardware)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), alone, jitted)
    bits = jnp.array([4.0, 6.0])
    each = jax.vmap(lambda b: cost.of_tile(PLAIN.with_(adc=adcs.Uniform(bits=b)), chip, X, hardware))(bits)
    np.testing.assert_allclose(each.energy.total[1], alone.energy.total, rtol=1e-6)
    assert each.energy.adc[0] < each.energy.adc[1]
    assert each.outside.shape == (2, len(each.limits))


@QUIET
def test_what_is_assumed_and_what_is_left_is_said():
    chip = program(PLAIN, W, KEY)
    with pytest.warns(AssumedCostWarning, match=r"pulse \(PulseCounter\), driver \(Driver\), array \(CellArray\)"):
        found = cost.of_tile(PLAIN, chip, X)
    assert not np.any(found.outside)
    assert any("technologies from 28 nm to 45 nm" in note for note in found.notes())
    fine = PLAIN.with_(adc=adcs.Uniform(bits=13.0))
    with pytest.warns(InvalidCostWarning, match=r"ZigZagADC holds for bits in \[1, 12\], which is left here"):
        assert cost.of_tile(fine, chip, X).notes()[0].startswith("ZigZagADC holds for bits")
    own = cost.Hardware(adc=cost.ZigZagADC(v_dd=0.8))
    with pytest.warns(AssumedCostWarning):
        assert any(note.endswith("have adc (ZigZagADC)") for note in cost.of_tile(PLAIN, chip, X, own).notes())
    ideal = PLAIN.with_(adc=adcs.IdealADC())
    with pytest.warns(AssumedCostWarning, match="resolution of IdealADC, which has none"):
        cost.of_tile(ideal, chip, X)


def test_every_part_has_a_source():
    for part in (*cost.Hardware().parts().values(), cost.SARADC(), cost.FigureOfMeritADC()):
        source = part.source
        assert len(source.citation) > 10
        assert source.basis in ("measured", "fitted", "assumed")
        assert source.node is None or 5e-9 < source.node < 100e-9
        assert part.basis == source.basis


def test_a_part_of_ones_own_takes_its_place():
    class Flat(cost.ConverterCost):
        def energy(self, bits):
            return 1e-12 * bits

        def delay(self, bits, rows):
            return 5e-9

        def area(self, bits):
            return 1e-9

    from jaxaimc import component

    with pytest.warns(AssumedCostWarning, match=r"adc \(Flat\)"):
        found = cost.of_tile(PLAIN, program(PLAIN, W, KEY), X, cost.Hardware(adc=component(Flat)()))
    np.testing.assert_allclose(found.energy.adc, 12 * 6e-12, rtol=1e-6)


def test_bad_arguments_are_refused():
    chip = program(PLAIN, W, KEY)
    with pytest.raises(ValueError, match="Argument `inputs`"):
        cost.of_tile(PLAIN, chip, X[:, :3])
    with pytest.raises(ValueError, match="Argument `inputs` must hold an input vector"):
        cost.of_tile(PLAIN, chip, X[:0])
    with pytest.raises(ValueError, match="Field `v_dd` of ZigZagADC must be"):
        cost.of_tile(PLAIN, chip, X, cost.Hardware(adc=cost.ZigZagADC(v_dd=0.0)))
    with pytest.raises(ValueError, match="Argument `programmed`"):
        cost.of_tile(PLAIN.with_(rows=7), chip, X)


@QUIET
def test_it_lowers_for_every_platform():
    config = presets.tile_circuit("open").with_(rows=16, cols=8)

    def energy(w, x):
        return cost.of_tile(config, program(config, w, KEY), x).energy.total

    exported = jax.export.export(jax.jit(jax.grad(energy)), platforms=["cpu", "cuda", "tpu"])(W, X)
    assert exported.platforms == ("cpu", "cuda", "tpu")
