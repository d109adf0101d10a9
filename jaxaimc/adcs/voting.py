"""Remedies of bit-serial macros: the most significant conversions done exactly, or several times.

The conversions of a bit-serial macro are the products of an input plane `j` and a weight plane `i`, significant by
`2**(i + j)`; those with the same `i + j` form a *diagonal*. Source: Zhang et al. 2024 (ASiM, arXiv 2411.11022).
"""

from abc import abstractmethod

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Integer, Key

from jaxaimc._core.component import Component, component, static
from jaxaimc._core.random import fold_in
from jaxaimc.adcs.base import ADC, Readout, Wrapped
from jaxaimc.adcs.uniform import Uniform


@component
class Hybrid(Wrapped):
    """Another converter, with the most significant diagonals computed by exact digital logic instead.

    There must be conversions to choose from: a tile that makes as few per output as there are digital diagonals, such
    as a single one (one plane and one slice, or accumulated planes of one slice), would not use its converter at all,
    and is refused when it is read. The tile's own charge stands for the digital result, which is exact where devices
    and wires are ideal, as they are in a charge-domain macro.

    Attributes:
        adc: The converter of the other diagonals.
        digital: Diagonals that are exact, from the most significant one; fewer than the conversions of an output.
    """

    adc: ADC = Uniform()
    digital: int = static(default=3, low=1, high=64)

    def convert(
        self, q: Float[Array, "*out"], readout: Readout, key: Key[Array, "*keys"] | None = None
    ) -> Float[Array, "*out"]:
        """Return the charge itself on the top diagonals, digitised elsewhere.

        Raises:
            ValueError: If `digital` is not less than the conversions of an output, which have no more diagonals.
        """
        return jnp.where(self._digital(readout), q, self.adc.convert(q, readout, key))

    def saturated(self, q: Float[Array, "*out"], readout: Readout) -> Bool[Array, "*out"]:
        """Return which charges of the other diagonals lie beyond the range."""
        return self.adc.saturated(q, readout) & ~self._digital(readout)

    def uses(self, readout: Readout) -> Integer[Array, "..."]:
        """Return the uses of the converter on the other diagonals, and none on the top ones."""
        return jnp.where(self._digital(readout), 0, self.adc.uses(readout))

    def _digital(self, readout: Readout) -> Bool[Array, "..."]:
        """Return which conversions are digital; refuse to make all of them so."""
        if self.digital >= readout.conversions:
            raise ValueError(
                f"Field `digital` of Hybrid must be less than the conversions of an output, so that some are left to "
                f"its converter, but is {self.digital}; here an output has {readout.conversions} (planes of the drive, "
                "one where they accumulate, times slices of the cell)."
            )
        return _top(readout, self.digital)


class Vote(Component):
    """Base of all votes: how several conversions of one charge become one result."""

    @abstractmethod
    def reduce(self, samples: Float[Array, "sample *out"]) -> Float[Array, "*out"]:
        """Return the result."""


@component
class Mean(Vote):
    """Their mean."""

    def reduce(self, samples: Float[Array, "sample *out"]) -> Float[Array, "*out"]:
        """Return the mean."""
        return jnp.mean(samples, axis=0)


@component
class Mode(Vote):
    """The most frequent one; of several that are equally frequent, the one nearest to the median."""

    def reduce(self, samples: Float[Array, "sample *out"]) -> Float[Array, "*out"]:
        """Return the mode."""
        count = jnp.sum(samples[:, None] == samples[None], axis=1)
        # Places in the sorted order are less than the number of samples, so they decide only between equal counts.
        place = jnp.argsort(jnp.argsort(samples, axis=0), axis=0)
        middle = (len(samples) - 1) / 2
        score = count * len(samples) - jnp.abs(place - middle)
        return jnp.take_along_axis(samples, jnp.argmax(score, axis=0)[None], axis=0)[0]


@component
class Voting(Wrapped):
    """Another converter, used several times for the most significant diagonals, which then vote.

    The conversion of a tile that makes a single one per output is the most significant: all outputs are voted on.

    Attributes:
        adc: The converter, one with noise: others would repeat themselves.
        samples: Conversions per vote.
        levels: Diagonals that are voted on, from the most significant one.
        vote: How the conversions become one result.
    """

    adc: ADC = Uniform()
    samples: int = static(default=3, low=2, high=64)
    levels: int = static(default=3, low=1, high=64)
    vote: Vote = Mode()

    @property
    def noisy(self) -> bool:
        """Yes."""
        return True

    def convert(
        self, q: Float[Array, "*out"], readout: Readout, key: Key[Array, "*keys"] | None = None
    ) -> Float[Array, "*out"]:
        """Return the result of the votes on the top diagonals, a single conversion elsewhere."""
        keys = [None if key is None else fold_in(key, index) for index in range(self.samples)]
        samples = jnp.stack([self.adc.convert(q, readout, k) for k in keys])
        return jnp.where(_top(readout, self.levels), self.vote.reduce(samples), samples[0])

    def uses(self, readout: Readout) -> Integer[Array, "..."]:
        """Return `samples` uses of the converter on the top diagonals, a single one elsewhere."""
        return jnp.where(_top(readout, self.levels), self.samples, 1) * self.adc.uses(readout)

    def check(self) -> None:
        """Check that voting acts.

        Raises:
            ValueError: If the converter has no noise.
        """
        if not self.adc.noisy:
            raise ValueError(
                f"Field `adc` of Voting must be one with noise, but this {type(self.adc).__name__} has none, so "
                "that `samples` could not act."
            )


def _top(readout: Readout, diagonals: int) -> Bool[Array, "..."]:
    """Return which conversions belong to the most significant diagonals."""
    # Weights of neighbouring diagonals differ by a factor of two: the threshold lies between.
    return jnp.asarray(readout.weight) > 2.0 ** (0.5 - diagonals)
