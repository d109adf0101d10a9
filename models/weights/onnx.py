"""Weights in ONNX models (https://onnx.ai/onnx/repo-docs/IR.html): the initialisers; the graph is not run.

Two things are read from the graph besides, because the weights mean nothing without them:

- Weights that are stored as whole numbers with scales come back as the floating-point numbers that the graph makes of
  them, under the name that they have there: by a `DequantizeLinear` node, `(q - zero) scale`, or by a `Cast` followed
  by a `Mul` with the scales.
- Exporters give the matrix of a linear layer a number for a name (`val_49`, `onnx::MatMul_612`). The bias that is added
  to its product keeps its own: beside `layer.query.bias` such a matrix is `layer.query.kernel`, of shape `[in, out]`.
"""

import math
from pathlib import Path
from typing import NamedTuple

import ml_dtypes
import numpy as np

from . import protobuf
from .protobuf import Value, WireError

# Numbers of the fields and types that are used here, from onnx.proto.
_GRAPH = 7
_NODE, _INITIALIZER = 1, 5
_INPUT, _OUTPUT, _OPERATOR, _ATTRIBUTE = 1, 2, 4, 5
_ATTRIBUTE_NAME, _ATTRIBUTE_INTEGER = 1, 3
_DIMS, _TYPE, _FLOATS, _INT32S, _INT64S, _NAME, _RAW, _DOUBLES, _UINT64S, _LOCATION = 1, 2, 4, 5, 7, 8, 9, 10, 11, 14
_TYPES = {
    1: np.float32,
    2: np.uint8,
    3: np.int8,
    4: np.uint16,
    5: np.int16,
    6: np.int32,
    7: np.int64,
    9: np.bool_,
    10: np.float16,
    11: np.float64,
    12: np.uint32,
    13: np.uint64,
    16: ml_dtypes.bfloat16,
}


class Node(NamedTuple):
    """An operation of the graph.

    Attributes:
        operator: Its type, such as `"MatMul"`.
        inputs: Names of what it takes.
        outputs: Names of what it returns.
        attributes: Its whole-number attributes by name.
    """

    operator: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, int]


def read(path: Path) -> dict[str, np.ndarray]:
    """Read the initialisers.

    Args:
        path: The file.

    Returns:
        Arrays by name, in the order in which they lie in the file, named and scaled as said above.

    Raises:
        ValueError: If the file is truncated or no ONNX model, or its weights lie in another file or are of a type that
            NumPy lacks.
    """
    try:
        graphs = protobuf.message(memoryview(path.read_bytes())).get(_GRAPH, [])
        if len(graphs) != 1:
            raise WireError(f"it has {len(graphs)} graphs instead of one")
        graph = protobuf.message(graphs[0])
        tensors = dict(_tensor(value) for value in graph.get(_INITIALIZER, []))
        nodes = [node for value in graph.get(_NODE, []) if (node := _node(value)).inputs and node.outputs]
        return _named(_scaled(tensors, nodes), nodes)
    except WireError as error:
        raise ValueError(
            f"Weights file {str(path)!r} is truncated or no ONNX model whose weights can be read "
            f"({path.stat().st_size} bytes): {error}."
        ) from error


def _tensor(content: Value) -> tuple[str, np.ndarray]:
    parts = protobuf.message(content)
    name = protobuf.text(parts[_NAME][0]) if _NAME in parts else ""
    kind = protobuf.integer(parts.get(_TYPE, []))
    if kind not in _TYPES:
        raise WireError(f"tensor {name!r} is of the type number {kind}, which is none of {', '.join(map(str, _TYPES))}")
    if protobuf.integer(parts.get(_LOCATION, [])):
        raise WireError(f"tensor {name!r} lies in another file")
    shape = protobuf.integers(parts.get(_DIMS, []))
    array = _numbers(name, _TYPES[kind], parts)
    if any(size < 0 for size in shape) or array.size != math.prod(shape):
        raise WireError(f"tensor {name!r} has {array.size} numbers for the shape {tuple(shape)}")
    return name, array.reshape(shape)


def _numbers(name: str, kind: type, parts: dict[int, list[Value]]) -> np.ndarray:
    """Return the numbers of a tensor, which stand in one of six fields."""
    try:
        if _RAW in parts:
            return np.frombuffer(protobuf.as_bytes(parts[_RAW][0]), np.dtype(kind).newbyteorder("<"))
        for field, stored in ((_FLOATS, "<f4"), (_DOUBLES, "<f8")):
            if field in parts:
                content = b"".join(bytes(protobuf.as_bytes(value)) for value in parts[field])
                return np.frombuffer(content, stored).astype(kind)
        whole = protobuf.integers(next((parts[field] for field in (_INT32S, _INT64S) if field in parts), []))
        if _UINT64S in parts:
            whole = [number % (1 << 64) for number in protobuf.integers(parts[_UINT64S])]
        if kind in (np.float16, ml_dtypes.bfloat16):  # their bits
            return np.array(whole, np.uint16).view(kind)
        return np.array(whole, kind)
    except (ValueError, OverflowError, TypeError) as error:
        raise WireError(f"the numbers of tensor {name!r} are damaged ({error})") from error


def _node(content: Value) -> Node:
    parts = protobuf.message(content)
    attributes = {}
    for value in parts.get(_ATTRIBUTE, []):
        attribute = protobuf.message(value)
        if _ATTRIBUTE_NAME in attribute and _ATTRIBUTE_INTEGER in attribute:
            name = protobuf.text(attribute[_ATTRIBUTE_NAME][0])
            attributes[name] = protobuf.integer(attribute[_ATTRIBUTE_INTEGER])
    inputs, outputs = ([protobuf.text(value) for value in parts.get(field, [])] for field in (_INPUT, _OUTPUT))
    return Node(protobuf.text(parts.get(_OPERATOR, [memoryview(b"")])[0]), inputs, outputs, attributes)


def _scaled(tensors: dict[str, np.ndarray], nodes: list[Node]) -> dict[str, np.ndarray]:
    """Return the tensors with the products of whole numbers and their scales in the place of both."""
    cast: dict[str, str] = {}
    made: dict[str, tuple[str, np.ndarray]] = {}  # by the whole numbers' name: the name in the graph, and the weights
    used: set[str] = set()
    for node in nodes:
        if node.operator == "Cast" and _is_quantised(tensors.get(node.inputs[0])):
            cast[node.outputs[0]] = node.inputs[0]
        elif node.operator == "Mul" and len(node.inputs) == 2:
            whole = next((cast[name] for name in node.inputs if name in cast), None)
            scale = next((tensors[name] for name in node.inputs if name in tensors), None)
            if whole is not None and scale is not None:
                made[whole] = node.outputs[0], _product(node, tensors[whole], scale)
                used.update(name for name in node.inputs if name in tensors)
        elif node.operator == "DequantizeLinear" and all(name in tensors for name in node.inputs if name):
            made[node.inputs[0]] = node.outputs[0], _dequantised(node, [tensors.get(name) for name in node.inputs])
            used.update(node.inputs[1:])
    kept = {name: array for name, array in tensors.items() if name not in used}
    return dict(made.get(name, (name, array)) for name, array in kept.items())


def _is_quantised(tensor: np.ndarray | None) -> bool:
    return tensor is not None and tensor.dtype in (np.int8, np.uint8)


def _product(node: Node, whole: np.ndarray, scale: np.ndarray) -> np.ndarray:
    try:
        return whole.astype(scale.dtype) * scale
    except ValueError as error:
        raise WireError(f"the scales of {node.outputs[0]!r} do not fit its numbers ({error})") from error


def _dequantised(node: Node, inputs: list[np.ndarray | None]) -> np.ndarray:
    whole, scale, zero = (*inputs, None, None, None)[:3]
    if whole is None or scale is None:
        raise WireError(f"{node.outputs[0]!r} is made without scales")
    if node.attributes.get("block_size", 0):
        raise WireError(f"{node.outputs[0]!r} has a scale for each block of numbers, which is not read")
    shifted = whole.astype(np.int32) - (0 if zero is None else _along(node, zero.astype(np.int32), whole))
    return _product(node, shifted, _along(node, scale, whole))


def _along(node: Node, values: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Return one value for each index of an axis in a shape that multiplies the tensor; a single value as it is."""
    axis = node.attributes.get("axis", 1)
    if values.size == 1:
        return values.reshape(())
    if values.ndim != 1 or not -whole.ndim <= axis < whole.ndim or values.size != whole.shape[axis]:
        raise WireError(f"{node.outputs[0]!r} has scales of shape {values.shape} for numbers of shape {whole.shape}")
    return values.reshape([-1 if one == axis % whole.ndim else 1 for one in range(whole.ndim)])


def _named(tensors: dict[str, np.ndarray], nodes: list[Node]) -> dict[str, np.ndarray]:
    """Return the tensors with the matrices of linear layers named by the biases that are added to their products."""
    products = {
        node.outputs[0]: node.inputs[1]
        for node in nodes
        if node.operator == "MatMul" and node.inputs[1:] and node.inputs[1] in tensors and "." not in node.inputs[1]
    }
    names: dict[str, str] = {}
    for node in nodes:
        if node.operator == "Add":
            matrix = next((products[name] for name in node.inputs if name in products), None)
            bias = next((name for name in node.inputs if name in tensors and name.endswith(".bias")), None)
            if matrix is not None and bias is not None:
                names.setdefault(matrix, f"{bias.removesuffix('.bias')}.kernel")
    return {names.get(name, name): array for name, array in tensors.items()}
