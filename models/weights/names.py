"""Tensors of a file under the names of a network: rules from one kind of names to the other."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import jax.numpy as jnp
import numpy as np
from flax import nnx

Model = TypeVar("Model", bound=nnx.Module)

# How many names of each kind a message lists.
_SHOWN = 4


@dataclass(frozen=True)
class Name:
    r"""What a tensor is called in the network.

    Args:
        pattern: Regular expression that the tensor's whole name in the file matches.
        replacement: Path of the parameter in the network, its parts joined by `/`; `\1` and so on stand for the groups
            of the pattern.
        change: What is done with the array first: `"transpose"` reverses its axes (PyTorch stores linear layers as
            `[out, in]`, Flax as `[in, out]`); a function of the array; or None.

    Raises:
        ValueError: If the pattern is no regular expression, or `change` is of another kind.

    Example:
        >>> rule = Name(r"layer\.(\d+)\.weight", r"layers/\1/kernel", "transpose")
        >>> rule.of("layer.3.weight"), rule.of("head.weight")
        ('layers/3/kernel', None)
    """

    pattern: str
    replacement: str
    change: Literal["transpose"] | Callable[[np.ndarray], Any] | None = None

    def __post_init__(self) -> None:
        try:
            re.compile(self.pattern)
        except (re.error, TypeError) as error:
            raise ValueError(
                f"Field `pattern` of Name must be a regular expression, but is {self.pattern!r}: {error}."
            ) from error
        if self.change not in (None, "transpose") and not callable(self.change):
            raise ValueError(f"Field `change` of Name must be 'transpose', a function or None, but is {self.change!r}.")

    def of(self, name: str) -> str | None:
        """Return the path of the parameter that the tensor of this name is, or None if the rule is not about it."""
        match = re.fullmatch(self.pattern, name)
        return None if match is None else match.expand(self.replacement)

    def changed(self, array: np.ndarray) -> np.ndarray:
        """Return the array as the network has it."""
        if self.change is None:
            return array
        return array.T if self.change == "transpose" else np.asarray(self.change(array))  # pyright: ignore[reportCallIssue]


def fill(
    model: Model, tensors: Mapping[str, np.ndarray], rules: Sequence[Name], *, ignore: Iterable[str] = ()
) -> Model:
    r"""Give a network the weights of a file.

    Every parameter and running statistic of the network must be among the tensors, in its shape, and every tensor must
    be one of them or be ignored: what is left over on either side usually means that the network is another one.

    Args:
        model: The network. It is not changed.
        tensors: Arrays by name, from `read`.
        rules: What the tensors are called in the network; the first rule that matches a name decides.
        ignore: Regular expressions of the names of tensors that the network has no use for. They count only where no
            rule matches.

    Returns:
        The network with these weights, converted to its own floating-point types.

    Raises:
        ValueError: If tensors are missing, unexpected or of another shape or kind; the message lists a few of each.

    Example:
        >>> linear = nnx.Linear(3, 2, rngs=nnx.Rngs(0))
        >>> weights = {"weight": np.ones((2, 3), np.float16), "bias": np.zeros(2, np.float16)}
        >>> filled = fill(linear, weights, [Name("weight", "kernel", "transpose"), Name("bias", "bias")])
        >>> print(filled(jnp.ones(3)))
        [3. 3.]
    """
    filled = nnx.clone(model)
    state = nnx.state(filled, nnx.Any(nnx.Param, nnx.BatchStat))
    wanted = {"/".join(map(str, path)): variable for path, variable in nnx.to_flat_state(state)}
    found: dict[str, tuple[str, np.ndarray]] = {}
    unexpected, wrong = [], []
    for name, array in tensors.items():
        rule = next((rule for rule in rules if rule.of(name) is not None), None)
        path = None if rule is None else rule.of(name)
        if rule is None or path is None:
            if not any(re.fullmatch(pattern, name) for pattern in ignore):
                unexpected.append(repr(name))
        elif path not in wanted:
            unexpected.append(f"{name!r} (as {path!r})")
        elif path in found:
            wrong.append(f"{name!r} and {found[path][0]!r} are both {path!r}")
        else:
            found[path] = name, _changed(rule, name, array, wrong)
    missing = [repr(path) for path in wanted if path not in found]
    for path, (name, array) in found.items():
        problem = _problem(array, wanted[path])
        if problem:
            wrong.append(f"{name!r} as {path!r} {problem}")
    if missing or unexpected or wrong:
        kinds = (("missing", missing), ("unexpected", unexpected), ("wrong", wrong))
        raise ValueError(
            "The tensors do not fit the network: "
            + "; ".join(f"{kind}: {_listed(entries)}" for kind, entries in kinds if entries)
            + "."
        )
    for path, (_, array) in found.items():
        variable = wanted[path]
        variable.set_value(jnp.asarray(array, variable.get_value().dtype))
    nnx.update(filled, state)
    return filled


def _changed(rule: Name, name: str, array: np.ndarray, wrong: list[str]) -> np.ndarray:
    try:
        return rule.changed(array)
    except ValueError as error:  # such as a reshape of an array of another size
        wrong.append(f"{name!r} cannot be changed as its rule says ({error})")
        return array


def _problem(array: np.ndarray, variable: nnx.Variable) -> str | None:
    own = variable.get_value()
    if array.shape != own.shape:
        return f"has shape {array.shape} instead of {own.shape}"
    if jnp.issubdtype(own.dtype, jnp.floating) != jnp.issubdtype(array.dtype, jnp.floating):
        return f"holds {array.dtype} instead of {own.dtype}"
    return None


def _listed(entries: Sequence[str]) -> str:
    more = f" and {len(entries) - _SHOWN} more" if len(entries) > _SHOWN else ""
    return ", ".join(entries[:_SHOWN]) + more
