"""How the devices of a cell's polarities lie on physical arrays: apart, side by side, or one above the other."""

import abc

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxaimc._core.component import Component, component


class Layout(Component):
    """Where the devices of a cell lie. A layout of your own derives from this and writes all five methods."""

    @abc.abstractmethod
    def pitch(self, polarities: int) -> tuple[int, int]:
        """Return how many physical rows and columns one cell takes."""

    @abc.abstractmethod
    def arrange(self, g: Float[Array, "polarity rows cols"]) -> Float[Array, "array lines wires"]:
        """Place devices on physical arrays."""

    @abc.abstractmethod
    def restore(self, x: Float[Array, "array lines wires"], polarities: int) -> Float[Array, "polarity rows cols"]:
        """Take what belongs to each device back from the physical arrays: the inverse of `arrange`."""

    @abc.abstractmethod
    def drive(self, v: Float[Array, " rows"], signs: tuple[float, ...]) -> Float[Array, "array lines"]:
        """Return the voltage on each physical row line [V] for row drives [V]."""

    @abc.abstractmethod
    def combine(self, current: Float[Array, "array wires"], signs: tuple[float, ...]) -> Float[Array, " cols"]:
        """Put the currents of the physical columns together to one output per column [A]."""


@component
class Separate(Layout):
    """Each polarity on an array of its own, driven alike; the outputs are subtracted."""

    def pitch(self, polarities: int) -> tuple[int, int]:
        """One row and one column."""
        return 1, 1

    def arrange(self, g: Float[Array, "polarity rows cols"]) -> Float[Array, "array lines wires"]:
        """Return the devices as they are."""
        return g

    def restore(self, x: Float[Array, "array lines wires"], polarities: int) -> Float[Array, "polarity rows cols"]:
        """Return the values as they are."""
        return x

    def drive(self, v: Float[Array, " rows"], signs: tuple[float, ...]) -> Float[Array, "array lines"]:
        """Drive every array alike."""
        return jnp.broadcast_to(v, (len(signs), *v.shape))

    def combine(self, current: Float[Array, "array wires"], signs: tuple[float, ...]) -> Float[Array, " cols"]:
        """Add the arrays' currents with their signs."""
        return jnp.einsum("ac,a->c", current, jnp.asarray(signs, current.dtype), precision="highest")


@component
class InterleavedColumns(Layout):
    """One array; the polarities of an output are neighbouring columns on the same row lines, subtracted at the end."""

    def pitch(self, polarities: int) -> tuple[int, int]:
        """One row and a column per polarity."""
        return 1, polarities

    def arrange(self, g: Float[Array, "polarity rows cols"]) -> Float[Array, "array lines wires"]:
        """Put the polarities of each cell side by side."""
        return jnp.moveaxis(g, 0, -1).reshape(1, g.shape[1], -1)

    def restore(self, x: Float[Array, "array lines wires"], polarities: int) -> Float[Array, "polarity rows cols"]:
        """Take the polarities of each cell apart."""
        return jnp.moveaxis(x.reshape(x.shape[1], -1, polarities), -1, 0)

    def drive(self, v: Float[Array, " rows"], signs: tuple[float, ...]) -> Float[Array, "array lines"]:
        """Drive the one array."""
        return v[None]

    def combine(self, current: Float[Array, "array wires"], signs: tuple[float, ...]) -> Float[Array, " cols"]:
        """Add each output's columns with their signs."""
        pairs = current.reshape(-1, len(signs))
        return jnp.einsum("cp,p->c", pairs, jnp.asarray(signs, current.dtype), precision="highest")


@component
class InterleavedRows(Layout):
    """One array; the polarities of a cell are neighbouring rows, driven with their signs, on one sum line."""

    def pitch(self, polarities: int) -> tuple[int, int]:
        """A row per polarity and one column."""
        return polarities, 1

    def arrange(self, g: Float[Array, "polarity rows cols"]) -> Float[Array, "array lines wires"]:
        """Put the polarities of each cell one above the other."""
        return jnp.moveaxis(g, 0, 1).reshape(1, -1, g.shape[2])

    def restore(self, x: Float[Array, "array lines wires"], polarities: int) -> Float[Array, "polarity rows cols"]:
        """Take the polarities of each cell apart."""
        return jnp.moveaxis(x.reshape(-1, polarities, x.shape[2]), 1, 0)

    def drive(self, v: Float[Array, " rows"], signs: tuple[float, ...]) -> Float[Array, "array lines"]:
        """Drive neighbouring rows with the signs of their polarities."""
        return (v[:, None] * jnp.asarray(signs, v.dtype)).reshape(1, -1)

    def combine(self, current: Float[Array, "array wires"], signs: tuple[float, ...]) -> Float[Array, " cols"]:
        """Return the sum lines' currents: the wire has subtracted already."""
        return current[0]
