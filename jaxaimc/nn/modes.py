"""What all analog products share: the mode in which they are made, read keys of their own, and how far they are off."""

import zlib
from typing import Any, Literal, cast, get_args

import flax.errors
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Key

from jaxaimc._core.random import fold_in
from jaxaimc.nn.keys import key_of_each
from jaxaimc.nn.variables import LayerError, ReadKey

AnalogMode = Literal["analog", "train", "digital", "probe"]


class AnalogProduct(nnx.Module):
    """Base of what stands in the place of a layer's product.

    Args:
        path: Path of the layer in its model; makes its randomness its own.
        stack: Leading axes of the layer's parameters, for layers that were stacked by `nnx.vmap`.
    """

    def __init__(self, path: str, stack: tuple[int, ...] = ()):
        self.path = path
        self.stack = stack
        self.analog_mode: AnalogMode = "analog"
        self.read_key: ReadKey | None = nnx.data(None)
        self.error: LayerError | None = nnx.data(None)

    def set_view(self, analog_mode: str | None = None) -> None:
        """Set the mode; called by `nnx.view`.

        Args:
            analog_mode: `"analog"`, `"train"`, `"digital"` or `"probe"`.

        Raises:
            ValueError: If it is none of these.
        """
        if analog_mode is None:
            return
        if analog_mode not in get_args(AnalogMode):
            raise ValueError(f"Argument `analog_mode` must be one of {get_args(AnalogMode)}, but is {analog_mode!r}.")
        self.analog_mode = cast(AnalogMode, analog_mode)
        if analog_mode == "probe":
            self.error = LayerError(jnp.zeros((*self.stack, 2)))

    @property
    def qwix_path(self) -> tuple[str, ...]:
        """Where qwix takes this product to be. Its rules match a module's path, and by this one none matches: what they
        would quantise here are the currents inside of the tiles."""
        return ("\n",)

    @qwix_path.setter
    def qwix_path(self, path: tuple[str, ...]) -> None:
        del path

    def layer_key(self, key: Key[Array, "*keys"]) -> Key[Array, "*keys"]:
        """Return this layer's own key or keys: independent of the order in which layers are visited."""
        return fold_in(key, self.number)

    @property
    def number(self) -> int:
        """What is folded into a key for this layer, 32 bits that follow from its path."""
        return zlib.crc32(self.path.encode())

    def _next_key(self, inputs: Any, shared: Any) -> Key[Array, "*keys"]:
        """Return the key of the next read. Each call of a layer that is used several times gets its own."""
        if self.read_key is None:
            raise ValueError(
                f"Layer {self.path!r} needs a read key; call `jaxaimc.nn.with_read_key(model, key)`, inside jit with a "
                "key that is an argument, so that every call draws new noise."
            )
        key, count = self.read_key.get_value()
        try:
            self.read_key.set_value((key, count + 1))
        except flax.errors.TraceContextError as error:
            raise ValueError(
                f"Layer {self.path!r} was captured by a traced function, in which all calls would draw the same noise; "
                "pass the model as an argument (`nnx.jit`, `nnx.vmap`), or the read key, and call "
                "`jaxaimc.nn.with_read_key(model, key)` inside."
            ) from error
        return key_of_each(fold_in(key, count), inputs, shared)

    def _compare(self, y: Array, ideal: Array) -> Array:
        """Add up how far the chip is off and return the ideal output."""
        if self.error is None:
            raise ValueError(f'Layer {self.path!r} must be put in mode "probe" by `nnx.view`.')
        squares = jnp.stack([jnp.sum(jnp.square(y - ideal)), jnp.sum(jnp.square(ideal))])
        self.error.set_value(self.error.get_value() + squares)
        return ideal
