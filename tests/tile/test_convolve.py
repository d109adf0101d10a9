"""Reading under a window that slides over images, against reading a vector for each of its positions."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxaimc import adcs, mvm, prepare, presets, program
from jaxaimc._core.component import component
from jaxaimc.cells import DifferentialSlices, Offset
from jaxaimc.devices import PCM, IdealDevice
from jaxaimc.drives import PWM, BitSerial, FixedRange, LearnedRange, PerVector, SplitPWM, TwosComplement, VoltageDAC
from jaxaimc.nn.hosts.windows import Windows
from jaxaimc.tile import Window, convolve, slides

RANGE = FixedRange(limit=2.0)
WHOLE = replace(presets.tile_circuit(), drive=PWM(range=RANGE))
CHIP, READ = jax.random.split(jax.random.key(0))
WINDOW = Window((3, 2), (2, 1), ((1, 0), (2, 1)), (1, 1), (1, 2))
IMAGES = jax.random.normal(jax.random.key(1), (3, 7, 6, 4))
WEIGHTS = jax.random.normal(jax.random.key(2), (24, 5))


def vectors(window, images):
    """Return what is under every position of the window, made by cutting."""
    windows = Windows(window.sizes, window.strides, window.padding, window.input_dilation, window.dilation, 1)
    return windows.vectors(windows.filled(images))


CONFIGS = {
    "all effects": WHOLE,
    "several rows of tiles": replace(WHOLE, rows=7),
    "lines on tiles of their own": replace(WHOLE, rows=8),
    "split pulses": replace(WHOLE, drive=SplitPWM(range=RANGE), rows=11),
    "bits": replace(WHOLE, drive=BitSerial(bits=4, range=RANGE, signs=TwosComplement()), rows=16),
    "added bits": replace(WHOLE, drive=BitSerial(bits=4, range=RANGE, accumulates=True)),
    "offset": replace(WHOLE, cell=Offset(), device=PCM(), drive=VoltageDAC(range=RANGE), rows=7),
    "slices": replace(WHOLE, cell=DifferentialSlices(bits=6, widths=(3, 2))),
}


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("keys", ["one key", "a key for each image"])
def test_equals_the_product_of_every_vector(name, keys):
    config = CONFIGS[name]
    prepared = prepare(config, program(config, WEIGHTS, CHIP))
    key = READ if keys == "one key" else jax.random.split(READ, len(IMAGES))
    found = convolve(config, prepared, WINDOW, IMAGES, key)
    expected = mvm(config, prepared, vectors(WINDOW, IMAGES), key)
    assert found.shape == expected.shape == (3, 3, 7, 5)
    # A charge near the middle between two codes may be rounded to either.
    off = np.abs(found - expected) > 1e-4
    assert np.mean(off) < 0.02
    np.testing.assert_allclose(found, expected, atol=0.25)


def test_noise_differs_between_reads():
    prepared = prepare(WHOLE, program(WHOLE, WEIGHTS, CHIP))
    first, again, other = (convolve(WHOLE, prepared, WINDOW, IMAGES, key) for key in (READ, READ, CHIP))
    np.testing.assert_array_equal(first, again)
    assert np.mean(np.abs(first - other)) > 1e-3


def test_gradients_are_those_of_every_vector():
    config = replace(WHOLE, rows=7, adc=adcs.IdealADC())

    def loss(read):
        def of(w, x, limit):
            own = replace(config, drive=config.drive.with_(range=FixedRange(limit=limit)))
            return jnp.sum(jnp.sin(read(own, prepare(own, program(own, w, CHIP)), x)))

        return jax.grad(of, argnums=(0, 1, 2))(WEIGHTS, IMAGES, 2.0)

    found = loss(lambda config, prepared, x: convolve(config, prepared, WINDOW, x, READ))
    expected = loss(lambda config, prepared, x: mvm(config, prepared, vectors(WINDOW, x), READ))
    for own, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(own, other, rtol=2e-2, atol=2e-2 * np.max(np.abs(other)))


@pytest.mark.parametrize("dilation", [(1, 1), (2, 3)])
def test_inputs_with_zeros_between_them(dilation):
    config = replace(WHOLE, device=IdealDevice(), adc=adcs.IdealADC(), rows=7)
    prepared = prepare(config, program(config, WEIGHTS, CHIP))
    window = replace(WINDOW, input_dilation=dilation, padding=((1, 0), (-1, 2)))
    found = convolve(config, prepared, window, IMAGES)
    np.testing.assert_allclose(found, mvm(config, prepared, vectors(window, IMAGES)), atol=1e-4)


def _with_range(config):
    return replace(config, drive=config.drive.with_(range=RANGE))


@component
class _OwnRange(FixedRange):
    def bound(self, x):
        return jnp.max(jnp.abs(x), axis=-1) + 1.0


@component
class _OwnPulses(PWM):
    def encode(self, x):
        return super().encode(x - jnp.mean(x, axis=-1, keepdims=True))


@pytest.mark.parametrize(
    ("config", "works"),
    [
        (WHOLE, True),
        (replace(WHOLE, drive=PWM(range=PerVector())), False),
        (replace(WHOLE, drive=PWM(range=LearnedRange(limit=2.0))), False),
        (replace(WHOLE, drive=PWM(range=_OwnRange(limit=2.0))), False),
        (replace(WHOLE, drive=_OwnPulses(range=RANGE)), False),
        (_with_range(presets.asim()), False),
        (replace(WHOLE, rows=1), False),
    ],
    ids=["fixed", "per vector", "learned", "own range", "own pulses", "zeros and ones", "many rows of tiles"],
)
def test_only_what_makes_pulses_input_by_input_slides(config, works):
    prepared = prepare(config, program(config, WEIGHTS, CHIP))
    assert slides(config, prepared) is works
    if not works:
        with pytest.raises(ValueError, match="`config` must have a drive with a range that all inputs share"):
            convolve(config, prepared, WINDOW, IMAGES, READ)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (IMAGES[..., :3], r"`images` must have shape \(\.\.\., channel=4\), but has shape \(3, 7, 6, 3\)"),
        (IMAGES[0], r"`images` must have an axis of examples, 2 of space and one of channels, but has shape \(7, 6, 4"),
    ],
)
def test_what_is_no_image_is_refused(images, message):
    prepared = prepare(WHOLE, program(WHOLE, WEIGHTS, CHIP))
    with pytest.raises(ValueError, match=message):
        convolve(WHOLE, prepared, WINDOW, images, READ)


def test_a_window_that_the_rows_do_not_fit_is_refused():
    prepared = prepare(WHOLE, program(WHOLE, WEIGHTS[:23], CHIP))
    with pytest.raises(ValueError, match="as many rows for each of the 6 places of the window, but has 23 in all"):
        convolve(WHOLE, prepared, WINDOW, IMAGES, READ)
