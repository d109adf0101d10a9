"""Data of a task: inputs and targets in memory."""

import dataclasses

import numpy as np
from jaxtyping import Num


@dataclasses.dataclass(frozen=True)
class Split:
    """One part of a data set, in memory.

    Args:
        inputs: Whatever the network takes, examples on the first axis.
        targets: Whatever `Task.loss` and `Task.score` compare the outputs with, examples on the first axis.

    Raises:
        ValueError: If the two differ in their number of examples, or there is none.
    """

    inputs: Num[np.ndarray, "examples ..."]
    targets: Num[np.ndarray, "examples ..."]

    def __post_init__(self):
        if len(self.inputs) == 0:
            raise ValueError("Argument `inputs` must hold at least one example, but holds none.")
        if len(self.inputs) != len(self.targets):
            raise ValueError(
                f"Argument `targets` must have one entry for each of the {len(self.inputs)} inputs, "
                f"but has {len(self.targets)}."
            )

    def __len__(self) -> int:
        """Return the number of examples."""
        return len(self.inputs)

    def first(self, examples: int | None) -> "Split":
        """Return the first `examples` examples, or all of them if that is None or more than there are.

        Raises:
            ValueError: If `examples` is not positive.
        """
        if examples is not None and examples < 1:
            raise ValueError(f"Argument `examples` must be at least 1, but is {examples}.")
        return Split(self.inputs[:examples], self.targets[:examples])
