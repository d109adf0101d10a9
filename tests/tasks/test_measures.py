import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from jaxaimc.tasks import accuracy, cross_entropy


def test_cross_entropy_is_the_distance_to_the_smoothed_target():
    rng = np.random.default_rng(0)
    logits, labels, smoothing = rng.normal(size=(5, 4)).astype(np.float32), np.array([0, 3, 1, 1, 2]), 0.1
    target = (1 - smoothing) * np.eye(4)[labels] + smoothing / 4
    expected = -(target * scipy.special.log_softmax(logits, axis=-1)).sum(-1)
    np.testing.assert_allclose(cross_entropy(jnp.array(logits), jnp.array(labels), smoothing=smoothing), expected, 1e-6)


def test_accuracy_counts_per_example():
    outputs = jnp.array([[1.0, 2.0], [2.0, 1.0]])
    np.testing.assert_array_equal(accuracy(outputs, jnp.array([1, 1])), [1.0, 0.0])


@pytest.mark.parametrize("measure", [accuracy, cross_entropy, functools.partial(cross_entropy, smoothing=0.1)])
@pytest.mark.parametrize("label", [3, -1])
def test_s8_labels_out_of_range_are_refused_where_they_are_known(measure, label):
    with pytest.raises(ValueError, match=f"labels 0 to 2, but 1 of 2 are not, the first {label} of example 1"):
        measure(jnp.zeros((2, 3)), jnp.array([0, label]))
    jax.jit(measure)(jnp.zeros((2, 3)), jnp.array([0, label]))  # traced values pass


def test_s8_the_accuracy_of_outputs_that_are_no_numbers_is_none():
    outputs = jnp.array([[jnp.nan, 0.0], [1.0, jnp.nan], [1.0, 0.0]])
    np.testing.assert_array_equal(accuracy(outputs, jnp.array([0, 0, 0])), [np.nan, np.nan, 1.0])


def test_smoothing_is_a_share():
    with pytest.raises(ValueError, match=r"`smoothing` must be in \[0, 1\], but is 1.5"):
        cross_entropy(jnp.zeros((1, 3)), jnp.array([0]), smoothing=1.5)
