"""Tables, program-and-verify and uniform programming: what they promise beyond conformance."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxaimc import AnalogConfig, config_files
from jaxaimc.cells import Differential
from jaxaimc.devices import (
    PCM,
    SONOS,
    CMOHfOx,
    DeviceTable,
    FlickerNoise,
    HermesPairPCM,
    NormalProgramming,
    PCMFlickerNoise,
    PCMProgrammingNoise,
    Polynomial,
    ProgramAndVerify,
    UniformProgramming,
    WanRRAM,
    independent,
    inverse_proportional,
    proportional,
    read_csv,
    with_stuck,
    write_csv,
)

KEY = jax.random.key(0)
MANY = jnp.full(200_000, 10e-6)
TABLE = DeviceTable(
    times=np.array([0.0, 1.0, 1e4]),
    targets=np.array([0.0, 10e-6, 30e-6]),
    mean=np.array([[0.0, 10.0, 30.0], [0.0, 9.0, 29.0], [0.0, 8.0, 26.0]]) * 1e-6,
    std=np.array([[0.2, 0.5, 1.0], [0.3, 0.9, 1.1], [0.3, 0.8, 1.4]]) * 1e-6,
)


@pytest.mark.parametrize(("t", "mean", "spread"), [(0.0, 10.0, 0.5), (1.0, 9.0, 0.9), (1e4, 8.0, 0.8), (1e9, 8.0, 0.8)])
def test_table_returns_what_was_measured(t, mean, spread):
    g = TABLE.drift(TABLE.program(MANY, KEY), MANY, t, jax.random.key(1)) * 1e6
    assert float(g.mean()) == pytest.approx(mean, abs=0.01)
    assert float(g.std()) == pytest.approx(spread, rel=0.01)


def test_table_is_linear_between_states_and_logarithmic_between_times():
    target = jnp.full(200_000, 20e-6)
    halfway = np.expm1((np.log1p(1.0) + np.log1p(1e4)) / 2)
    g = TABLE.drift(TABLE.program(target, KEY), target, halfway, jax.random.key(1)) * 1e6
    assert float(g.mean()) == pytest.approx((9 + 29 + 8 + 26) / 4, abs=0.01)
    assert float(g.std()) == pytest.approx(np.mean([0.9, 1.1, 0.8, 1.4]), rel=0.01)


def test_table_of_one_time_only_programs():
    table = DeviceTable(times=np.zeros(1), targets=TABLE.targets, mean=TABLE.mean[:1], std=TABLE.std[:1])
    g = table.program(MANY, KEY)
    np.testing.assert_array_equal(table.drift(g, MANY, 1e6, KEY), g)


def test_table_survives_csv(tmp_path):
    write_csv(TABLE, tmp_path / "table.csv")
    again = read_csv(tmp_path / "table.csv")
    for name in ("times", "targets", "mean", "std"):
        np.testing.assert_array_equal(getattr(again, name), getattr(TABLE, name))


def test_table_of_before_is_read(tmp_path):
    """Files that call the column `spread_S` still load."""
    write_csv(TABLE, tmp_path / "table.csv")
    text = (tmp_path / "table.csv").read_text()
    (tmp_path / "old.csv").write_text(text.replace("std_S", "spread_S"))
    np.testing.assert_array_equal(read_csv(tmp_path / "old.csv").std, TABLE.std)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("t_s,target_S,mean_S\n0,1,1\n", "columns"),
        ("t_s,target_S,mean_S,std_S,spread_S\n0,1,1,1,1\n", "columns"),
        ("t_s,target_S,mean_S,std_S,extra\n0,1,1,1,1\n", "columns"),
        ("t_s,target_S,mean_S,std_S\n0,0,0,0\n0,1e-6,x,0\n", "line 3"),
        ("t_s,target_S,mean_S,std_S\n0,0,0,0\n0,1e-6,1e-6,0\n1,0,0,0\n", "one line for each"),
        ("t_s,target_S,mean_S,std_S\n0,0,0,0\n0,0,1,0\n", "one line for each"),
        ("t_s,target_S,mean_S,std_S\n", "one line for each"),
        ("t_s,target_S,mean_S,std_S\n0,0,0,-1e-6\n", "`std` of DeviceTable"),
        ("", "columns"),
    ],
)
def test_bad_csv_is_refused(tmp_path, text, message):
    path = tmp_path / "bad.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        read_csv(path)


def test_bad_table_is_refused():
    with pytest.raises(ValueError, match=r"`mean` of DeviceTable must have shape \(time=3, state=2\)"):
        DeviceTable(times=TABLE.times, targets=TABLE.targets[:2], mean=TABLE.mean, std=TABLE.std).validate()
    with pytest.raises(ValueError, match="`times` of DeviceTable must hold increasing"):
        DeviceTable(times=TABLE.times[::-1], targets=TABLE.targets, mean=TABLE.mean, std=TABLE.std).validate()


LOOP = ProgramAndVerify(first=PCMProgrammingNoise(), tolerance=0.2e-6, pulse_std=0.5)


def test_verified_devices_are_within_tolerance():
    outcome = LOOP.outcome(MANY, KEY)
    assert bool(outcome.accepted.all())
    assert float(jnp.max(jnp.abs(outcome.g - MANY))) <= 0.2e-6
    np.testing.assert_array_equal(LOOP.program(MANY, KEY), outcome.g)


def test_pulses_follow_the_chance_of_each_attempt(x64):
    """With gain 1 and scatter s, a deviation d becomes N(0, s d): the share accepted by the first two pulses."""
    from scipy.stats import norm

    sigma = float(PCMProgrammingNoise().sigma(MANY)[0])
    outcome = LOOP.outcome(MANY, KEY)
    first = 2 * norm.cdf(0.2e-6 / sigma) - 1
    assert float(jnp.mean(outcome.pulses == 1)) == pytest.approx(first, abs=0.004)
    d = np.linspace(0.2e-6, 8 * sigma, 20_001)
    density = 2 * norm.pdf(d / sigma) / sigma * (2 * norm.cdf(0.2e-6 / (0.5 * d)) - 1)
    second = np.sum((density[1:] + density[:-1]) / 2) * (d[1] - d[0])
    assert float(jnp.mean(outcome.pulses == 2)) == pytest.approx(second, abs=0.004)


def test_yield_falls_with_the_cap_and_with_verify_noise():
    def share(**fields):
        fields = {"tolerance": 0.1e-6, "pulse_std": 0.8, **fields}
        return float(ProgramAndVerify(first=PCMProgrammingNoise(), **fields).outcome(MANY, KEY).accepted.mean())

    one, three, many = (share(max_pulses=n) for n in (1, 3, 50))
    assert one < three < many
    assert many > 0.99
    blind = ProgramAndVerify(first=PCMProgrammingNoise(), tolerance=0.1e-6, verify_noise=1e-6).outcome(MANY, KEY)
    assert float(jnp.mean(jnp.abs(blind.g - MANY) <= 0.1e-6)) < 0.5


def test_gradient_of_verified_programming_is_one():
    gradient = jax.grad(lambda target: jnp.sum(LOOP.program(target, KEY)))(MANY[:10])
    np.testing.assert_array_equal(gradient, 1.0)


def test_bad_loops_are_refused():
    with pytest.raises(ValueError, match="`max_pulses`"):
        ProgramAndVerify(first=PCMProgrammingNoise(), max_pulses=0)
    with pytest.raises(ValueError, match="`gain`"):
        ProgramAndVerify(first=PCMProgrammingNoise(), gain=3.0).validate()


def test_uniform_programming_has_the_spread_and_the_shape():
    part = UniformProgramming(std=independent(0.04), g_max=25e-6)
    deviation = (part.program(MANY, KEY) - MANY) * 1e6
    assert float(deviation.std()) == pytest.approx(1.0, rel=0.01)
    assert float(jnp.max(jnp.abs(deviation))) == pytest.approx(3**0.5, rel=1e-3)


def test_generic_laws_depend_on_the_state_as_named(x64):
    r = jnp.array([0.05, 0.5, 1.0, 2.0])
    np.testing.assert_allclose(independent(0.1)(r), [0.1] * 4)
    np.testing.assert_allclose(proportional(0.1)(r), 0.1 * r)
    np.testing.assert_allclose(inverse_proportional(0.1, smallest=0.1)(r), [1.0, 0.2, 0.1, 0.05])


@pytest.mark.parametrize("device", [PCM(), HermesPairPCM(), WanRRAM(), CMOHfOx(), SONOS(), with_stuck(PCM(), on=0.1)])
def test_devices_survive_a_config_file(device):
    config = AnalogConfig(cell=Differential(g_max=10e-6), device=device)
    again = config_files.loads(config_files.dumps(config)).device
    target = jnp.linspace(0, 10e-6, 100)
    for t in (0.0, 1e5):
        one, other = (d.at(d.program(target, KEY), target, t, KEY) for d in (device, again))
        np.testing.assert_array_equal(one, other)


def test_tuple_fields_come_back_from_a_config_file_as_tuples():
    again = config_files.loads(config_files.dumps(AnalogConfig()))
    assert again == AnalogConfig()


@given(
    coefficients=st.lists(st.floats(-3, 3, width=32, allow_subnormal=False), min_size=1, max_size=5),
    g_max=st.floats(1e-6, 1e-3),
    factor=st.floats(0, 5),
    r=st.floats(0, 3),
    seed=st.integers(0, 1000),
)
def test_no_polynomial_makes_a_negative_conductance(coefficients, g_max, factor, r, seed):
    part = NormalProgramming(std=Polynomial(coefficients=tuple(coefficients)), g_max=g_max, factor=factor)
    part.validate()
    target = jnp.full(100, r * g_max)
    assert bool(jnp.all(part.sigma(target) >= 0))
    g = part.program(target, jax.random.key(seed))
    assert bool(jnp.all((g >= 0) & jnp.isfinite(g)))


@given(times=st.lists(st.floats(0, 1e9, width=32), min_size=2, max_size=2, unique=True))
def test_power_laws_fall_and_relaxations_spread_with_time(times):
    early, late = sorted(times)
    target = jnp.linspace(1e-6, 16e-6, 40)
    pcm = PCM().drift
    mean, spread = pcm.exponent(target)
    certain = mean > 4 * spread
    drifted = [pcm.drift(target, target, t, KEY) for t in (early, late)]
    assert bool(jnp.all(jnp.where(certain, drifted[1] <= drifted[0] * (1 + 1e-6), True)))
    for device in (CMOHfOx(), SONOS()):
        spreads = [device.drift.moments(target, t)[1] for t in (early, late)]
        assert bool(jnp.all(spreads[1] >= spreads[0] * (1 - 1e-5)))


def test_bad_full_scale_of_a_proportional_amplitude():
    with pytest.raises(ValueError, match="`full_scale` of PCMFlickerNoise must be 1 where `proportional` is true"):
        PCMFlickerNoise(full_scale=25.0).validate()
    FlickerNoise(amplitude=independent(0.1), full_scale=25.0, proportional=False).validate()
