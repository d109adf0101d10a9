"""A converted model without its chip, in a form that crosses `jax.jit` and `jax.vmap`."""

import dataclasses
from typing import Any

import jax
from flax import nnx
from jaxtyping import Array, Key

from jaxaimc.nn.chip import with_effective, with_read_key
from jaxaimc.nn.modes import AnalogMode
from jaxaimc.tile import Prepared

Module = nnx.Module


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Blank:
    """A converted model's structure and variables, as a pytree. Any number of chips can be put under it.

    Args:
        graph: Structure of the model; static, so that models of one structure share compilations.
        state: Variables of the model.
    """

    graph: Any = dataclasses.field(metadata={"static": True})
    state: Any

    @classmethod
    def of(cls, model: nnx.Module, *, mode: AnalogMode = "analog") -> "Blank":
        """Take a model apart.

        Args:
            model: Result of `jaxaimc.nn.convert`. It is not changed.
            mode: View in which it is called later, see `jaxaimc.nn.AnalogDot`.

        Returns:
            Its structure and variables.

        Raises:
            ValueError: If there is no such mode.
        """
        return cls(*nnx.split(nnx.view(model, analog_mode=mode)))

    def model(self) -> Any:
        """Put the model together again, with fresh variables, so that this may happen inside a transformation."""
        return nnx.merge(self.graph, self.state, copy=True)

    def on_chip(self, chip: dict[str, Prepared], key: Key[Array, "*keys"]) -> Any:
        """Put the model on a chip.

        Args:
            chip: Effective matrices by layer path, from `jaxaimc.nn.effective`.
            key: Read key, or one for each example of the batch.

        Returns:
            The model, ready to be called, with fresh variables.

        Raises:
            ValueError: If the paths are not those of the model's analog layers.
        """
        return with_read_key(with_effective(self.model(), chip), key)
