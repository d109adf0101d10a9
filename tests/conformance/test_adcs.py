"""Every converter of the library does what `jaxaimc.testing.check_adc` asks of it."""

import jax
import numpy as np
import pytest
from parts import check_as_part, names_of, public
from tiers import mostly_slow

from jaxaimc import AnalogConfig, adcs, cells, component, drives
from jaxaimc.testing import ConformanceError, check_adc

RANGE = adcs.Symmetric(limit=4.0)
NOISY = adcs.Uniform(range=RANGE, noise=adcs.StepNoise(rms=0.5))
CONVERTERS = [
    adcs.IdealADC(),
    adcs.GaussianADC(sigma=0.1),
    adcs.CCO(),
    adcs.Uniform(range=RANGE),
    adcs.Uniform(range=adcs.TileRange(), codes=adcs.BothEnds(), noise=adcs.MacroNoise(fixed=0.01, signal=0.01)),
    adcs.Uniform(codes=adcs.MidRise(), rounding=adcs.Stochastic(), range=adcs.StepRange(step=0.1)),
    adcs.Ramp(range=RANGE, capacitor=0.05),
    adcs.SAR(range=RANGE, capacitor=0.05),
    adcs.SAR(range=RANGE, split=True, comparator=0.01),
    adcs.Pipeline(range=RANGE, capacitor=0.05),
    adcs.Cyclic(range=RANGE, gain=1000.0),
    adcs.Mismatch(adc=adcs.Uniform(range=RANGE), gain=0.02, offset=0.1),
    adcs.ColumnMux(adc=adcs.SAR(range=RANGE, capacitor=0.05), columns=2),
    adcs.ColumnMux(adc=adcs.Mismatch(adc=adcs.Hybrid(adc=adcs.Uniform(range=RANGE), digital=2), gain=0.02), columns=2),
    adcs.CodeTable(mean=np.arange(16.0), std=np.full(16, 0.3), range=RANGE),
    adcs.Hybrid(adc=adcs.Uniform(range=RANGE), digital=2),
    adcs.Voting(adc=NOISY, samples=3, levels=2),
]
name = lambda part: type(part).__name__  # noqa: E731


def test_every_converter_is_here():
    assert public(adcs, adcs.ADC) == names_of(CONVERTERS)


FAST = (adcs.CCO, adcs.Ramp, adcs.Pipeline, adcs.Mismatch, adcs.CodeTable, adcs.Hybrid, adcs.Voting)


@pytest.mark.parametrize("adc", mostly_slow(CONVERTERS, lambda adc: isinstance(adc, FAST)), ids=name)
def test_converter_conforms(adc):
    check_adc(adc)


@pytest.mark.parametrize("adc", CONVERTERS, ids=name)
def test_converter_is_a_tree_a_value_and_a_file(adc):
    # Single devices and unsigned pulses, which go with converters of every range.
    check_as_part(adc, AnalogConfig(cell=cells.BitPlanes(), drive=drives.BitSerial(signs=drives.Unsigned()), adc=adc))


def test_a_converter_that_forgets_to_say_that_it_is_noisy_is_found():
    @component
    class Silent(adcs.ADC):
        def convert(self, q, readout, key=None):
            return q + jax.random.normal(jax.random.key(0) if key is None else key, q.shape, q.dtype)

    with pytest.raises(ConformanceError, match="Silent breaks a rule: `noisy` must say whether conversions differ"):
        check_adc(Silent())


def test_a_converter_that_forgets_that_planes_come_in_parts_is_found():
    @component
    class Whole(adcs.Uniform):
        range: adcs.Range = RANGE

        def convert(self, q, readout, key=None):
            return super().convert(q, readout._replace(part=None), key)

    # The annotations, which are checked here, object to the shape before the rule does.
    found = r"planes that are converted in parts|return value of jaxaimc\.adcs\.uniform\.Uniform\.convert"
    with pytest.raises((ConformanceError, TypeError), match=found):
        check_adc(Whole())
