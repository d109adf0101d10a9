"""A converter given by measurements: what it returns, on average and in spread, for each of its codes."""

import math
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from jaxaimc._core.component import component, leaf
from jaxaimc._core.csv_files import read_numbers
from jaxaimc._core.rounding import settle
from jaxaimc.adcs.base import Readout, draw_normals
from jaxaimc.adcs.circuits import through
from jaxaimc.adcs.ranges import FullRange, Range, RangedADC


@component
class CodeTable(RangedADC):
    """Mean and standard deviation of the code that comes out, for every code that should, from SPICE or silicon.

    A charge has the nominal code that is nearest in the range (`2**bits` codes, both ends included); what comes out
    is a normal draw with that code's mean and deviation, rounded to a code and limited to those there are. Gradient:
    straight-through inside the range, zero outside.

    Attributes:
        mean: Mean of the code that comes out, shape (codes,).
        std: Standard deviation of the code that comes out, shape (codes,).
        range: Charges of the first and the last code.

    Example:
        >>> import jax
        >>> from jaxaimc.adcs import PositiveRange, Readout
        >>> adc = CodeTable(mean=np.array([0.0, 1.0, 3.0, 3.0]), std=np.zeros(4), range=PositiveRange())
        >>> adc.convert(jnp.arange(4.0)[:, None, None, None], Readout(jnp.ones(()), 3, 3), jax.random.key(0)).ravel()
        Array([0., 1., 3., 3.], dtype=float32)
    """

    mean: Float[Array, " codes"] | Float[np.ndarray, " codes"] = leaf(array=True)
    std: Float[Array, " codes"] | Float[np.ndarray, " codes"] = leaf(low=0.0, array=True)
    range: Range = FullRange()

    @property
    def noisy(self) -> bool:
        """Yes: the deviations are values, which may not be known when a function is compiled."""
        return True

    def steps(self, dtype: jnp.dtype) -> float:
        """Return the steps from the first to the last code of the table."""
        return float(len(self.mean) - 1)

    def resolution(self, readout: Readout) -> float:
        """Return the bits that tell the codes of the table apart [bit]."""
        return math.log2(len(self.mean))

    def convert(
        self, q: Float[Array, "*out"], readout: Readout, key: Key[Array, "*keys"] | None = None
    ) -> Float[Array, "*out"]:
        """Return the digitised charge in the unit of `q`."""
        mean, std = jnp.asarray(self.mean, q.dtype), jnp.asarray(self.std, q.dtype)
        last = len(mean) - 1

        def decide(v: Array) -> Array:
            nominal = jnp.round(settle(v * last, last.bit_length())).astype(jnp.int32)
            drawn = mean[nominal] + std[nominal] * draw_normals(key, v.shape, v.dtype)
            return jnp.clip(jnp.round(drawn), 0, last) / last

        return through(q, self.range.bounds(readout, self.steps(q.dtype)), decide)

    def check(self) -> None:
        """Check the table.

        Raises:
            ValueError: If the columns differ in length, or have less than two codes.
        """
        shapes = jnp.shape(self.mean), jnp.shape(self.std)
        if len(shapes[0]) != 1 or shapes[0][0] < 2 or shapes[0] != shapes[1]:
            raise ValueError(
                "Fields `mean` and `std` of CodeTable must have the same shape (codes,) with at least 2 codes, but "
                f"have {shapes[0]} and {shapes[1]}."
            )


def read_table(path: str | Path, range: Range) -> CodeTable:
    """Read a table of a converter from a CSV file.

    Args:
        path: File with a header and the columns `code`, `mean` and `std`; codes count up from zero.
        range: Charges of the first and the last code.

    Returns:
        The converter.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is no such table: a column is missing, an entry is no number, codes are missing.
    """
    codes, mean, std = read_numbers(path, "Converter table", ("code", "mean", "std"), others=True).T
    if not np.array_equal(codes, np.arange(len(codes))):
        raise ValueError(f"Column code of converter table {str(path)!r} must count 0, 1, 2, ..., but holds {codes}.")
    table = CodeTable(mean=mean.astype(np.float32), std=std.astype(np.float32), range=range)
    try:
        table.validate()
    except ValueError as error:
        raise ValueError(f"Converter table {str(path)!r}: {error}") from error
    return table
