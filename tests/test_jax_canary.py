"""Guards against two faults of XLA's CPU backend in jax 0.10.2 and 0.11.0, which the version bounds exclude.

Both sit in the fusion of a product with the reduction that follows, the pattern of every matrix-vector product here:
wrong numbers (jax issue 39103) and a crash above rank six (jax issue 40412). An environment that forces such a version
fails here rather than in a result.
"""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

# The crash takes the interpreter with it, so it happens in a process of its own.
RANK_SEVEN = """
import jax, jax.numpy as jnp, numpy as np
a = np.random.default_rng(0).normal(size=(3, 1, 2, 2, 8, 8, 8)).astype(np.float32)
b = a[::-1].copy()
found = jax.jit(lambda a, b: jnp.sum(a * b, axis=3))(a, b)
np.testing.assert_allclose(found, (a * b).sum(3), rtol=1e-5, atol=1e-5)
"""


@pytest.mark.parametrize("n", [32_769, 40_000])
def test_matrix_vector_products_followed_by_a_sum(n):
    rng = np.random.default_rng(n)
    matrix, x = rng.normal(size=(3, 3)).astype(np.float32), rng.normal(size=(n, 3)).astype(np.float32)
    found = jax.jit(jax.vmap(lambda row: jnp.sum((matrix @ row) ** 2)))(x)
    np.testing.assert_allclose(found, np.sum((x @ matrix.T) ** 2, axis=1), rtol=1e-4, atol=1e-4)


def test_sum_over_an_axis_of_a_rank_seven_product():
    done = subprocess.run([sys.executable, "-c", RANK_SEVEN], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
