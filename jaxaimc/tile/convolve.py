"""Reading at all positions of a window that slides over images, without making a vector for each.

Where every input is turned into a pulse by itself, a window of pulses is the pulses of a window. The products of a tile
with the pulses under all positions are then a convolution, of the pulses with the effective matrix and of their squares
with the variance of read noise. An input is scaled, rounded and turned into a pulse once instead of once for each
position of the window that sees it, nine times under 3 x 3.
"""

import math
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from jaxaimc._core.checks import warn_of_lost_inputs
from jaxaimc._core.random import fold_in
from jaxaimc._core.sharding import divided_by_xla
from jaxaimc.config.analog import AnalogConfig
from jaxaimc.tile.checks import checked_read
from jaxaimc.tile.planes import Lines, in_precision
from jaxaimc.tile.read import read_tile
from jaxaimc.tile.state import Prepared

# Rows of tiles up to which each is read by a convolution of its own, which takes time to compile.
_MOST_TILE_ROWS = 16


@dataclass(frozen=True)
class Window:
    """A window that slides over images.

    What is under the window is a vector with the places of the window in their order, the channels of each side by
    side.

    Attributes:
        sizes: Places of the window along each spatial axis.
        strides: Steps between neighbouring positions of the window.
        padding: Zeros before and after an image; less than none cuts inputs off.
        input_dilation: Distance of neighbouring inputs, with zeros between them.
        dilation: Steps between neighbouring places of the window.
    """

    sizes: tuple[int, ...]
    strides: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    input_dilation: tuple[int, ...]
    dilation: tuple[int, ...]

    def lines(self, tile_row: int) -> Lines:
        """Return the products of pulses with one row of tiles.

        Args:
            tile_row: Number of the row of tiles.
        """
        product = partial(self._product, tile_row)
        highest = jax.lax.Precision.HIGHEST
        # A variance is right to a hundredth in any precision that a platform has.
        return Lines(partial(product, highest), partial(product, jax.lax.Precision.DEFAULT))

    def _product(
        self,
        tile_row: int,
        precision: jax.lax.Precision,
        x: Float[Array, "example *spatial plane channel"],
        w: Float[Array, "rows out"],
    ) -> Float[Array, "example *positions plane out"]:
        rows, n_out = w.shape
        # Of the window, the lines along its first axis of which some rows are on these tiles.
        lines, *others = self.sizes
        of_line = math.prod(others) * x.shape[-1]
        first, last = tile_row * rows, min((tile_row + 1) * rows, lines * of_line)
        low, high = first // of_line, -(-last // of_line)
        w = jnp.pad(w[: last - first], ((first - low * of_line, high * of_line - last), (0, 0)))
        kernel = w.reshape(high - low, *others, x.shape[-1], n_out)
        (before, after), *padding = self.padding
        before, after = before - low * self.dilation[0], after - (lines - high) * self.dilation[0]
        if self.input_dilation[0] == 1:
            # XLA has no fast convolution that cuts inputs off.
            x = jax.lax.slice_in_dim(x, max(-before, 0), x.shape[1] - max(-after, 0), axis=1)
            before, after = max(before, 0), max(after, 0)
        # Planes are examples.
        planes = jnp.moveaxis(x, -2, 1)
        rank = len(self.sizes)
        last = (0, rank + 1, *range(1, rank + 1))
        y = jax.lax.conv_general_dilated(
            planes.reshape(-1, *planes.shape[2:]),
            kernel,
            self.strides,
            ((before, after), *padding),
            lhs_dilation=self.input_dilation,
            rhs_dilation=self.dilation,
            dimension_numbers=jax.lax.ConvDimensionNumbers(last, (rank + 1, rank, *range(rank)), last),
            precision=precision,
        )
        return jnp.moveaxis(y.reshape(*planes.shape[:2], *y.shape[1:]), 1, -2)


def slides(config: AnalogConfig, prepared: Prepared) -> bool:
    """Return whether `convolve` can read a matrix.

    Args:
        config: The tile.
        prepared: Result of `prepare`.

    Returns:
        Whether each input makes pulses by itself (`Drive.by_input`), the matrix has one group on at most 16 rows of
        tiles, and its wires leave nothing to solve at every read. A matrix of zeros and ones is left to `mvm`, which
        reads several planes in one product.
    """
    linear, few = prepared.circuit is None, prepared.matrix.shape[0] <= _MOST_TILE_ROWS
    return config.drive.by_input and prepared.groups == 1 and linear and few and not prepared.exact


def charges_per_vector(config: AnalogConfig, prepared: Prepared) -> int:
    """Return how many charges a vector has on all tiles, before planes are added.

    Args:
        config: The tile.
        prepared: Result of `prepare`.
    """
    vector = jax.ShapeDtypeStruct((prepared.n_in,), prepared.matrix.dtype)
    planes = jax.eval_shape(config.drive.encode, vector).level.shape[-2]
    tile_rows, _, slices, cols = prepared.matrix.shape
    return planes * tile_rows * slices * cols


def convolve(
    config: AnalogConfig,
    prepared: Prepared,
    window: Window,
    images: Float[Array, "example *spatial channel"],
    key: Key[Array, "*keys"] | None = None,
) -> Float[Array, "example *positions n_out"]:
    """Multiply what is under each position of a window with a prepared matrix.

    As `mvm` of the vectors under the window, and with the draws that it has for them, to rounding.

    Args:
        config: The tile, for which `slides` holds.
        prepared: Result of `prepare`.
        window: The window; its places and the channels make up the matrix's rows.
        images: Inputs.
        key: Read key, as in `mvm`.

    Returns:
        Output vectors, in the unit of `x @ w`.

    Raises:
        ValueError: As `mvm`, or if a tile cannot be read in this way.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxaimc import AnalogConfig, prepare, program
        >>> from jaxaimc.drives import PWM, FixedRange
        >>> config = AnalogConfig(drive=PWM(range=FixedRange(limit=1.0)))
        >>> prepared = prepare(config, program(config, jnp.ones((9, 8)), jax.random.key(0)))
        >>> window = Window((3, 3), (1, 1), ((0, 0), (0, 0)), (1, 1), (1, 1))
        >>> convolve(config, prepared, window, jnp.ones((2, 5, 6, 1)), jax.random.key(1)).shape
        (2, 3, 4, 8)
    """
    places = math.prod(window.sizes)
    images = checked_read(config, prepared, images, key, places=places, name="images")
    if images.ndim != len(window.sizes) + 2:
        raise ValueError(
            f"Argument `images` must have an axis of examples, {len(window.sizes)} of space and one of channels, but "
            f"has shape {images.shape}."
        )
    if not slides(config, prepared):
        raise ValueError(
            "Argument `config` must have a drive with a range that all inputs share and linear wires for `convolve`, "
            f"and `prepared` one group, on {_MOST_TILE_ROWS} rows of tiles at most, of weights that are no zeros and "
            "ones; pass the vectors to `mvm`."
        )
    warn_of_lost_inputs(config.drive.lost(images), "convolve")
    return divided_by_xla(_convolve, (prepared, images), like=images)(config, prepared, window, images, key)


@partial(jax.jit, static_argnums=2)
def _convolve(
    config: AnalogConfig, prepared: Prepared, window: Window, images: Array, key: Key[Array, "*keys"] | None
) -> Array:
    prepared = in_precision(prepared, jnp.promote_types(images.dtype, prepared.matrix.dtype))
    pulses = config.drive.encode(images.astype(prepared.matrix.dtype))

    def partial_sum(tile_row: int) -> Array:
        tile = jax.tree.map(lambda a: a[tile_row], prepared)
        read_key = None if key is None else fold_in(key, tile_row)
        return read_tile(config, tile, pulses, read_key, window.lines(tile_row))

    # Each row of tiles has its own part of the window.
    total = partial_sum(0)
    for tile_row in range(1, prepared.matrix.shape[0]):
        total = total + partial_sum(tile_row)
    return total * pulses.x_scale[(0,) * pulses.x_scale.ndim]
