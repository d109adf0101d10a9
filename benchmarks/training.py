"""What a hardware-aware training step costs beside a plain one: `python -m benchmarks.training`.

Whole steps (loss, gradient, AdamW) of the embedded vision transformer and of a stack of wide layers. Every line is a
ratio to the plain digital step that was timed in the same run, round after round in turn; memory is what XLA allots to
the compiled step. Where the time goes: the step through the ladder with one part taken out, and what that saves, in
plain steps; parts overlap, so they need not add up.
"""

import argparse
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import nnx

from benchmarks._timing import medians
from jaxaimc import AnalogConfig, nn, presets
from jaxaimc.adcs import IdealADC
from jaxaimc.devices import Device, IdealDevice, NoProgrammingNoise
from jaxaimc.tasks import cross_entropy, load_model, load_task
from jaxaimc.training.fit.steps import SplitNetwork
from jaxaimc.training.limits.ranges import learn_input_ranges
from jaxaimc.training.noise.weights import AdditiveNoise
from jaxaimc.training.objectives import Forward, circuit, digital, many_chips, objective, weight_noise
from jaxaimc.wires import AlphaBeta, Ladder, NoWires

# Largest ratio that a step may have to the plain one.
GOALS = {
    "Gaussian weight noise": 1.6,
    "standard AIMC": 2.2,
    "through the circuit, ladder": 2.0,
    "through the circuit, mesh surrogate": 3.0,
}


class Stack(nnx.Module):
    """Wide layers one after the other, each with a normalisation and a residual."""

    def __init__(self, width: int, layers: int, rngs: nnx.Rngs):
        self.layers = nnx.List([nnx.Linear(width, width, rngs=rngs) for _ in range(layers)])
        self.norms = nnx.List([nnx.LayerNorm(width, rngs=rngs) for _ in range(layers)])

    def __call__(self, x: jax.Array) -> jax.Array:
        """Transform a batch of vectors."""
        for layer, norm in zip(self.layers, self.norms, strict=True):
            x = x + jax.nn.gelu(layer(norm(x)))
        return x


def with_wires(wires: Any) -> AnalogConfig:
    """Return the tile circuit with other wires."""
    config = presets.tile_circuit()
    return AnalogConfig(
        cell=config.cell, device=config.device, wires=wires, drive=config.drive, adc=config.adc, rows=512, cols=512
    )


def cases(model: nnx.Module, inputs: jax.Array) -> dict[str, tuple[nnx.Module, Forward]]:
    """Return models and forwards by name, the plain step first."""
    ladder = nn.convert(model, with_wires(Ladder(r=3.0)))
    standard = learn_input_ranges(nn.convert(model, presets.standard_aimc()), [inputs[:32]])
    return {
        "plain": (model, digital),
        "Gaussian weight noise": (ladder, weight_noise(AdditiveNoise(scale=0.05))),
        # As published: forward analog, backward ideal.
        "standard AIMC": (standard, circuit(ideal_backward=True)),
        "standard AIMC, exact backward": (standard, circuit()),
        "through the circuit, ladder": (ladder, circuit()),
        "through the circuit, mesh surrogate": (nn.convert(model, with_wires(AlphaBeta())), circuit()),
        "through the circuit, ladder, four chips": (ladder, many_chips(circuit(), 4)),
        "through the circuit, ladder, exact read noise": (ladder, circuit(exact_noise=True)),
    }


def parts(model: nnx.Module) -> dict[str, tuple[nnx.Module, Forward]]:
    """Return the step through the ladder with one part taken out at a time."""
    whole = with_wires(Ladder(r=3.0))
    device: Any = whole.device
    without = {
        "wires": replace(whole, wires=NoWires()),
        "programming noise": replace(whole, device=replace(device, programming=NoProgrammingNoise())),
        "read noise": replace(whole, device=Device(programming=device.programming)),
        "ADC": replace(whole, adc=IdealADC()),
        "wires, noise and ADC": replace(whole, wires=NoWires(), device=IdealDevice(), adc=IdealADC()),
    }
    return {f"without {name}": (nn.convert(model, config), circuit()) for name, config in without.items()}


def step(
    model: nnx.Module, forward: Forward, loss: Callable[..., jax.Array], inputs: jax.Array, targets: jax.Array
) -> tuple[Callable[[], Any], int]:
    """Return a compiled training step without arguments, and the bytes of its temporary memory."""
    network, parameters, others = SplitNetwork.split(model)
    optimizer = optax.adamw(1e-3)
    total = objective(loss, forward)
    state = optimizer.init(parameters)

    def one(parameters: Any, others: Any, state: Any, inputs: jax.Array, targets: jax.Array, key: jax.Array) -> Any:
        def mean_loss(parameters: Any) -> jax.Array:
            merged = network.merge(parameters, others)
            return total(merged, inputs, targets, key, jnp.zeros((), jnp.int32)).mean()

        value, gradient = jax.value_and_grad(mean_loss)(parameters)
        updates, new = optimizer.update(gradient, state, parameters)
        return value, optax.apply_updates(parameters, updates), new

    # A run keeps all of this on the device from step to step.
    arguments = jax.device_put((parameters, others, state, inputs, targets, jax.random.key(0)))
    compiled = jax.jit(one).lower(*arguments).compile()
    memory: Any = compiled.memory_analysis()
    bytes_used = memory.temp_size_in_bytes + memory.argument_size_in_bytes + memory.output_size_in_bytes
    return lambda: compiled(*arguments), bytes_used


def report(
    title: str, model: nnx.Module, loss: Any, inputs: jax.Array, targets: jax.Array, rounds: int, *, profile: bool
) -> None:
    """Time all cases of one network and print them."""
    taken_out = parts(model) if profile else {}
    everything = {**cases(model, inputs), **taken_out}
    steps = {name: step(*case, loss, inputs, targets) for name, case in everything.items()}
    times = medians({name: run for name, (run, _) in steps.items()}, rounds, seconds=0.0)
    plain, plain_memory = times.pop("plain"), steps["plain"][1]
    print(f"\n{title}, plain step {1e3 * plain:.1f} ms, {plain_memory / 2**20:.0f} MiB, {jax.devices()[0].device_kind}")
    print(f"{'case':46s} {'time':>6s} {'goal':>6s} {'memory':>7s}")
    for name in [name for name in times if name not in taken_out]:
        seconds = times[name]
        goal = f"{GOALS[name]:.1f}" if name in GOALS else ""
        print(f"{name:46s} {seconds / plain:6.2f} {goal:>6s} {steps[name][1] / plain_memory:7.2f}", flush=True)
    for name in taken_out:
        saved = times["through the circuit, ladder"] - times[name]
        print(f"  {name:44s} {times[name] / plain:6.2f}   saves {saved / plain:6.2f}", flush=True)


def main() -> None:
    """Print the table of both networks."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--networks", nargs="+", choices=("transformer", "stack"), default=["transformer", "stack"])
    parser.add_argument("--profile", action=argparse.BooleanOptionalAction, default=True, help="where the time goes")
    arguments = parser.parse_args()
    if "transformer" in arguments.networks:
        transformer(arguments)
    if "stack" in arguments.networks:
        wide_layers(arguments)


def transformer(arguments: argparse.Namespace) -> None:
    """Print the table of the embedded vision transformer."""
    task = load_task("models.vit:fashion_mnist")
    test = task.split("test").first(arguments.batch)
    inputs, targets = jnp.asarray(test.inputs), jnp.asarray(test.targets)
    title = f"embedded vision transformer, batch {arguments.batch}"
    report(title, load_model(task), task.loss, inputs, targets, arguments.rounds, profile=arguments.profile)


def wide_layers(arguments: argparse.Namespace) -> None:
    """Print the table of the stack of wide layers."""
    stack = Stack(arguments.width, arguments.layers, nnx.Rngs(0))
    vectors = jax.random.normal(jax.random.key(1), (arguments.batch, arguments.width))
    labels = jnp.arange(arguments.batch) % arguments.width
    title = f"{arguments.layers} layers of {arguments.width} x {arguments.width}, batch {arguments.batch}"
    report(title, stack, cross_entropy, vectors, labels, arguments.rounds, profile=arguments.profile)


if __name__ == "__main__":
    main()
