"""Scores of a network on many chips at once."""

import functools
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from jaxaimc import nn
from jaxaimc.calibration import GlobalCompensation
from jaxaimc.config import AnalogConfig
from jaxaimc.devices import Device
from jaxaimc.tasks import Split, Task
from jaxaimc.tile import Prepared
from jaxaimc.wires import NoWires, check_residual

Chips = dict[str, Prepared]


def program_chips(
    model: nn.Module, config: AnalogConfig, keys: Key[Array, " chip"], t: float | None, *, compensated: bool
) -> Chips:
    """Program chips with a network and fold their wires in.

    Args:
        model: Digital network.
        config: The tile of every layer.
        keys: Chip keys.
        t: Time of the read since programming [s]; None for right after it.
        compensated: Whether drift is compensated.

    Returns:
        Effective matrices by layer, every array with a leading chip axis.

    Raises:
        ConvergenceError: If the wires of a layer miss their own check on some chip.
    """
    analog = nn.convert(model, config)

    def one(key: Key[Array, ""]) -> Chips:
        chip = nn.program(analog, key)
        if t is not None:
            chip = nn.drift(chip, t, GlobalCompensation() if compensated else None)
        return nn.effective(chip)

    chips = jax.vmap(one)(keys)
    for path, prepared in chips.items():
        check_residual(f"layer {path!r}", prepared.residual)
    return chips


def scores(
    task: Task,
    model: nn.Module,
    config: AnalogConfig,
    chips: Chips,
    read_keys: Key[Array, " chip"],
    split: Split,
    batch: int,
) -> Iterator[Float[np.ndarray, "chip batch"]]:
    """Yield the scores of the examples, batch after batch.

    An example's read noise depends on the read key and its place in the split only, not on the batch.

    Args:
        task: Gives the score of an example.
        model: Digital network.
        config: The tile of every layer.
        chips: Result of `program_chips`.
        read_keys: Read key of every chip.
        split: Examples.
        batch: Examples computed at once on each chip.

    Yields:
        Scores of the next examples on every chip.

    Raises:
        FloatingPointError: If the network's outputs are not finite, for example because a solve of wires that are not
            linear did not converge.
    """
    blank = nn.Blank.of(nn.convert(model, _as_read(config, chips)))
    batch = min(batch, len(split))
    for start in range(0, len(split), batch):
        # The last batch is moved back to full size, so that one compilation serves all; what it repeats is left out.
        first = min(start, len(split) - batch)
        inputs, targets = (jnp.asarray(a[first : first + batch]) for a in (split.inputs, split.targets))
        keys = _example_keys(read_keys, jnp.arange(first, first + batch))
        found = np.asarray(_scores(task.score, blank, chips, keys, inputs, targets))[:, start - first :]
        if not np.isfinite(found).all():
            chip, example = np.argwhere(~np.isfinite(found))[0]
            raise FloatingPointError(
                f"The network's outputs for example {start + example} on chip {chip} are not finite: a weight is not, "
                "or a solve of the wires did not converge."
            )
        yield found


def layer_errors(
    model: nn.Module, config: AnalogConfig, chips: Chips, read_keys: Key[Array, " chip"], inputs: Any
) -> dict[str, Float[np.ndarray, " chip"]]:
    """Return the relative output error of every layer, each seeing the digital network's inputs.

    Args:
        model: Digital network.
        config: The tile of every layer.
        chips: Result of `program_chips`.
        read_keys: Read key of every chip.
        inputs: Examples.

    Returns:
        Root mean square of the output error over that of the ideal output, per chip, by layer path.
    """
    probe = nn.Blank.of(nn.convert(model, _as_read(config, chips)), mode="probe")
    keys = _example_keys(read_keys, jnp.arange(len(inputs)))
    errors = _layer_errors(probe, chips, keys, jnp.asarray(inputs))
    return {path: np.asarray(error) for path, error in errors.items()}


def chip_keys(seed: int, chips: int) -> tuple[Key[Array, " chip"], Key[Array, " chip"]]:
    """Return chip keys and read keys; the first chips are the same for any number of them.

    Args:
        seed: Seed of the run.
        chips: Number of chips.

    Returns:
        Chip keys and read keys.
    """
    families = jax.random.split(jax.random.key(seed), 2)
    index = jnp.arange(chips)
    fold = jax.vmap(jax.random.fold_in, (None, 0))
    return fold(families[0], index), fold(families[1], index)


def _as_read(config: AnalogConfig, chips: Chips) -> AnalogConfig:
    """Keep what acts in a read only: configs that differ in what is folded in before share one compilation."""
    solved = any(prepared.circuit is not None for prepared in chips.values())
    wires = config.wires if solved else NoWires()
    return replace(config, device=Device(read_noise=config.device.read_noise), wires=wires)


def _example_keys(read_keys: Key[Array, " chip"], index: Array) -> Key[Array, "chip batch"]:
    return jax.vmap(lambda key: jax.vmap(jax.random.fold_in, (None, 0))(key, index))(read_keys)


@functools.partial(jax.jit, static_argnums=0)
def _scores(score: Any, blank: nn.Blank, chips: Chips, keys: Array, inputs: Array, targets: Array) -> Array:
    def one(chip: Chips, read_key: Array) -> Array:
        outputs = blank.on_chip(chip, read_key)(inputs)
        # A score such as the accuracy would hide outputs that are not numbers.
        finite = jnp.isfinite(outputs).reshape(len(outputs), -1).all(axis=1)
        return jnp.where(finite, score(outputs, targets), jnp.nan)

    return jax.vmap(one)(chips, keys)


@jax.jit
def _layer_errors(blank: nn.Blank, chips: Chips, keys: Array, inputs: Array) -> dict[str, Array]:
    def one(chip: Chips, read_key: Array) -> dict[str, Array]:
        analog = blank.on_chip(chip, read_key)
        analog(inputs)
        return nn.layer_errors(analog)

    return jax.vmap(one)(chips, keys)
