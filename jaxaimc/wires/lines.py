"""Parallel resistive lines, solved by ladder reduction: the one building block of every mesh solver here.

A line is a chain of nodes joined by segments `r`; its near end is tied through `r_end` to a terminal at zero volts,
its far end is open. Every node has a load to ground. Folding the chain from the far end gives each node's Norton
equivalent, unfolding it from the near end gives the voltages. Both passes add, multiply and divide positive numbers
only, so float32 keeps its digits where a nodal matrix merely rounded to float32 has lost them, and `r = 0` and zero
loads are ordinary values.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxaimc._core.component import component, static
from jaxaimc.wires.carry import carried


@component
class Lines:
    """Many lines side by side, folded once for given loads. The leading axis runs along the lines.

    Attributes:
        divider: Share of a node's Norton current that passes on toward the terminal [1], shape (nodes, lines).
        segment: Resistance of the segment on each node's near side [ohm].
        near_end_first: Whether the terminal is before the first node, not after the last.
    """

    divider: Float[Array, "nodes lines"]
    segment: Float[Array, "nodes 1"]
    near_end_first: bool = static()

    def voltages(self, current: Float[Array, "nodes lines"]) -> Float[Array, "nodes lines"]:
        """Return the node voltages [V] for currents injected into the nodes [A]."""

        def unfold(voltage: Array, node: tuple[Array, Array, Array]) -> tuple[Array, Array]:
            norton, divider, segment = node
            voltage = divider * (voltage + segment * norton)
            return voltage, voltage

        nodes = (self._folded(current), self.divider, self.segment)
        return jax.lax.scan(unfold, self._idle(current), nodes, reverse=not self.near_end_first)[1]

    def voltages_and_power(
        self, current: Float[Array, "nodes lines"]
    ) -> tuple[Float[Array, "nodes lines"], Float[Array, ""]]:
        """Return the node voltages [V] and the sum of currents times voltages [W], in one pass over the nodes."""

        def unfold(state: tuple[Array, Array], node: tuple[Array, ...]) -> tuple[tuple[Array, Array], Array]:
            voltage, power = state
            norton, divider, segment, injected = node
            voltage = divider * (voltage + segment * norton)
            return (voltage, power + injected * voltage), voltage

        nodes = (self._folded(current), self.divider, self.segment, current)
        zero = self._idle(current)
        (_, power), voltage = jax.lax.scan(unfold, (zero, zero), nodes, reverse=not self.near_end_first)
        return voltage, jnp.sum(power)

    def _folded(self, current: Float[Array, "nodes lines"]) -> Float[Array, "nodes lines"]:
        """Return at each node the Norton current [A] of it and all that is beyond."""

        def fold(passed: Array, node: tuple[Array, Array]) -> tuple[Array, Array]:
            injected, divider = node
            norton = injected + passed
            return divider * norton, norton

        return jax.lax.scan(fold, self._idle(current), (current, self.divider), reverse=self.near_end_first)[1]

    def _idle(self, current: Float[Array, "nodes lines"]) -> Float[Array, " lines"]:
        return carried(jnp.zeros_like(current[0]), self.divider, self.segment)

    def profile(self) -> Float[Array, "nodes lines"]:
        """Return the node voltages for one volt at the terminal [1]."""

        def unfold(voltage: Array, divider: Array) -> tuple[Array, Array]:
            return voltage * divider, voltage * divider

        one = jnp.ones_like(self.divider[0])
        return jax.lax.scan(unfold, one, self.divider, reverse=not self.near_end_first)[1]


def fold_lines(
    load: Float[Array, "nodes lines"],
    r: Float[Array, ""] | float,
    r_end: Float[Array, ""] | float,
    *,
    near_end_first: bool,
) -> Lines:
    """Fold lines with given loads.

    Args:
        load: Conductance of each node to ground [S], zero or positive.
        r: Resistance of a segment between neighbouring nodes [ohm], zero or positive.
        r_end: Resistance between the near end's node and the terminal [ohm], zero or positive.
        near_end_first: Whether the terminal is before the first node, not after the last.

    Returns:
        The folded lines, ready for any number of solves.
    """
    near = 0 if near_end_first else load.shape[0] - 1
    segment = jnp.full(load.shape[:1], r, load.dtype).at[near].set(r_end)[:, None]

    def fold(beyond: Array, node: tuple[Array, Array]) -> tuple[Array, Array]:
        g, resistance = node
        total = g + beyond
        divider = 1 / (1 + resistance * total)
        return total * divider, divider

    none = carried(jnp.zeros_like(load[0]), segment)
    _, divider = jax.lax.scan(fold, none, (load, segment), reverse=near_end_first)
    return Lines(divider=divider, segment=segment, near_end_first=near_end_first)


def voltage_drop(
    current: Float[Array, "nodes lines"],
    r: Float[Array, ""] | float,
    r_end: Float[Array, ""] | float,
    *,
    near_end_first: bool,
) -> Float[Array, "nodes lines"]:
    """Return the voltages that given node currents, flowing to the terminal, raise along unloaded lines.

    Linear in `current` and in the resistances; the two running sums are scans because XLA's own cumulative sum is
    several times slower on a CPU.

    Args:
        current: Current injected into each node [A].
        r: Resistance of a segment [ohm].
        r_end: Resistance between the near end's node and the terminal [ohm].
        near_end_first: Whether the terminal is before the first node.

    Returns:
        Node voltages [V].
    """

    def add(total: Array, x: Array) -> tuple[Array, Array]:
        return total + x, total + x

    zero = jnp.zeros_like(current[0])
    total, through = jax.lax.scan(add, zero, current, reverse=near_end_first)

    # The segment on a node's near side carries the sum up to that node; the last one is the end resistance.
    def rise(voltage: Array, x: Array) -> tuple[Array, Array]:
        # `voltage` is that of the node itself: it is emitted before the next node's segment is added.
        return voltage + r * x, voltage

    inner = jnp.roll(through, -1, axis=0) if near_end_first else jnp.roll(through, 1, axis=0)
    return jax.lax.scan(rise, carried(r_end * total, r), inner, reverse=not near_end_first)[1]
