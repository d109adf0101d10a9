"""The analog product of a layer, a drop-in for its own, and the hooks around it."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Key

from jaxaimc import tile
from jaxaimc.config import AnalogConfig
from jaxaimc.drives import InputRange
from jaxaimc.nn.guard import check_weights, without_kernel_gradient
from jaxaimc.nn.hosts.base import Host, Images, Layout, Parts
from jaxaimc.nn.modes import AnalogProduct
from jaxaimc.nn.variables import (
    ActivityProfile,
    Checksum,
    Conductance,
    DeviceParam,
    EffectiveMatrix,
)
from jaxaimc.tile import Prepared


class Call(NamedTuple):
    """One product of an analog layer, as a hook sees it.

    Attributes:
        config: The tile, as changed by the hooks.
        inputs: Input vectors, as changed by the hooks; images, where no hook needs vectors and a window slides over
            them. Where a row of the tile holds the bias, they have its constant
            input as well, behind those of the layer (with groups, behind those of each).
        kernel: The layer's kernel as a matrix, or as one for each group of its inputs, with the row of the bias if the
            tile has one.
        prepared: The chip that answered.
        key: Read key of this product, or None where nothing needs one.
    """

    config: AnalogConfig
    inputs: Float[Array, "*batch n_in"]
    kernel: Float[Array, "*group n_in n_out"]
    prepared: Prepared
    key: Key[Array, "*keys"] | None


class Hook(nnx.Module):
    """What happens around an analog product: ranges before it, digital corrections or noise after it.

    Hooks of your own derive from this class and override one or both methods. `hooks` of an `AnalogDot` lists them;
    `before` runs in that order and `after` too. A digital layer ignores them.

    Attributes:
        needs_key: Whether `after` draws random numbers from the call's key.
        needs_vectors: Whether a method looks at the inputs. If none does, a convolution may hand them its images
            instead of a vector for each window.
        uses_kernel: Whether what `after` returns depends on the call's kernel, so that the kernel has a gradient
            although a programmed chip has answered.
        by_vector: Whether the vectors of a call may pass in parts: the hook keeps nothing, the tile that it returns
            does not depend on the inputs, and nothing else that it returns for a vector depends on other vectors. A
            convolution's windows may be too many to be held at once, which they are if one of its hooks is not so.
    """

    needs_key: bool = False
    needs_vectors: bool = True
    uses_kernel: bool = False
    by_vector: bool = False

    def check(self) -> None:
        """Refuse a chip that the hook does not fit, before the layer's kernel is compared with the chip's.

        Raises:
            ValueError: If it does not fit.
        """

    def before(
        self, config: AnalogConfig, inputs: Float[Array, "*batch n_in"]
    ) -> tuple[AnalogConfig, Float[Array, "*batch n_in"]]:
        """Return the tile and the inputs with which the product is made."""
        return config, inputs

    def after(self, call: Call, outputs: Float[Array, "*batch n_out"]) -> Float[Array, "*batch n_out"]:
        """Return what the layer passes on."""
        return outputs


class AnalogDot(AnalogProduct):
    """Analog replacement of a layer's product, attached by `convert`.

    Modes, set with `nnx.view(model, analog_mode=...)`:

    - `"analog"`: the programmed chip answers; the kernel is not used.
    - `"train"`: the kernel is programmed anew in every call and gradients flow through the whole circuit. A recurrent
      layer calls its products in every time step; to give all steps one chip, call `jaxaimc.nn.program` inside of what
      is differentiated, in mode `"analog"`.
    - `"digital"`: the product that the layer made before.
    - `"probe"`: as digital, but records how far the programmed chip's answer to the same inputs is off.

    Args:
        config: The tile.
        path: Path of the layer in its model; makes its randomness its own.
        host: What knows the kind of layer.
        replaced: The layer's own product, which the digital mode makes.
        stack: Leading axes of the layer's parameters, for layers that were stacked by `nnx.vmap`.
    """

    def __init__(
        self,
        config: AnalogConfig,
        *,
        path: str,
        host: Host,
        replaced: Callable[..., Array] | None = None,
        stack: tuple[int, ...] = (),
    ):
        super().__init__(path, stack)
        self.config = DeviceParam(config)
        self.host = host
        self.replaced = replaced
        self.programmed: Conductance | None = nnx.data(None)
        self.prepared: EffectiveMatrix | None = nnx.data(None)
        self.checksum: Checksum | None = nnx.data(None)
        self.profile: ActivityProfile | None = nnx.data(None)
        self.hooks: Any = nnx.List([])

    def __call__(self, *arguments: Any, **named: Any) -> Float[Array, "..."]:
        """Make the layer's product with the kernel, or with the chip that was programmed from it.

        Args:
            *arguments: Those of the layer's own product, such as `jax.lax.dot_general` or `jnp.einsum`: inputs, the
                layer's kernel and what tells how they are multiplied; the host knows them.
            **named: Those of the layer's own product.

        Returns:
            The product.

        Raises:
            ValueError: If a tile cannot make the product, or the chip is not programmed or has no read key.
        """
        if self.analog_mode == "digital":
            return self.digital(*arguments, **named)
        layout = self.host.layout(self.path, *arguments, **named)
        if self.analog_mode != "train":
            self.chip()
            self.check_chip(layout.matrix)
        y = layout.outputs(self._way(layout)())
        if self.analog_mode == "analog" and not any(hook.uses_kernel for hook in self.hooks):
            y = without_kernel_gradient(y, layout.matrix, self.chip(), self.path, self.host.on_tile)
        y = y.astype(named.get("preferred_element_type") or layout.dtype)
        if named.get("out_sharding") is not None:
            y = jax.sharding.reshard(y, named["out_sharding"])
        return self._compare(y, self.digital(*arguments, **named)) if self.analog_mode == "probe" else y

    def digital(self, *arguments: Any, **named: Any) -> Float[Array, "..."]:
        """Make the product that the layer made before it was converted.

        Args:
            *arguments: Those of the layer's own product.
            **named: Those of the layer's own product.
        """
        return self.host.digital(self.replaced, *arguments, **named)

    def chip(self) -> Prepared:
        """Return the effective matrix of the layer's chip.

        Raises:
            ValueError: If the layer is not programmed.
        """
        if self.prepared is None:
            raise ValueError(
                f"Layer {self.path!r} has no programmed chip; call `jaxaimc.nn.program(model, key)` first."
            )
        return self.prepared.get_value()

    def check_chip(self, weights: Float[Array, "..."], stack: tuple[int, ...] = ()) -> None:
        """Check that the chip is one of this layer, as far as that can be told.

        Args:
            weights: The layer's weights now.
            stack: Axes of the stack that they belong to.

        Raises:
            ValueError: If a hook does not fit the chip, or the chip was programmed from other weights.
        """
        # Hooks first: they know more of why the weights may differ.
        for hook in self.hooks:
            hook.check()
        check_weights(self.path, weights, self.checksum, stack, self.host.on_tile)

    def read(
        self,
        inputs: Float[Array, "*batch n_in"],
        kernel: Float[Array, "*group rows cols"],
        chip: Any = None,
        window: tile.Window | None = None,
    ) -> Float[Array, "*positions n_out"]:
        """Multiply vectors with the matrix on the chip, hooks included.

        Args:
            inputs: Input vectors.
            kernel: The matrix that the chip was programmed from; programmed now in mode `"train"`.
            chip: Tile, chip and read key, where they are those of other parts of the same call as well.
            window: Slides over the inputs, which are images; without one they are vectors.

        Returns:
            Output vectors.

        Raises:
            ValueError: If the chip is not programmed or has no read key.
        """
        config, inputs = self.as_read(inputs)
        config, prepared, key = (config, *self._chip(config, inputs, kernel)) if chip is None else chip
        if window is None:
            y = tile.mvm(config, prepared, inputs, key)
        else:
            y = tile.convolve(config, prepared, window, inputs, key)
        call = Call(config, inputs, kernel, prepared, key)
        for hook in self.hooks:
            y = hook.after(call, y)
        return y

    def _way(self, layout: Layout) -> Callable[[], Array]:
        """Return how the call is multiplied: as images under a window, as vectors in parts, or all vectors at once."""
        images, inputs, kernel = layout.images, layout.vectors, layout.matrix
        chip = None
        if images is not None and not any(hook.needs_vectors for hook in self.hooks):
            config, seen = self.as_read(images.x)
            # A chip of this call's own activity needs the vectors.
            if config.drive.by_input and not (self.analog_mode == "train" and config.wires.profiled):
                prepared, key = chip = self._chip(config, seen, kernel)
                if tile.slides(config, prepared) and images.at_once(tile.charges_per_vector(config, prepared)):
                    return self._of_images(images, kernel, (config, prepared, key))
        if isinstance(inputs, Parts):
            return partial(self._read_parts, inputs, kernel, chip)
        return partial(self.read, inputs, kernel, None if chip is None else (config, *chip))

    def _of_images(
        self, images: Images, kernel: Array, chip: tuple[AnalogConfig, Prepared, Any]
    ) -> Callable[[], Array]:
        """Return how to multiply with what is under a window, in some of the images at a time if there are many."""
        config, prepared, key = chip
        parts = images.parts(tile.charges_per_vector(config, prepared))
        if parts is None:
            return partial(self.read, images.x, kernel, chip, images.window)

        def read(index: Array) -> Array:
            own = (config, prepared, parts.key(key, index))
            return self.read(parts.vectors(index), kernel, own, images.window)

        return lambda: parts.together(parts.each(read))

    def _read_parts(self, parts: Parts, kernel: Array, chip: tuple[Prepared, Any] | None = None) -> Array:
        """Multiply with the vectors of one part after the other, or of all at once if something has to see them all."""
        if not all(hook.by_vector for hook in self.hooks):
            return self.read(parts.whole(), kernel)
        config, inputs = self.as_read(parts.vectors(jnp.zeros((), jnp.int32)))
        apart = _in_parts(config, lambda bound: parts.each(lambda index: bound(self.as_read(parts.vectors(index))[1])))
        if apart is None:
            return self.read(parts.whole(), kernel)

        def activity(groups: int) -> Array:
            each = parts.each(lambda index: self._activity(apart, self.as_read(parts.vectors(index))[1], groups))
            return jnp.mean(each, axis=0)

        prepared, key = self._chip(config, inputs, kernel, activity) if chip is None else chip

        def read(index: Array) -> Array:
            return self.read(parts.vectors(index), kernel, (apart, prepared, parts.key(key, index)))

        return parts.together(parts.each(read))

    def as_read(self, inputs: Float[Array, "*batch n_in"]) -> tuple[AnalogConfig, Float[Array, "*batch n_in"]]:
        """Return the tile and the inputs as the hooks change them.

        Args:
            inputs: Input vectors.
        """
        config = self.config.get_value()
        for hook in self.hooks:
            config, inputs = hook.before(config, inputs)
        return config, inputs

    def _activity(self, config: AnalogConfig, inputs: Array, groups: int) -> Array:
        return tile.activity_profile(config, jax.lax.stop_gradient(inputs), groups)

    def _chip(
        self, config: AnalogConfig, inputs: Array, kernel: Array, activity: Callable[[int], Array] | None = None
    ) -> tuple[Prepared, Key[Array, "*keys"] | None]:
        """Return the chip that answers and the key of this read, if anything is drawn in it.

        Args:
            config: The tile of the call.
            inputs: Vectors of the call, or of one part of it.
            kernel: The matrix.
            activity: Profile of the rows in the whole call, from the number of groups; that of `inputs` without it.
        """
        if self.analog_mode == "train":
            chip_key, key = jax.random.split(_one_key(self._next_key(inputs, (config, kernel))))
            programmed = tile.program(config, kernel, chip_key)
            if config.wires.profiled:
                # Of these inputs: the call has no other data.
                activity = activity or partial(self._activity, config, inputs)
                programmed = replace(programmed, profile=activity(programmed.groups))
            return tile.prepare(config, programmed), key
        prepared = self.chip()
        noisy = tile.reads_are_random(config, prepared) or any(hook.needs_key for hook in self.hooks)
        return prepared, self._next_key(inputs, (config, prepared)) if noisy else None


def _in_parts(config: AnalogConfig, bounds: Callable[[Callable[[Array], Array]], Array]) -> AnalogConfig | None:
    """Return the tile with which parts of a call are read as the whole is, or None if they cannot be.

    Args:
        config: The tile of the call.
        bounds: Applies an input range's `bound` to the vectors of every part.
    """
    present = getattr(config.drive, "range", None)
    if not isinstance(present, InputRange):
        return config
    chosen = present.of_parts(lambda: bounds(present.bound))
    return None if chosen is None else replace(config, drive=config.drive.with_(range=chosen))


def _one_key(keys: Key[Array, "*keys"]) -> Key[Array, ""]:
    return keys if keys.ndim == 0 else keys.ravel()[0]
