"""Convolutions that are read as images under a window, against a vector for every window."""

from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest
from analog_networks import DEVICES
from convolutions import converted, data, run
from flax import nnx

from jaxaimc import nn
from jaxaimc.drives import PWM, FixedRange


class _Watching(nn.Hook):
    """Looks at the vectors, and so at every window by itself."""

    by_vector = True

    def after(self, call, outputs):
        assert call.inputs.shape[:-1] == outputs.shape[:-1]
        return outputs


WITH_NOISE = replace(DEVICES, drive=PWM(range=FixedRange(limit=3.0)), rows=10)


def ways(layer, config, x, **host):
    """Return the answers by windows that slide over images, and by vectors because a hook looks at them."""
    analog = converted(layer, config, **host)
    watched = nn.attach(nnx.List([converted(layer, config, **host)]), lambda _: _Watching())[0]
    return run(analog, x), run(watched, x)


@pytest.mark.parametrize(
    "layer",
    [
        lambda rngs: nnx.Conv(4, 3, (3, 3), 2, kernel_dilation=2, rngs=rngs),
        lambda rngs: nnx.Conv(4, 3, (3, 3), padding="CIRCULAR", rngs=rngs),
        lambda rngs: nnx.ConvTranspose(4, 3, (3, 2), 2, rngs=rngs),
        lambda rngs: nnx.Conv(4, 3, (1, 1), 2, rngs=rngs),
        lambda rngs: nnx.Conv(4, 2, (3, 3), feature_group_count=2, rngs=rngs),
    ],
    ids=["strided", "circular", "transposed", "one place", "groups"],
)
def test_images_and_vectors_draw_the_same(layer):
    x = data(4, 6, 5, 4)
    by_images, by_vectors = ways(layer(nnx.Rngs(0)), WITH_NOISE, x)
    np.testing.assert_allclose(by_images, by_vectors, atol=2e-3)


def test_images_in_parts_have_noise_of_their_own():
    x = jnp.repeat(data(1, 6, 5, 4), 4, axis=0)
    layer = nnx.Conv(4, 3, (3, 3), rngs=nnx.Rngs(0))
    # Four rows of tiles, three columns, thirty windows: 360 charges for an image.
    whole, parts, vectors = (run(converted(layer, WITH_NOISE, most_elements=most), x) for most in (9999, 720, 359))
    noise = [found - layer(x) for found in (whole, parts, vectors)]
    for own in noise:
        assert all(np.abs(own[0] - other).max() > 1e-4 for other in own[1:])
    np.testing.assert_allclose([np.std(own) for own in noise], np.std(noise[0]), rtol=0.1)
