"""Keys of chips and reads: one door for each, and no two draws that share one in silence."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from analog_networks import CHIP, DEVICES, NEARLY_DIGITAL, READ, Pair
from flax import nnx

from jaxaimc import nn

X = jax.random.normal(jax.random.key(3), (3, 6))


@pytest.fixture(scope="module")
def chip():
    return nn.convert(Pair(nnx.Rngs(0)), DEVICES, CHIP)


def relative(programmed):
    """Return the errors of devices, a row for each layer of a stack."""
    errors = np.asarray(programmed.g - programmed.g_target)
    return errors.reshape(len(errors), -1)


def test_bad_key_k2_drift_takes_the_chips_own_key(chip):
    early, late = nn.drift(chip, 1e3), nn.drift(nn.drift(chip, 60.0), 1e3)
    for name in ("first", "head"):
        one, other = (getattr(m, name).dot_general.programmed.get_value().g for m in (early, late))
        np.testing.assert_array_equal(one, other)
    with pytest.raises(ValueError, match=r"`compensation` must be a correction .*the chip's own key is used"):
        nn.drift(chip, 1e3, CHIP)
    with pytest.raises(ValueError, match="`t` must be a time"):
        nn.drift(chip, -1.0)


@pytest.mark.parametrize(
    "key", [0, jax.random.PRNGKey(0), np.uint32(3), jax.random.split(CHIP, 2)], ids=["int", "raw", "numpy", "many"]
)
def test_bad_keys_k3_every_door_that_takes_a_key_says_what_a_key_is(chip, key):
    doors = [
        lambda: nn.convert(Pair(nnx.Rngs(0)), DEVICES, key=key),
        lambda: nn.program(chip, key),
        lambda: nn.calibrate(chip, X, key),
        lambda: nn.calibrate_columns(chip, [X], key),
    ]
    if getattr(key, "shape", None) != (2,) or not jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
        doors.append(lambda: nn.with_read_key(chip, key))
        doors.append(lambda: nn.Blank.of(chip).on_chip(nn.effective(chip), key))
    for door in doors:
        with pytest.raises(ValueError, match=r"`key` must be a (typed key such as `jax.random.key\(0\)`|single key)"):
            door()


def test_k4_examples_that_are_mapped_over_with_one_key_have_noise_of_their_own(chip):
    same = jnp.broadcast_to(X[0], (4, 6))
    mapped = nnx.vmap(lambda model, x: model(x), in_axes=(None, 0))
    y = mapped(nn.with_read_key(chip, READ), same)
    assert len(np.unique(np.asarray(y), axis=0)) == 4
    # A layer's noise has the size that it has in a batch.
    many = jnp.broadcast_to(X[0], (500, 6))
    layer = lambda x: nn.with_read_key(chip, READ).first(x)  # noqa: E731
    spread = [np.std(np.asarray(y), axis=0) for y in (jax.jit(jax.vmap(layer))(many), jax.jit(layer)(many))]
    np.testing.assert_allclose(spread[0], spread[1], rtol=0.2)


def test_k4_chips_that_are_mapped_over_with_one_read_key_equal_a_loop():
    blank = nn.Blank.of(nn.convert(Pair(nnx.Rngs(0)), DEVICES))
    keys = jax.random.split(CHIP, 3)
    chips = jax.vmap(lambda key: nn.effective(nn.program(blank.model(), key)))(keys)
    read = jax.jit(lambda prepared: blank.on_chip(prepared, READ)(X))
    loop = [read(jax.tree.map(lambda leaf, i=i: leaf[i], chips)) for i in range(3)]
    np.testing.assert_allclose(jax.jit(jax.vmap(read))(chips), jnp.stack(loop), atol=1e-4)


def test_k4_a_mapped_batch_of_reads_with_keys_equals_a_loop(chip):
    keys = jax.random.split(READ, 3)
    read = lambda x, key: nn.with_read_key(chip, key).first(x)  # noqa: E731
    loop = jnp.stack([read(x, key) for x, key in zip(X, keys, strict=True)])
    np.testing.assert_allclose(jax.vmap(read)(X, keys), loop, atol=1e-5)


def test_k4_layers_that_are_mapped_over_with_one_chip_key_have_devices_of_their_own():
    stack = nnx.vmap(lambda rngs: nnx.Linear(32, 32, rngs=rngs), axis_size=2)(nnx.Rngs(0).split(2))
    programmed = nnx.vmap(lambda layer, key: nn.convert(layer, DEVICES, key), in_axes=(0, None))(stack, CHIP)
    errors = relative(programmed.dot_general.programmed.get_value())
    assert abs(np.corrcoef(errors)[0, 1]) < 0.1


def test_a_model_that_was_captured_by_a_traced_function_is_refused(chip):
    model = nn.with_read_key(chip, READ)
    with pytest.raises(ValueError, match="'first' was captured by a traced function"):
        jax.vmap(model)(X)


def test_reads_without_noise_need_no_key():
    quiet = nn.convert(Pair(nnx.Rngs(0)), NEARLY_DIGITAL, CHIP)
    np.testing.assert_allclose(jax.vmap(quiet)(X), quiet(X), atol=1e-6)
