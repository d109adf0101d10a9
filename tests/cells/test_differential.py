import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxaimc.cells import Differential

W = np.array([[1.0, -1.0, 0.5], [0.0, -0.3, 0.01]])


@pytest.mark.parametrize(("g_min", "g_max"), [(0.0, 25e-6), (0.1e-6, 25e-6), (5e-6, 40e-6)])
def test_differential_conductances(x64, g_min, g_max):
    cell = Differential(g_min=g_min, g_max=g_max)
    g = cell.encode(jnp.asarray(W))
    assert g.shape == (1, 2, 2, 3)
    np.testing.assert_allclose(g[0, 0], g_min + (g_max - g_min) * np.maximum(W, 0), rtol=1e-14)
    np.testing.assert_allclose(g[0, 1], g_min + (g_max - g_min) * np.maximum(-W, 0), rtol=1e-14)
    assert cell.g_span == pytest.approx(g_max - g_min)


def test_pair_gives_the_weight_back():
    cell = Differential(g_min=1e-6, g_max=25e-6)
    g = cell.encode(jnp.asarray(W))
    back = sum(sign * polarity for sign, polarity in zip(cell.signs, g[0], strict=True)) / cell.g_span
    np.testing.assert_allclose(back, W, atol=1e-6)


def test_zero_weight_is_zero_net_conductance_exactly():
    g = Differential(g_min=0.3e-6).encode(jnp.zeros((2, 2)))
    np.testing.assert_array_equal(g[0, 0], g[0, 1])


def test_decode_takes_the_only_slice():
    q = jnp.arange(12.0).reshape(3, 1, 4)
    np.testing.assert_array_equal(Differential().decode(q, jnp.zeros(3)), q[:, 0])


def test_the_pair_is_linear_in_the_weight_through_zero(x64):
    """Each device has a kink at zero; the pair has none, and its derivative there is that of any other weight."""
    cell = Differential(g_min=1e-6)

    def net(w):
        g = cell.encode(w[None, None])
        return (g[0, 0, 0, 0] - g[0, 1, 0, 0]) / cell.g_span

    for w in (-0.4, 0.0, 0.7):
        assert jax.grad(net)(w * jnp.ones(())) == pytest.approx(1.0, rel=1e-12)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"g_min": -1e-6}, r"`g_min` of Differential must be in \[0, inf\) S, but is -1 uS"),
        ({"g_max": 0.0}, r"`g_max` of Differential must be in \(0, 1\] S, but is 0 S"),
        ({"g_max": float("nan")}, r"`g_max` of Differential must be in \(0, 1\] S, but is nan S"),
        ({"g_max": 25.0}, r"`g_max` of Differential must be in \(0, 1\] S, but is 25 S"),
        ({"g_min": 25e-6}, "`g_min` of Differential must be less than `g_max`, but g_min is 25 uS and g_max is 25 uS"),
        ({"g_min": 30e-6}, "`g_min` of Differential must be less than `g_max`, but g_min is 30 uS and g_max is 25 uS"),
        ({"g_max": "25"}, r"`g_max` of Differential must be a number \[S\], but is '25'"),
    ],
)
def test_bad_conductance_window(fields, message):
    with pytest.raises(ValueError, match=message):
        Differential(**fields).validate()
