"""The objective of a network on analog chips: its loss through the circuit, and a figure of what an inference costs."""

import dataclasses
import re
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Key, Num

from jaxaimc import cost as costs
from jaxaimc import nn
from jaxaimc._core.checks import check_integer, check_number, shown
from jaxaimc._core.component import Component
from jaxaimc.config import AnalogConfig
from jaxaimc.cost.tile import AssumedCostWarning, InvalidCostWarning
from jaxaimc.design.variables import Configs
from jaxaimc.nn.activity import with_activity_of
from jaxaimc.nn.walk import analog_layers
from jaxaimc.training.fit.precision import widened
from jaxaimc.training.fit.steps import SplitNetwork

Figure = Callable[[costs.Cost], Float[Array, ""]]


def log_energy(cost: costs.Cost) -> Float[Array, ""]:
    """Return the logarithm of the energy of an inference in joule.

    Args:
        cost: That of all layers.
    """
    return jnp.log(cost.energy.total)


def log_latency(cost: costs.Cost) -> Float[Array, ""]:
    """Return the logarithm of the latency of an inference in seconds.

    Args:
        cost: That of all layers.
    """
    return jnp.log(cost.latency)


def log_area(cost: costs.Cost) -> Float[Array, ""]:
    """Return the logarithm of the area of all tiles in square metres.

    Args:
        cost: That of all layers.
    """
    return jnp.log(cost.area.total)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class NetworkObjective:
    """`loss + weight figure(cost)` of a network on a chip that is programmed inside; made by `of`.

    A pytree: objectives that differ in weight, weights or examples share their compilation.

    Attributes:
        weight: Of the figure against the loss.
        parameters: Trained arrays of the network by name, to be trained along (`minimise(..., parameters=...)`).
        others: The network's other variables.
        inputs: Examples.
        targets: Their targets.
        vectors: Some input vectors of every layer on tiles, by path, found once with the network as it was.
        counts: Input vectors of an inference, by path.
        hardware: What tiles are made of.
        network: Structure of the network.
        loss: Loss of each example.
        figure: What of the cost counts.
        batch: Examples of a call, drawn with its key; None for all.
    """

    weight: Float[Array, ""]
    parameters: dict[str, Array]
    others: Any
    inputs: Num[Array, "example ..."]
    targets: Num[Array, "example ..."]
    vectors: dict[str, Float[Array, "vector n_in"]]
    counts: dict[str, float]
    hardware: costs.Hardware
    network: SplitNetwork = dataclasses.field(metadata={"static": True})
    loss: Callable[[Array, Array], Array] = dataclasses.field(metadata={"static": True})
    figure: Figure = dataclasses.field(metadata={"static": True})
    batch: int | None = dataclasses.field(metadata={"static": True})

    @classmethod
    def of(
        cls,
        model: nnx.Module,
        config: Configs,
        inputs: Any,
        targets: Any,
        loss: Callable[[Array, Array], Array],
        *,
        weight: float = 0.0,
        figure: Figure = log_energy,
        hardware: costs.Hardware | None = None,
        batch: int | None = None,
    ) -> "NetworkObjective":
        """Make the objective of a trained network.

        Args:
            model: Digital network; it stays as it is, and is called in evaluation mode.
            config: The tile of every layer, or configs by rule, in the order of `jaxaimc.nn.Rule`; says which layers
                are on tiles.
            inputs: Examples, along the first axis.
            targets: Their targets.
            loss: Loss of each example, `(outputs, targets) -> [example]`, such as `Task.loss`.
            weight: Of the figure against the loss, not negative.
            figure: What of the cost of an inference counts, such as `log_energy` or any smooth function of it.
            hardware: What tiles are made of; `jaxaimc.cost.Hardware()` by default.
            batch: Examples of a call, drawn anew with each key; all by default.

        Raises:
            ValueError: If an argument is of another kind or out of range, or a layer cannot be converted.
        """
        check_number("NetworkObjective", "weight", weight, low=0.0)
        if batch is not None:
            check_integer("NetworkObjective", "batch", batch, low=1, high=len(inputs), optional=True)
        if len(inputs) != len(targets):
            raise ValueError(
                f"Arguments `inputs` and `targets` must have as many examples, but have {len(inputs)} and "
                f"{len(targets)}."
            )
        for name, function in (("loss", loss), ("figure", figure)):
            if not callable(function):
                raise ValueError(f"Argument `{name}` must be a function, but is {shown(function)}.")
        hardware = costs.Hardware() if hardware is None else hardware
        hardware.validate()
        digital: Any = nn.to_digital(model)
        network, parameters, others = SplitNetwork.split(digital, nnx.Param)
        evaluated = network.merge(parameters, others)
        evaluated.eval()
        network, parameters, others = SplitNetwork.split(evaluated, nnx.Param)
        inputs, targets = jnp.asarray(inputs), jnp.asarray(targets)
        known = nn.cost_inputs(nn.convert(evaluated, rules(config)), inputs)
        return cls(
            weight=jnp.asarray(weight, float), parameters=parameters, others=others, inputs=inputs, targets=targets,
            vectors=known.vectors, counts=known.counts, hardware=hardware, network=network, loss=loss,
            figure=figure, batch=batch,
        )  # fmt: skip

    def with_weight(self, weight: float) -> "NetworkObjective":
        """Return the objective with another weight, such as for a point of a Pareto front.

        Args:
            weight: Of the figure against the loss, not negative.
        """
        check_number("NetworkObjective", "weight", weight, low=0.0)
        return dataclasses.replace(self, weight=jnp.asarray(weight, float))

    def model(self, parameters: dict[str, Array] | None = None) -> Any:
        """Return the digital network, with trained parameters where some are given.

        Args:
            parameters: Such as `Design.parameters`.
        """
        return self.network.merge(self.parameters if parameters is None else parameters, self.others)

    def __call__(
        self, config: Configs, key: Key[Array, ""], parameters: dict[str, Array] | None = None
    ) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
        """Program a chip, and return the objective and its parts.

        Args:
            config: The tile of every layer, or configs by rule.
            key: Of the chip, its reads and the examples.
            parameters: Parameters of the network; its own by default.

        Returns:
            `loss + weight figure`, and `loss`, `energy` [J], `latency` [s] and `area` [m^2] of an inference.
        """
        chip_key, read_key, batch_key = jax.random.split(key, 3)
        inputs, targets = self.inputs, self.targets
        if self.batch is not None and self.batch < len(inputs):
            chosen = jax.random.choice(batch_key, len(inputs), (self.batch,), replace=False)
            inputs, targets = inputs[chosen], targets[chosen]
        analog = nn.convert(self.model(parameters), rules(config))
        if any(part is not None and part.wires.profiled for part in parts_of(config)):
            analog = with_activity_of(analog, self.vectors)
        chip = nn.program(analog, chip_key)
        loss = jnp.mean(self.loss(widened(nn.with_read_key(chip, read_key)(inputs)), targets))
        cost = nn.cost(chip, nn.CostInputs(self.vectors, self.counts, 0.0), self.hardware).total
        parts = {"loss": loss, "energy": cost.energy.total, "latency": cost.latency, "area": cost.area.total}
        return loss + self.weight * self.figure(cost), parts


def rules(config: Configs) -> Any:
    """Return what `jaxaimc.nn.convert` takes for a config or for configs by rule.

    Args:
        config: The tile of every layer, or configs by rule.
    """
    if isinstance(config, Component):
        return config
    if not isinstance(config, Mapping):
        raise ValueError(f"Argument `config` must be a config or configs by rule, but is {shown(config)}.")
    return [nn.Rule(pattern, part) for pattern, part in config.items()]  # pyright: ignore[reportArgumentType]


def layer_configs(model: nnx.Module) -> dict[str, AnalogConfig | None]:
    """Return the configs of a converted model by layer, such as with the ranges that `jaxaimc.nn.calibrate` chose.

    Args:
        model: Result of `jaxaimc.nn.convert` or of what follows it. Hooks, and rules with hosts or analog biases, are
            left behind.

    Returns:
        Configs by rule, one for each layer; None for products that stay digital.

    Raises:
        ValueError: If layers are stacked, which have one config for all of the stack.

    Example:
        >>> from jaxaimc import AnalogConfig
        >>> model = nnx.Sequential(nnx.Linear(8, 4, rngs=nnx.Rngs(0)), nnx.Linear(4, 2, rngs=nnx.Rngs(1)))
        >>> converted = nn.convert(model, [nn.Rule("layers/0", AnalogConfig()), nn.Rule("layers/1", None)])
        >>> {rule: type(config).__name__ for rule, config in layer_configs(converted).items()}
        {'layers/0': 'AnalogConfig', 'layers/1': 'NoneType'}
    """
    analog = {}
    for _, dot in analog_layers(model):
        if dot.stack:
            raise ValueError(f"Layer {dot.path!r} is a stack of {dot.stack} layers, which cannot have configs by rule.")
        analog[dot.path] = dot.config.get_value()
    return {re.escape(one.path): analog.get(one.path) for one in nn.products(model)}


def parts_of(config: Configs) -> list[Any]:
    """Return the config, or the configs by rule.

    Args:
        config: The tile of every layer, or configs by rule.
    """
    return [config] if isinstance(config, Component) else list(config.values())


# What costs warn of, which their notes say as well.
COST_WARNINGS = (AssumedCostWarning, InvalidCostWarning)
