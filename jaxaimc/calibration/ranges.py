"""Ranges of converters from the charges that they get: after programming, and again when devices have drifted."""

import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from jaxaimc._core.arguments import as_real
from jaxaimc._core.component import Component, component, leaf, static
from jaxaimc.adcs import ADC, FullRange, IdealADC, Range, Span, Symmetric
from jaxaimc.config import AnalogConfig
from jaxaimc.tile import Prepared, charges, mvm


class NothingToCalibrateWarning(UserWarning):
    """Data that say nothing about a range, so that it is left as it was."""


# Config, matrix now, typical inputs and read key to the config with the converter's range chosen.
RangeRule = Callable[[AnalogConfig, Prepared, Array, Any], AnalogConfig]


@component
class Percentile(Component):
    """Converter ranges that hold a percentage of the charges, for each slice its own.

    A range is about zero where charges have both signs, else it begins there. The default is the rule of Xiao et al.
    2022 (arXiv 2109.01262). All charges are held in memory: a few dozen typical inputs do. The converter's present
    range, such as that of a macro that counts, is kept where it answers these inputs better by two measures at once: by
    the error that half of the outputs stay below, which does not see the charges outside that are given up on purpose,
    and by the mean squared error, which does not forgive a range that clips many.

    Attributes:
        percentile: Percentage of the charges that lie within the range, in (50, 100].

    Example:
        >>> import jax
        >>> from jaxaimc import AnalogConfig, adcs, devices, prepare, program
        >>> config = AnalogConfig(device=devices.IdealDevice(), adc=adcs.Uniform(bits=6))
        >>> w, x = (jax.random.normal(jax.random.key(i), (64, 64)) for i in range(2))
        >>> prepared = prepare(config, program(config, w, jax.random.key(2)))
        >>> most, all_of_it = (Percentile(percentile=p)(config, prepared, x).adc.range.limit for p in (99.0, 100.0))
        >>> 0.5 < float(most[0, 0] / all_of_it[0, 0]) < 0.9
        True
    """

    percentile: float = leaf(99.98, above=50.0, high=100.0)

    def __call__(
        self,
        config: AnalogConfig,
        prepared: Prepared,
        x: Float[Array, "*batch n_in"],
        key: Key[Array, ""] | None = None,
    ) -> AnalogConfig:
        """Return `config` with the converter's range chosen; not to be called under jit.

        Args:
            config: The tile.
            prepared: The matrix, fresh or drifted.
            x: Typical inputs.
            key: Read key, with which the charges have read noise; without one they have none.

        Returns:
            `config` whose converter has a `Symmetric` or a `Span` with a limit for each slice, shape (slice, 1); as it
            is where its range answers better, and, with a warning, if the inputs drive nothing.

        Raises:
            ValueError: If the converter has no range, `percentile` is out of range, or `x` does not hold finite real
                numbers.
        """
        self.validate()
        x = as_real("x", x)
        if not _can_calibrate(config, x):
            return config
        found = _with_range(config, _charge_range(config, prepared, x, key, self.percentile))
        key = jax.random.key(0) if key is None else key
        ideal = _ideal(config, prepared, x, key)
        errors = [jnp.abs(mvm(c, prepared, x, key) - ideal) for c in (config, found)]
        halves, squares = ([measure(error) for error in errors] for measure in (jnp.median, _mean_square))
        return config if halves[0] < halves[1] and squares[0] < squares[1] else found


@component
class LeastError(Component):
    """Converter ranges that answer typical inputs best: clipping is traded against the size of a step.

    Candidates are the present range and parts of the largest charges, the same part for all slices. The choice has the
    least mean squared difference to a converter of infinite resolution and range under the same reads. It is a minimum
    over candidates and has no gradient; the range that it returns is a leaf that can be refined by one.

    Attributes:
        candidates: Number of ranges that are tried.
        smallest: Smallest range that is tried [share of the largest charge].

    Example:
        >>> import jax
        >>> from jaxaimc import AnalogConfig, adcs, devices, prepare, program
        >>> config = AnalogConfig(device=devices.IdealDevice(), adc=adcs.Uniform(bits=4))
        >>> w, x = (jax.random.normal(jax.random.key(i), (64, 64)) for i in range(2))
        >>> prepared = prepare(config, program(config, w, jax.random.key(2)))
        >>> all_of_it, best = (rule(config, prepared, x).adc.range.limit for rule in (Percentile(), LeastError()))
        >>> 0.5 < float(best[0, 0] / all_of_it[0, 0]) < 0.9
        True
    """

    candidates: int = static(default=32, low=2, high=10_000)
    smallest: float = leaf(1 / 32, above=0.0, high=1.0)

    def __call__(
        self,
        config: AnalogConfig,
        prepared: Prepared,
        x: Float[Array, "*batch n_in"],
        key: Key[Array, ""] | None = None,
    ) -> AnalogConfig:
        """Return `config` with the converter's range chosen; see `Percentile`.

        The key is needed where devices or the converter are noisy.

        Raises:
            ValueError: If the converter has no range, `smallest` is not in (0, 1], or `x` does not hold finite real
                numbers.
        """
        self.validate()
        x = as_real("x", x)
        if not _can_calibrate(config, x):
            return config
        largest = _charge_range(config, prepared, x, key, 100.0)
        ideal = _ideal(config, prepared, x, key)

        def shrunk(part: Float[Array, ""]) -> AnalogConfig:
            return _with_range(config, jax.tree.map(lambda limit: part * limit, largest))

        def error(chosen: AnalogConfig) -> Float[Array, ""]:
            return _mean_square(mvm(chosen, prepared, x, key) - ideal)

        parts = jnp.geomspace(self.smallest, 1.0, self.candidates, dtype=ideal.dtype)
        errors = jax.lax.map(lambda part: error(shrunk(part)), parts)
        return config if error(config) < jnp.min(errors) else shrunk(parts[jnp.argmin(errors)])


def has_range(adc: ADC) -> bool:
    """Return whether a converter has a range that can be set; an oscillator that counts has none.

    Args:
        adc: The converter.
    """
    return adc.with_(range=FullRange()) is not None


def _can_calibrate(config: AnalogConfig, x: Float[Array, "*batch n_in"]) -> bool:
    """Return whether inputs say anything about a range; refuse what no range can follow from."""
    if not has_range(config.adc):
        raise ValueError(
            f"Field `adc` of AnalogConfig must be a converter with a range, but {type(config.adc).__name__} has none."
        )
    finite = np.isfinite(np.asarray(x))
    if not finite.size or not finite.all():
        what = f"{np.sum(~finite)} of {finite.size} are not" if finite.size else "there are none"
        raise ValueError(f"Argument `x` must hold finite inputs, but {what}.")
    driven = bool(jnp.any(config.drive.encode(x).level != 0))
    if not driven:
        warnings.warn(
            "All inputs are driven as zero, so that no charge says how large the converter's range should be; it is "
            "left as it is.",
            NothingToCalibrateWarning,
            stacklevel=3,
        )
    return driven


def _mean_square(x: Float[Array, "..."]) -> Float[Array, ""]:
    return jnp.mean(jnp.square(x))


def _with_range(config: AnalogConfig, chosen: Range) -> AnalogConfig:
    return replace(config, adc=config.adc.with_(range=chosen))


def _ideal(
    config: AnalogConfig, prepared: Prepared, x: Float[Array, "*batch n_in"], key: Key[Array, ""] | None
) -> Float[Array, "*batch n_out"]:
    """Return the outputs of a converter of infinite resolution and range under the same reads."""
    return mvm(replace(config, adc=IdealADC()), prepared, x, key)


def _charge_range(
    config: AnalogConfig,
    prepared: Prepared,
    x: Float[Array, "*batch n_in"],
    key: Key[Array, ""] | None,
    percentile: float,
) -> Symmetric | Span:
    found = np.moveaxis(np.asarray(charges(config, prepared, x, key), np.float32), -2, 0)
    found = found.reshape(len(found), -1)
    low, high = np.percentile(found, [100 - percentile, percentile], axis=1)
    limit = np.maximum(-low, high)
    # A slice that never carries a charge has the range of the others: a range of its noise would be none.
    limit = np.where(limit > 0, limit, limit.max() if limit.max() > 0 else 1.0)
    reach: Any = jnp.asarray(limit[:, None], jnp.float32)
    zero: Any = jnp.zeros_like(reach)
    # Rounding may leave the charge of a weight of minus one in an offset cell a hair below zero.
    return Symmetric(limit=reach) if np.any(low < -1e-3 * limit) else Span(low=zero, high=reach)
