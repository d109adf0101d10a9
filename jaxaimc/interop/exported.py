"""Prepared networks as files that run with JAX alone."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax import export

from jaxaimc import nn
from jaxaimc._core.files import replacing
from jaxaimc.nn.walk import is_programmed

_PLATFORMS = ("cpu", "cuda", "tpu")


def export_network(
    path: str | Path, model: nnx.Module, inputs: Any, *, batch: int | None = None, platforms: Sequence[str] = _PLATFORMS
) -> export.Exported:
    """Write a network on its chip to a file that runs without this library.

    The file is what `jax.export` serialises: the function `(inputs, key_data) -> outputs`, with the chip's effective
    matrices in it as constants. `jax.export.deserialize(file.read()).call(inputs, key_data)` runs it, where `key_data`
    are those of a read key, `jax.random.key_data(jax.random.key(0))`; the outputs of the model itself are those with
    that key. JAX reads such files for at least six months, and needs the package `flatbuffers` to read and write them.

    Args:
        path: File; replaced as a whole.
        model: A network whose analog layers are all programmed, called as `model(inputs)`, examples on the first axis.
        inputs: Inputs, or pytrees of them, of which only shapes and types are looked at.
        batch: Number of examples of a call; None for any, where the network's own code allows it.
        platforms: Where the file is to run.

    Returns:
        The exported function.

    Raises:
        ValueError: If the model is not programmed, or its code needs to know the number of examples.
        ImportError: If the package `flatbuffers` is not installed.
    """
    if not is_programmed(model):
        raise ValueError("Argument `model` must be a network on a chip; call `jaxaimc.nn.program(model, key)` first.")
    graph, state = nnx.split(nn.for_reading(model))

    @jax.jit
    def run(inputs: Any, key_data: jax.Array) -> Any:
        network: Any = nnx.merge(graph, state, copy=True)
        network.eval()
        return nn.with_read_key(network, jax.random.wrap_key_data(key_data))(inputs)

    rows = export.symbolic_shape("batch") if batch is None else (batch,)
    shapes = jax.tree.map(lambda a: jax.ShapeDtypeStruct((*rows, *jnp.shape(a)[1:]), jnp.result_type(a)), inputs)
    data = jax.random.key_data(jax.random.key(0))
    try:
        exported = export.export(run, platforms=list(platforms))(shapes, jax.ShapeDtypeStruct(data.shape, data.dtype))
    except Exception as error:
        if batch is None and isinstance(error, (jax.errors.InconclusiveDimensionOperation, TypeError)):
            raise ValueError(
                "The network needs to know the number of examples of a call; give it by the argument `batch`."
            ) from error
        raise
    content = exported.serialize()
    with replacing(Path(path)) as unfinished:
        unfinished.write_bytes(content)
    return exported
