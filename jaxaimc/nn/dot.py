"""The analog matrix product of a Flax layer: a drop-in for `jax.lax.dot_general`."""

import math
import zlib
from typing import Any, Literal, NamedTuple, cast, get_args

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Key

from jaxaimc import tile
from jaxaimc._core.random import fold_in
from jaxaimc.config import AnalogConfig
from jaxaimc.nn.variables import Conductance, DeviceParam, EffectiveMatrix, LayerError, ReadKey

AnalogMode = Literal["analog", "train", "digital", "probe"]


class Call(NamedTuple):
    """One product of an analog layer, as a hook sees it.

    Attributes:
        config: The tile, as changed by the hooks.
        inputs: Input vectors, as changed by the hooks.
        kernel: The layer's kernel as a matrix.
        prepared: The chip that answered.
        key: Read key of this product, or None where nothing needs one.
    """

    config: AnalogConfig
    inputs: Float[Array, "*batch n_in"]
    kernel: Float[Array, "n_in n_out"]
    prepared: tile.Prepared
    key: Key[Array, "*keys"] | None


class Hook(nnx.Module):
    """What happens around an analog product: ranges before it, digital corrections or noise after it.

    Hooks of your own derive from this class and override one or both methods. `hooks` of an `AnalogDot` lists them;
    `before` runs in that order and `after` too. A digital layer ignores them.

    Attributes:
        needs_key: Whether `after` draws random numbers from the call's key.
    """

    needs_key: bool = False

    def before(
        self, config: AnalogConfig, inputs: Float[Array, "*batch n_in"]
    ) -> tuple[AnalogConfig, Float[Array, "*batch n_in"]]:
        """Return the tile and the inputs with which the product is made."""
        return config, inputs

    def after(self, call: Call, outputs: Float[Array, "*batch n_out"]) -> Float[Array, "*batch n_out"]:
        """Return what the layer passes on."""
        return outputs


class AnalogDot(nnx.Module):
    """Analog replacement of a layer's `dot_general`, attached by `convert`.

    Modes, set with `nnx.view(model, analog_mode=...)`:
        `"analog"`: the programmed chip answers; the kernel is not used.
        `"train"`: the kernel is programmed anew in every call and gradients flow through the whole circuit.
        `"digital"`: the plain product with the kernel.
        `"probe"`: as digital, but records how far the programmed chip's answer to the same inputs is off.

    Args:
        config: The tile.
        path: Path of the layer in its model; makes its randomness its own.
        contracted: Number of leading kernel axes that are summed over.
    """

    def __init__(self, config: AnalogConfig, *, path: str, contracted: int):
        self.config = DeviceParam(config)
        self.path = path
        self.contracted = contracted
        self.analog_mode: AnalogMode = "analog"
        self.programmed: Conductance | None = nnx.data(None)
        self.prepared: EffectiveMatrix | None = nnx.data(None)
        self.read_key: ReadKey | None = nnx.data(None)
        self.error: LayerError | None = nnx.data(None)
        self.hooks: Any = nnx.List([])

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
            self.error = LayerError(jnp.zeros(2))

    def layer_key(self, key: Key[Array, "*keys"]) -> Key[Array, "*keys"]:
        """Return this layer's own key or keys: independent of the order in which layers are visited."""
        return fold_in(key, zlib.crc32(self.path.encode()))

    def flat_kernel(self, kernel: Float[Array, "..."]) -> Float[Array, "n_in n_out"]:
        """Return the kernel as a matrix."""
        n_in = math.prod(kernel.shape[: self.contracted])
        return kernel.reshape(n_in, -1)

    def __call__(
        self,
        x: Float[Array, "..."],
        kernel: Float[Array, "..."],
        dimension_numbers: Any,
        precision: Any = None,
        preferred_element_type: Any = None,
        out_sharding: Any = None,
    ) -> Float[Array, "..."]:
        """Contract `x` with the kernel, or with the chip that was programmed from it. See `jax.lax.dot_general`.

        Raises:
            ValueError: If the contraction has batch dimensions, or the chip is not programmed or has no read key.
        """

        def digital() -> Array:
            return jax.lax.dot_general(
                x, kernel, dimension_numbers, precision, preferred_element_type, out_sharding=out_sharding
            )

        if self.analog_mode == "digital":
            return digital()
        (x_axes, kernel_axes), batch_axes = dimension_numbers
        if any(batch_axes) or tuple(kernel_axes) != tuple(range(self.contracted)):
            raise ValueError(
                f"Layer {self.path!r} contracts kernel axes {tuple(kernel_axes)} with batch axes {batch_axes}; an "
                f"analog layer contracts the first {self.contracted} kernel axes and has no batch axes."
            )
        free = [axis for axis in range(x.ndim) if axis not in x_axes]
        inputs = x.transpose(*free, *x_axes).reshape(*(x.shape[axis] for axis in free), -1)
        y = self._analog(inputs, kernel).reshape(*inputs.shape[:-1], *kernel.shape[self.contracted :])
        y = y.astype(preferred_element_type or x.dtype)
        if self.analog_mode == "probe":
            ideal = digital()
            assert self.error is not None
            squares = jnp.stack([jnp.sum(jnp.square(y - ideal)), jnp.sum(jnp.square(ideal))])
            self.error.set_value(self.error.get_value() + squares)
            return ideal
        return y

    def _analog(self, inputs: Float[Array, "*batch n_in"], kernel: Array) -> Float[Array, "*batch n_out"]:
        config = self.config.get_value()
        for hook in self.hooks:
            config, inputs = hook.before(config, inputs)
        flat = self.flat_kernel(kernel)
        if self.analog_mode == "train":
            chip_key, key = jax.random.split(_one_key(self._next_key(required=True)))
            prepared = tile.prepare(config, tile.program(config, flat, chip_key))
        elif self.prepared is None:
            raise ValueError(
                f"Layer {self.path!r} has no programmed chip; call `jaxaimc.nn.program(model, key)` first."
            )
        else:
            prepared = self.prepared.get_value()
            noisy = tile.reads_are_random(config, prepared) or any(hook.needs_key for hook in self.hooks)
            key = self._next_key(required=True) if noisy else None
        y = tile.mvm(config, prepared, inputs, key)
        call = Call(config, inputs, flat, prepared, key)
        for hook in self.hooks:
            y = hook.after(call, y)
        return y

    def _next_key(self, *, required: bool) -> Key[Array, "*keys"]:
        """Return the key of the next read. Each call of a layer that is used several times gets its own."""
        if self.read_key is None:
            raise ValueError(
                f"Layer {self.path!r} needs a read key; call `jaxaimc.nn.with_read_key(model, key)`, inside jit with a "
                "key that is an argument, so that every call draws new noise."
            )
        key, count = self.read_key.get_value()
        self.read_key.set_value((key, count + 1))
        return fold_in(key, count)


def _one_key(keys: Key[Array, "*keys"]) -> Key[Array, ""]:
    return keys if keys.ndim == 0 else keys.ravel()[0]
