"""Many chips of one network: their keys, their programming, and how many of them fit into memory."""

import warnings
from collections.abc import Collection, Iterator
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Key

from jaxaimc import nn
from jaxaimc._core.ahead import Call, directly, in_shapes
from jaxaimc._core.checks import ClippedInputWarning
from jaxaimc._core.live import peak_bytes
from jaxaimc._core.xla import grouped_product
from jaxaimc.config import AnalogConfig
from jaxaimc.config.by_rule import Configs, each, parts_of
from jaxaimc.nn.activity import AssumedActivityWarning, with_activity_of
from jaxaimc.nn.hooks import tell
from jaxaimc.nn.many import effective_of_chips
from jaxaimc.nn.modes import AnalogMode
from jaxaimc.tile import Prepared
from jaxaimc.wires import NoWires, check_residual

Chips = dict[str, Prepared]
LayerInputs = dict[str, Float[Array, "vector n_in"]]


def chip_keys(seed: int, chips: range | int) -> tuple[Key[Array, " chip"], Key[Array, " chip"]]:
    """Return chip keys and read keys; a chip's keys follow from the seed and its number.

    Args:
        seed: Seed of the run.
        chips: Numbers of the chips, or how many from the first.

    Returns:
        Chip keys and read keys.
    """
    families = jax.random.split(jax.random.key(seed), 2)
    numbers = range(chips) if isinstance(chips, int) else chips
    index = jnp.arange(numbers.start, numbers.stop)
    fold = jax.vmap(jax.random.fold_in, (None, 0))
    return fold(families[0], index), fold(families[1], index)


def program_chips(
    model: nn.Module,
    config: Configs,
    keys: Key[Array, " chip"] | jax.ShapeDtypeStruct,
    t: float | None,
    *,
    compensated: bool,
    layer_inputs: LayerInputs | None = None,
    call: Call = directly,
) -> Chips:
    """Program chips with a network and fold their wires in.

    Args:
        model: Digital network.
        config: The tile of every layer, or configs by rule.
        keys: Chip keys.
        t: Time of the read since programming [s]; None for right after it.
        compensated: Whether drift is compensated.
        layer_inputs: Input vectors by layer, for wires whose load depends on how active rows are; None where none are
            known.
        call: How compiled functions are called, see `jaxaimc._core.ahead`.

    Returns:
        Effective matrices by layer, every array with a leading chip axis.

    Raises:
        ConvergenceError: If the wires of a layer miss their own check on some chip.
    """
    analog = nn.convert(model, config)
    if layer_inputs is not None:
        analog = with_activity_of(analog, layer_inputs)
    chips = effective_of_chips(analog, keys, t, compensated=compensated, call=call)
    for path, prepared in chips.items():
        if not isinstance(prepared.residual, jax.ShapeDtypeStruct):
            check_residual(f"layer {path!r}", prepared.residual)
    return chips


def as_read(
    model: nn.Module,
    config: Configs,
    chips: Chips,
    *,
    mode: AnalogMode = "analog",
    digital: Collection[str] = (),
) -> nn.Blank:
    """Convert a network, keeping of the tile what acts in a read only.

    Configs that differ in what is folded into the matrices before share one compilation.

    Args:
        model: Digital network.
        config: The tile of every layer, or configs by rule.
        chips: Result of `program_chips`.
        mode: View in which it is called, see `jaxaimc.nn.AnalogDot`.
        digital: Paths of layers that answer digitally although they are on the chips. Which they are is a value: all
            choices but the one of none share one compilation, and the chips of the other layers do not depend on it.

    Returns:
        The converted network.
    """
    analog = nn.convert(model, config_of_reads(config, chips))
    if digital:
        analog = nn.attach(analog, lambda dot: _Digital(dot.path in digital))
    return nn.Blank.of(analog, mode=mode)


def config_of_reads(config: Configs, chips: Chips) -> Configs:
    """Return the tile without what is folded into the matrices of chips.

    Args:
        config: The tile of every layer, or configs by rule.
        chips: Result of `program_chips`.
    """
    solved = any(prepared.circuit is not None for prepared in chips.values())

    def in_a_read(part: AnalogConfig) -> AnalogConfig:
        return replace(part, device=part.device.only("read_noise"), wires=part.wires if solved else NoWires())

    return each(config, in_a_read)


def layer_errors(
    blank: nn.Blank, chips: Chips, read_keys: Key[Array, " chip"], inputs: Any, call: Call = directly
) -> dict[str, Float[np.ndarray, " chip"]]:
    """Return the relative output error of every layer, each seeing the digital network's inputs.

    Args:
        blank: The converted network in view `"probe"`, see `as_read`.
        chips: Result of `program_chips`.
        read_keys: Read key of every chip.
        inputs: Examples.
        call: How compiled functions are called, see `jaxaimc._core.ahead`.

    Returns:
        Root mean square of the output error over that of the ideal output, per chip, by layer path.
    """
    errors = call(errors_on_chips, blank, chips, read_keys, jnp.asarray(inputs))
    return {path: np.asarray(error) for path, error in errors.items()}


def lost_inputs(model: nn.Module, config: Configs, inputs: Any) -> dict[str, float]:
    """Return the share of every layer's inputs that its drive cannot express and drives as zero.

    Args:
        model: Digital network.
        config: The tile of every layer, or configs by rule.
        inputs: Examples; each layer sees what the digital network gives it.

    Returns:
        Shares by layer path; empty for a drive that expresses everything.
    """
    if not any(float(part.drive.lost(-jnp.ones((1, 1)))) for part in parts_of(config)):
        return {}
    found: dict[str, float] = {}
    quiet = each(config, lambda part: replace(part, device=part.device.only(), wires=NoWires()))
    chip = nn.program(nn.convert(model, quiet), jax.random.key(0))
    watched = nn.attach(nn.with_read_key(chip, jax.random.key(1)), lambda dot: _Lost(dot.path, found))
    with warnings.catch_warnings():
        # Said of each layer by name, not of its product.
        warnings.simplefilter("ignore", ClippedInputWarning)
        nnx.view(watched, analog_mode="probe")(jnp.asarray(inputs))  # pyright: ignore[reportCallIssue]
        jax.effects_barrier()
    return found


class _Digital(nn.Hook):
    """Answers in the place of the chip where a layer is digital."""

    uses_kernel = True

    def __init__(self, digital: bool):
        self.digital = nnx.Variable(jnp.asarray(digital))

    def after(self, call: nn.Call, outputs: Float[Array, "*batch n_out"]) -> Float[Array, "*batch n_out"]:
        """Return the digital product, or the chip's answer."""
        exact = grouped_product(call.inputs, call.kernel).astype(outputs.dtype)
        return jnp.where(self.digital.get_value(), exact, outputs)


class _Lost(nn.Hook):
    """Notes what share of a layer's inputs is lost."""

    def __init__(self, path: str, found: dict[str, float]):
        self.note = lambda share: found.__setitem__(path, float(share))

    def before(
        self, config: AnalogConfig, inputs: Float[Array, "*batch n_in"]
    ) -> tuple[AnalogConfig, Float[Array, "*batch n_in"]]:
        """Note the share and change nothing."""
        tell(self.note, jnp.asarray(config.drive.lost(inputs)))
        return config, inputs


def groups(chips: int, at_once: int) -> Iterator[tuple[range, int]]:
    """Yield chips in groups of one size, so that one compilation serves all.

    Args:
        chips: Number of chips.
        at_once: Most chips of a group.

    Yields:
        Numbers of the chips, and how many of the first of them were in the group before: the last group is moved back
        to full size.

    Example:
        >>> list(groups(5, 2))
        [(range(0, 2), 0), (range(2, 4), 0), (range(3, 5), 1)]
    """
    size = min(chips, at_once)
    size = -(-chips // -(-chips // size))
    for start in range(0, chips, size):
        first = min(start, chips - size)
        yield range(first, first + size), start - first


def chip_bytes(model: nn.Module, config: Configs, chips: int = 1) -> int:
    """Return what one programmed chip takes while it is read [byte]; nothing is computed.

    Args:
        model: Digital network.
        config: The tile of every layer, or configs by rule.
        chips: How many will be programmed together; what is traced for as many need not be traced again.

    Returns:
        Size of its effective matrices.

    Raises:
        ValueError: If a layer cannot be converted or programmed.
    """
    leaves = jax.tree.leaves(_shapes_of_chips(model, config, chips))
    return sum(x.size // chips * x.dtype.itemsize for x in leaves)


def read_bytes(model: nn.Module, config: Configs, inputs: jax.ShapeDtypeStruct, chips: int = 1) -> int:
    """Return what a read of one chip takes besides the chip itself [byte]; the network is traced, nothing is computed.

    Args:
        model: Digital network.
        config: The tile of every layer, or configs by rule.
        inputs: Shape of a batch of examples.
        chips: As for `chip_bytes`.

    Returns:
        Largest size of all intermediate results that are needed at one time, an upper estimate: compilers hold less.

    Raises:
        ValueError: If a layer cannot be converted or programmed.
    """
    several = _shapes_of_chips(model, config, chips)
    chip = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype), several)
    keys = jax.eval_shape(lambda: jax.random.split(jax.random.key(0), inputs.shape[0]))

    def read(blank: nn.Blank, chip: Chips, keys: Key[Array, " batch"], inputs: Array) -> Any:
        analog = blank.on_chip(chip, keys)
        analog.eval()
        return analog(inputs)

    return peak_bytes(jax.make_jaxpr(read)(as_read(model, config, chip), chip, keys, inputs))


def _shapes_of_chips(model: nn.Module, config: Configs, chips: int) -> Chips:
    """Return the shapes of programmed chips."""
    keys = jax.eval_shape(lambda: jax.random.split(jax.random.key(0), chips))
    with warnings.catch_warnings():
        # Of shapes nobody asks how active rows are.
        warnings.simplefilter("ignore", AssumedActivityWarning)
        return program_chips(model, config, keys, None, compensated=False, call=in_shapes)


@jax.jit
def errors_on_chips(
    blank: nn.Blank, chips: Chips, read_keys: Key[Array, " chip"], inputs: Array
) -> dict[str, Float[Array, " chip"]]:
    """Return what `layer_errors` does, as arrays of JAX."""

    def one(chip: Chips, read_key: Key[Array, ""]) -> dict[str, Array]:
        keys = jax.vmap(jax.random.fold_in, (None, 0))(read_key, jnp.arange(len(inputs)))
        analog = blank.on_chip(chip, keys)
        analog(inputs)
        return nn.layer_errors(analog)

    return jax.vmap(one)(chips, read_keys)
