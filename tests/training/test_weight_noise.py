import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from jaxaimc import AnalogConfig, nn
from jaxaimc.training.limits.weights import clip_weights, clip_weights_to_deviations, kernels, remap_weights
from jaxaimc.training.noise.weights import (
    AdditiveNoise,
    DropConnect,
    MultiplicativeNoise,
    PolynomialNoise,
    with_weight_noise,
)

KEY = jax.random.key(5)
W = jnp.concatenate([jnp.linspace(-1.0, 1.0, 5), jnp.zeros(1)])[:, None] * jnp.array([1.0, 0.5])
DRAWS = 20_000


def spread(noise):
    changes = jax.vmap(lambda key: noise.change(W, key))(jax.random.split(KEY, DRAWS))
    np.testing.assert_array_less(np.abs(changes.mean(axis=0)), 3 * changes.std(axis=0) / np.sqrt(DRAWS) + 1e-12)
    return np.asarray(changes.std(axis=0))


def test_additive_noise_is_relative_to_the_largest_weight():
    np.testing.assert_allclose(spread(AdditiveNoise(scale=0.1)), np.tile([[0.1, 0.05]], (6, 1)), rtol=0.03)
    np.testing.assert_allclose(spread(AdditiveNoise(scale=0.1, per_column=False)), 0.1, rtol=0.03)


def test_multiplicative_noise_follows_the_weight():
    np.testing.assert_allclose(spread(MultiplicativeNoise(scale=0.2)), 0.2 * np.abs(W), rtol=0.03)


def test_polynomial_noise_has_the_published_spread():
    r = np.abs(np.asarray(W)) / np.array([1.0, 0.5])
    wanted = np.array([1.0, 0.5]) * (0.0105392 + 0.0768 * r - 0.046925 * r**2)
    np.testing.assert_allclose(spread(PolynomialNoise()), wanted, rtol=0.03)
    np.testing.assert_allclose(spread(PolynomialNoise(scale=3.0)), 3 * wanted, rtol=0.03)
    np.testing.assert_array_equal(spread(PolynomialNoise(coefficients=(-0.1,))), 0)


def test_drop_connect_drops_a_fraction_and_keeps_the_rest():
    w = jnp.ones((200, 100))
    left = w + DropConnect(probability=0.3).change(w, KEY)
    assert set(np.unique(left)) == {0.0, 1.0}
    assert abs(float(left.mean()) - 0.7) < 4 * np.sqrt(0.21 / left.size)


def converted():
    return nn.convert(nnx.Linear(6, 2, rngs=nnx.Rngs(0)), AnalogConfig())


def test_gradients_are_those_at_the_noisy_weights_and_the_model_stays():
    model = converted()
    before = model.kernel[...].copy()
    noises = [AdditiveNoise(scale=0.1), MultiplicativeNoise(scale=0.5), DropConnect(probability=0.2)]
    x = jax.random.normal(KEY, (3, 6))
    noisy = with_weight_noise(model, noises, KEY)
    np.testing.assert_array_equal(model.kernel[...], before)
    assert not np.allclose(noisy.kernel[...], before)

    def loss(model):
        return jnp.sum(jnp.square(nnx.view(model, analog_mode="digital")(x)))

    wanted = nnx.grad(loss)(nnx.clone(noisy)).kernel[...]
    found = nnx.grad(lambda model: loss(with_weight_noise(model, noises, KEY)))(nnx.clone(model)).kernel[...]
    np.testing.assert_allclose(found, wanted, rtol=1e-5)


def test_the_level_scales_the_change():
    model = converted()
    full, half = (with_weight_noise(model, [AdditiveNoise(scale=0.1)], KEY, level=level) for level in (1.0, 0.5))
    clean = model.kernel[...]
    np.testing.assert_allclose(half.kernel[...] - clean, 0.5 * (full.kernel[...] - clean), rtol=1e-4, atol=1e-7)
    np.testing.assert_array_equal(with_weight_noise(model, [], KEY).kernel[...], clean)


def test_layers_have_noise_of_their_own():
    class Two(nnx.Module):
        def __init__(self):
            self.a, self.b = (nnx.Linear(3, 3, rngs=nnx.Rngs(0)) for _ in range(2))

    noisy = with_weight_noise(nn.convert(Two(), AnalogConfig()), [AdditiveNoise(scale=0.1)], KEY)
    assert not np.allclose(noisy.a.kernel[...], noisy.b.kernel[...])


@pytest.mark.parametrize(
    ("noise", "message"),
    [
        (AdditiveNoise(scale=-0.1), r"Field `scale` of AdditiveNoise must be in \[0, inf\)"),
        (MultiplicativeNoise(scale=float("nan")), "Field `scale` of MultiplicativeNoise"),
        (PolynomialNoise(coefficients=(float("inf"),)), "Field `coefficients` of PolynomialNoise"),
        (DropConnect(probability=1.5), r"Field `probability` of DropConnect must be in \[0, 1\]"),
    ],
)
def test_bad_noise_is_refused(noise, message):
    with pytest.raises(ValueError, match=message):
        with_weight_noise(converted(), [noise], KEY)


def test_a_digital_model_is_refused():
    with pytest.raises(ValueError, match="has no analog layer"):
        with_weight_noise(nnx.Linear(2, 2, rngs=nnx.Rngs(0)), [], KEY)


PARAMETERS = {"a.kernel": jnp.array([[0.9, -3.0], [0.1, 2.0]]), "a.bias": jnp.array([5.0, -5.0])}


def stepped(transform):
    optimizer = optax.chain(optax.sgd(1.0), transform)
    gradient = {name: jnp.full_like(x, -0.5) for name, x in PARAMETERS.items()}
    updates, _ = optimizer.update(gradient, optimizer.init(PARAMETERS), PARAMETERS)
    new = optax.apply_updates(PARAMETERS, updates)
    np.testing.assert_allclose(new["a.bias"], PARAMETERS["a.bias"] + 0.5)
    return new["a.kernel"]


def test_limits_hold_after_the_step():
    plain = PARAMETERS["a.kernel"] + 0.5
    np.testing.assert_allclose(stepped(clip_weights(1.0)), np.clip(plain, -1, 1), rtol=1e-6)
    limit = 1.2 * float(jnp.std(plain))
    np.testing.assert_allclose(stepped(clip_weights_to_deviations(1.2)), np.clip(plain, -limit, limit), rtol=1e-6)
    np.testing.assert_allclose(stepped(remap_weights()), plain / np.abs(plain).max(axis=0), rtol=1e-6)
    assert kernels("blocks.0.kernel", plain)
    assert not kernels("kernels.bias", plain)


def test_a_column_of_zeros_is_not_remapped():
    transform = remap_weights()
    zeros = {"kernel": jnp.zeros((2, 2))}
    updates, _ = transform.update(zeros, transform.init(zeros), zeros)
    np.testing.assert_array_equal(updates["kernel"], 0)


def test_bad_limits_are_refused():
    for make in (clip_weights, clip_weights_to_deviations, remap_weights):
        with pytest.raises(ValueError, match=r"must be in \(0, inf\], but is 0"):
            make(0.0)
    with pytest.raises(ValueError, match="need the parameters"):
        clip_weights(1.0).update(PARAMETERS, optax.EmptyState())
