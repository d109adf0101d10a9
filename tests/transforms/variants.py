"""A function as it is and compiled, for tests that both must pass."""

import jax
import pytest

VARIANTS = [pytest.param(lambda function: function, id="without_jit"), pytest.param(jax.jit, id="with_jit")]
