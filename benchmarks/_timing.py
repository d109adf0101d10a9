"""Time functions against each other in one run: round after round in turn, so that a slow moment hits all alike."""

import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np


def medians(functions: Mapping[str, Callable[[], Any]], rounds: int = 30, seconds: float = 0.05) -> dict[str, float]:
    """Return the median time of each function [s].

    Args:
        functions: Functions without arguments that return JAX arrays; each is compiled by its first, uncounted call.
        rounds: Rounds over all functions.
        seconds: A function is repeated within a round until it has run about this long.

    Returns:
        Medians over the rounds, by name.
    """
    repeats = {}
    for name, function in functions.items():
        jax.block_until_ready(function())
        once = _clock(function, 1)
        repeats[name] = max(1, int(seconds / max(once, 1e-7)))
    times: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(rounds):
        for name, function in functions.items():
            times[name].append(_clock(function, repeats[name]))
    return {name: float(np.median(values)) for name, values in times.items()}


def _clock(function: Callable[[], Any], repeats: int) -> float:
    start = time.perf_counter()
    for _ in range(repeats):
        result = function()
    jax.block_until_ready(result)
    return (time.perf_counter() - start) / repeats
