"""Objectives for `fit`: how a network sees its own analog future while it is trained.

A *forward* is a function `(model, inputs, key, step) -> outputs`; an *objective* adds the loss. Forwards are plain
functions that wrap each other, so that noise, circuit, chips and distillation combine freely.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int, Key

from jaxaimc import nn
from jaxaimc._core.checks import check_number
from jaxaimc._core.hashed import fast_key
from jaxaimc.nn.hooks import as_digital, in_mode
from jaxaimc.training.fit.precision import widened
from jaxaimc.training.fit.steps import Objective
from jaxaimc.training.ideal_backward import with_ideal_backward
from jaxaimc.training.noise.activity import with_tracked_activity
from jaxaimc.training.noise.outputs import with_mean_field_noise
from jaxaimc.training.noise.programming import training_chip
from jaxaimc.training.noise.weights import WeightNoise, with_weight_noise

Forward = Callable[[Any, Array, Key[Array, ""], Int[Array, ""]], Array]
Loss = Callable[[Array, Array], Float[Array, " batch"]]
Ramp = Callable[[Int[Array, ""]], Array | float]


def digital(model: Any, inputs: Array, key: Key[Array, ""], step: Int[Array, ""]) -> Array:
    """Call the network as it is, analog layers in view `"digital"`; a forward.

    Args:
        model: Any network.
        inputs: Inputs of the network.
        key: Not used.
        step: Not used.

    Returns:
        Outputs.
    """
    return as_digital(model)(inputs)


def weight_noise(*noises: WeightNoise, ramp: Ramp | None = None) -> Forward:
    """Make a forward through the digital network with noisy weights.

    Args:
        noises: Kinds of noise, see `jaxaimc.training.noise.weights`.
        ramp: Level of the noise over the step, such as `optax.linear_schedule(0, 1, 1000)`; None for one.

    Returns:
        A forward for models that went through `jaxaimc.nn.convert`.
    """

    def forward(model: Any, inputs: Array, key: Key[Array, ""], step: Int[Array, ""]) -> Array:
        level = 1.0 if ramp is None else ramp(step)
        return as_digital(with_weight_noise(model, noises, key, level=level))(inputs)

    return forward


def circuit(
    *,
    exact_noise: bool = False,
    ideal_backward: bool = False,
    noises: Sequence[WeightNoise] = (),
    activity_momentum: float = 0.9,
) -> Forward:
    """Make a forward through the whole analog network, on a chip that is programmed anew in every step.

    Once per step every kernel is programmed and its wires are folded in; the products then cost what digital ones do.
    Gradients run through quantisers (straight-through), wires and conductances back to the kernels; programming noise
    is a constant of the step unless `exact_noise` is set.

    Args:
        exact_noise: Noise as in evaluation, drawn by Threefry and differentiated along the sample, read noise in front
            of the ADC; otherwise `MeanFieldReadNoise` and `training_chip`, which are cheap.
        ideal_backward: Gradients of the digital product instead of the circuit's, as Rasch et al. 2023 train; see
            `jaxaimc.training.ideal_backward`.
        noises: Further noise on the weights that are programmed.
        activity_momentum: Where the load on wires depends on how active rows are (`jaxaimc.wires.OpenIdle`) and
            `jaxaimc.nn.with_activity` has given the layers a profile of it, the profile follows the batches: weight of
            the profile so far, in [0, 1) [1].

    Returns:
        A forward for models that went through `jaxaimc.nn.convert`.

    Raises:
        ValueError: If `activity_momentum` is out of range.
    """
    check_number("circuit", "activity_momentum", activity_momentum, low=0.0, high=1.0, open_high=True)

    def forward(model: Any, inputs: Array, key: Key[Array, ""], step: Int[Array, ""]) -> Array:
        del step
        model = with_tracked_activity(model, activity_momentum)
        if ideal_backward:
            model = with_ideal_backward(model)
        weight_key, chip_key, read_key = jax.random.split(key, 3)
        if noises:
            model = with_weight_noise(model, noises, weight_key)
        if exact_noise:
            return nn.with_read_key(in_mode(nn.program(model, chip_key), "analog"), read_key)(inputs)
        chip = with_mean_field_noise(training_chip(model, chip_key))
        # Hashed keys also for what else draws in a read, such as the noise of converters.
        return nn.with_read_key(in_mode(chip, "analog"), fast_key(read_key))(inputs)

    return forward


def programmed_chip(model: Any, inputs: Array, key: Key[Array, ""], step: Int[Array, ""]) -> Array:
    """Call the network on the chip it was programmed on, for chip-in-the-loop fine-tuning; a forward.

    The conductances are constants. What can still be trained is digital: biases, normalisation, embeddings, ranges and
    column scales (`fit(..., trainable=chips.digital_parts(model))`).

    Args:
        model: Result of `jaxaimc.nn.program`.
        inputs: Inputs of the network.
        key: Read key.
        step: Not used.

    Returns:
        Outputs.
    """
    return nn.with_read_key(in_mode(model, "analog"), key)(inputs)


def many_chips(forward: Forward, chips: int) -> Forward:
    """Run several chips in one step, each on its part of the batch.

    The loss then averages over chips, which makes gradients less noisy, at hardly more cost: every example is
    still computed once. Batch normalisation sees the examples of one chip at a time; its running statistics take the
    mean over chips.

    Args:
        forward: What runs on each chip.
        chips: Number of chips; must divide the batch.

    Returns:
        A forward.

    Raises:
        ValueError: If `chips` is not positive; in the forward, if it does not divide the batch.
    """
    if chips < 1:
        raise ValueError(f"Argument `chips` must be at least 1, but is {chips}.")

    def spread(model: Any, inputs: Array, key: Key[Array, ""], step: Int[Array, ""]) -> Array:
        if len(inputs) % chips:
            raise ValueError(f"Argument `chips` must divide the batch of {len(inputs)}, but is {chips}.")
        graph, state = nnx.split(model)

        def one(inputs: Array, key: Key[Array, ""], chip: Int[Array, ""]) -> tuple[Array, Any]:
            copy = nnx.merge(graph, state, copy=True)
            # Chips work on different examples: dropout draws on each anew.
            nnx.update(copy, jax.tree.map(lambda k: jax.random.fold_in(k, chip), nnx.state(copy, nnx.RngKey)))
            outputs = forward(copy, inputs, key, step)
            return outputs, nnx.state(copy, nnx.Any(nnx.BatchStat, nnx.RngCount, nn.ActivityProfile))

        parts = inputs.reshape(chips, -1, *inputs.shape[1:])
        outputs, changed = jax.vmap(one)(parts, jax.random.split(key, chips), jnp.arange(chips))
        nnx.update(model, jax.tree.map(_merged, changed))
        return outputs.reshape(-1, *outputs.shape[2:])

    return spread


def _merged(values: Array) -> Array:
    """Return one value for all chips: the mean of running statistics, the common count of random numbers."""
    return jnp.mean(values, axis=0) if jnp.issubdtype(values.dtype, jnp.inexact) else values[0]


def objective(loss: Loss, forward: Forward) -> Objective:
    """Put a loss behind a forward.

    Args:
        loss: Loss of each example, such as `Task.loss`.
        forward: How outputs come about.

    Returns:
        What `fit` takes.
    """

    def total(
        model: nnx.Module, inputs: Array, targets: Array, key: Key[Array, ""], step: Int[Array, ""]
    ) -> Float[Array, " batch"]:
        return loss(widened(forward(model, inputs, key, step)), targets)

    return total


def distillation(
    loss: Loss, forward: Forward, teacher: nnx.Module, *, weight: float = 0.5, temperature: float = 2.0
) -> Objective:
    """Train towards the outputs of a teacher as well, usually the digital network itself.

    `(1 - weight) loss + weight T^2 KL(softmax(teacher / T), softmax(outputs / T))` (Hinton, Vinyals and Dean 2015,
    arXiv 1503.02531).

    Args:
        loss: Loss of each example.
        forward: How the trained network's outputs come about.
        teacher: Network with the same classes; it stays as it is.
        weight: Share of the teacher, 0 to 1.
        temperature: Temperature `T` of both distributions, greater than zero.

    Returns:
        What `fit` takes.

    Raises:
        ValueError: If `weight` or `temperature` is out of its range.
    """
    check_number("distillation", "weight", weight, low=0.0, high=1.0)
    check_number("distillation", "temperature", temperature, low=0.0, open_low=True)
    graph, state = nnx.split(teacher)

    def total(
        model: nnx.Module, inputs: Array, targets: Array, key: Key[Array, ""], step: Int[Array, ""]
    ) -> Float[Array, " batch"]:
        taught: Any = nnx.merge(graph, state, copy=True)
        taught.eval()
        wanted = jax.nn.log_softmax(jax.lax.stop_gradient(taught(inputs)) / temperature)
        outputs = widened(forward(model, inputs, key, step))
        found = jax.nn.log_softmax(outputs / temperature)
        divergence = jnp.sum(jnp.exp(wanted) * (wanted - found), axis=-1)
        return (1 - weight) * loss(outputs, targets) + weight * temperature**2 * divergence

    return total
