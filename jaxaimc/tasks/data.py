"""Data of a task: inputs and targets in memory."""

import dataclasses

import numpy as np
from jaxtyping import Num

_BLOCK = 1 << 22  # numbers looked at together, so that a check takes little memory beside large data


@dataclasses.dataclass(frozen=True)
class Split:
    """One part of a data set, in memory.

    Args:
        inputs: Whatever the network takes, examples on the first axis.
        targets: Whatever `Task.loss` and `Task.score` compare the outputs with, examples on the first axis.

    Raises:
        ValueError: If the two differ in their number of examples, there is none, or one holds anything but finite real
            numbers.
    """

    inputs: Num[np.ndarray, "examples ..."]
    targets: Num[np.ndarray, "examples ..."]

    def __post_init__(self):
        for field in ("inputs", "targets"):
            _check_array(field, getattr(self, field))
        if len(self.inputs) == 0:
            raise ValueError("Field `inputs` of Split must hold at least one example, but holds none.")
        if len(self.inputs) != len(self.targets):
            raise ValueError(
                f"Field `targets` of Split must have one entry for each of the {len(self.inputs)} inputs, "
                f"but has {len(self.targets)}."
            )
        for field in ("inputs", "targets"):
            _check_finite(field, getattr(self, field))

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
        if examples is None or examples >= len(self):
            return self
        return Split(self.inputs[:examples], self.targets[:examples])


def _check_array(field: str, value: np.ndarray) -> None:
    if not hasattr(value, "dtype") or not hasattr(value, "shape"):
        raise ValueError(f"Field `{field}` of Split must be a NumPy array, but is a {type(value).__name__}.")
    if not value.shape:
        raise ValueError(f"Field `{field}` of Split must have shape (examples, ...), but has shape ().")
    if value.dtype.kind in "OSUcmM":
        raise ValueError(f"Field `{field}` of Split must hold real numbers, but has dtype {value.dtype}.")


def _check_finite(field: str, value: np.ndarray) -> None:
    if value.dtype.kind in "biu":
        return
    step = max(1, _BLOCK // max(1, value[0].size))
    for start in range(0, len(value), step):
        finite = np.isfinite(np.asarray(value[start : start + step])).all(axis=tuple(range(1, value.ndim)))
        if not finite.all():
            first = start + int(np.argmin(finite))
            raise ValueError(f"Field `{field}` of Split must be finite, but example {first} holds NaN or infinity.")
