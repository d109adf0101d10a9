"""Checks that a task, its data and a network belong together, before anything is computed with them."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from jaxaimc.tasks.corpus import Corpus
from jaxaimc.tasks.data import Split
from jaxaimc.tasks.leaves import is_finite
from jaxaimc.tasks.measures import check_labels, takes_labels
from jaxaimc.tasks.paths import names
from jaxaimc.tasks.task import Measure, Task

_EXAMPLES = 7  # a number that no other axis is likely to have


def check_contract(task: Task, model: nnx.Module, split: Split, part: str) -> None:
    """Refuse what would make every score or loss of a network meaningless.

    Nothing is computed but shapes, so this takes one trace of the network and one look at its weights and the targets.

    Args:
        task: Network, data and measure.
        model: The network, digital or with analog layers; these are looked at as digital ones.
        split: Examples.
        part: What to call them in messages, such as "test".

    Raises:
        ValueError: If a weight is not finite, the network does not keep the examples on the first axis, the loss or the
            score is not one number for each example, or targets of `cross_entropy` or `accuracy` are no labels of the
            network's classes.
    """
    check_weights(task, model)
    digital = nnx.view(model, analog_mode="digital", raise_if_not_found=False)
    graph, state = nnx.split(digital)

    def call(state: Any, inputs: Any) -> Any:
        network: Any = nnx.merge(graph, state, copy=True)
        network.eval()
        return network(inputs)

    inputs, targets = (
        jax.ShapeDtypeStruct((_EXAMPLES, *a.shape[1:]), jax.dtypes.canonicalize_dtype(a.dtype))
        for a in (split.inputs, split.targets)
    )
    outputs = jax.eval_shape(call, state, inputs)
    for leaf in jax.tree.leaves(outputs):
        if leaf.shape[:1] != (_EXAMPLES,):
            raise ValueError(
                f"The network of task {task.name!r} must return outputs with the examples on the first axis, "
                f"({_EXAMPLES}, ...) for {_EXAMPLES} examples, but returns shape {leaf.shape}."
            )
    for measure in (task.loss, task.score):
        if isinstance(measure, Corpus):
            if not isinstance(outputs, jax.ShapeDtypeStruct):
                raise ValueError(
                    f"The network of task {task.name!r} must return one array for its score of all examples together, "
                    f"but returns shapes {jax.tree.map(jnp.shape, outputs)}."
                )
            jax.eval_shape(measure.reduced, outputs, targets)
            continue
        function = measure.function if isinstance(measure, Measure) else measure
        if takes_labels(function):
            if getattr(outputs, "ndim", None) != 2:  # several outputs are a tuple or a dictionary
                raise ValueError(
                    f"The network of task {task.name!r} must return one logit for each class, shape (examples, "
                    f"classes), but returns shape {jax.tree.map(jnp.shape, outputs)} for {_EXAMPLES} examples."
                )
            check_labels(f"The targets of part {part!r} of task {task.name!r}", split.targets, outputs.shape[-1])
        jax.eval_shape(measure, outputs, targets)


def check_weights(task: Task, model: nnx.Module) -> None:
    """Refuse a network with weights that are not finite.

    Args:
        task: Gives its name to the message.
        model: The network.

    Raises:
        ValueError: If a parameter or a running statistic holds NaN or infinity.
    """
    for name, value in names(nnx.state(model, nnx.Any(nnx.Param, nnx.BatchStat))).items():
        if not is_finite(np.asarray(value)):
            raise ValueError(
                f"Parameter {name!r} of the network of task {task.name!r} must be finite, but holds NaN or infinity."
            )
