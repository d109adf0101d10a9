"""The values in a pickle, read without unpickling it: nothing that the file names is ever looked up or called.

A pickle is a program for a small stack machine (its instructions: Python's `pickletools`). Unpickling runs it, and two
of its instructions import any function by name and call it. This reader is another machine for the same programs. It
knows the instructions with which PyTorch's checkpoints are made, and of functions it knows five names, which stand for
a dictionary and for tensors; it makes those itself. Whatever else a file asks for is refused by name.
"""

import pickletools
from collections.abc import Callable
from typing import IO, Any, NamedTuple

# Storages by their names in PyTorch, and the NumPy types of what they hold.
DTYPES = {
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "DoubleStorage": "float64",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
}


class Storage(NamedTuple):
    """Numbers in a row, elsewhere in the file.

    Attributes:
        key: Name of the numbers in the file.
        dtype: NumPy name of their type.
        numel: How many there are.
    """

    key: str
    dtype: str
    numel: int


class Tensor(NamedTuple):
    """A tensor as its pickle describes it.

    Attributes:
        storage: Where its numbers are.
        offset: Place of its first number in the storage.
        shape: Its shape.
        strides: Distances between neighbours along each axis, in numbers.
    """

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class PickleError(ValueError):
    """A pickle that is truncated, or that asks for what this reader does not do; a clause that follows the file."""


class _Name(NamedTuple):
    """A name that a pickle wants imported."""

    module: str
    name: str


_MARK = object()
_PLAIN = {
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
}
_CONSTANTS: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_DICT": dict,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
}
_IGNORED = {"PROTO", "FRAME"}


def read_pickle(file: IO[bytes]) -> Any:
    """Read the values of one pickle from a file, which is then behind it.

    Args:
        file: Binary file, at the beginning of a pickle.

    Returns:
        Numbers, texts, lists, tuples and dictionaries, with `Tensor` and `Storage` in the place of PyTorch's.

    Raises:
        PickleError: If it is truncated, no pickle, or asks for anything else.

    Example:
        >>> import io, pickle
        >>> read_pickle(io.BytesIO(pickle.dumps({"epoch": 3, "shape": (2, 5)}, protocol=2)))
        {'epoch': 3, 'shape': (2, 5)}
        >>> read_pickle(io.BytesIO(pickle.dumps(print)))
        Traceback (most recent call last):
            ...
        models.weights.pickle_values.PickleError: names the function 'builtins.print', which no checkpoint needs
    """
    machine = _Machine()
    try:
        for opcode, argument, _ in pickletools.genops(file):
            if opcode.name == "STOP":
                return machine.stack.pop()
            machine.run(opcode.name, argument)
    except PickleError:
        raise
    except (ValueError, IndexError, KeyError, TypeError, OverflowError, MemoryError) as error:
        raise PickleError(f"is truncated or no pickle ({str(error) or type(error).__name__})") from error
    raise PickleError("is truncated: its pickle has no end")


class _Machine:
    """The stack and the memory of a pickle."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memory: dict[int, Any] = {}

    def run(self, name: str, argument: Any) -> None:
        """Follow one instruction."""
        if name in _PLAIN:
            self.stack.append(argument)
        elif name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name]())
        elif name not in _IGNORED:
            instruction = getattr(self, f"_{name.lower()}", None)
            if instruction is None:
                raise PickleError(f"has the pickle instruction {name}, which no checkpoint needs")
            instruction(argument)

    def _since_mark(self) -> list[Any]:
        place = len(self.stack) - 1
        while self.stack[place] is not _MARK:
            place -= 1
            if place < 0:
                raise IndexError("no mark on the stack")
        values = self.stack[place + 1 :]
        del self.stack[place:]
        return values

    def _mark(self, argument: None) -> None:
        self.stack.append(_MARK)

    def _put(self, argument: int) -> None:
        self.memory[argument] = self.stack[-1]

    _binput = _long_binput = _put

    def _memoize(self, argument: None) -> None:
        self.memory[len(self.memory)] = self.stack[-1]

    def _get(self, argument: int) -> None:
        self.stack.append(self.memory[argument])

    _binget = _long_binget = _get

    def _pop(self, argument: None) -> None:
        self.stack.pop()

    def _tuple(self, argument: None) -> None:
        self.stack.append(tuple(self._since_mark()))

    def _tuple1(self, argument: None) -> None:
        self.stack[-1:] = [tuple(self.stack[-1:])]

    def _tuple2(self, argument: None) -> None:
        self.stack[-2:] = [tuple(self.stack[-2:])]

    def _tuple3(self, argument: None) -> None:
        self.stack[-3:] = [tuple(self.stack[-3:])]

    def _append(self, argument: None) -> None:
        value = self.stack.pop()
        _of_type(self.stack[-1], list).append(value)

    def _appends(self, argument: None) -> None:
        values = self._since_mark()
        _of_type(self.stack[-1], list).extend(values)

    def _setitem(self, argument: None) -> None:
        key, value = self.stack[-2:]
        del self.stack[-2:]
        _of_type(self.stack[-1], dict).update(_dictionary([(key, value)]))

    def _setitems(self, argument: None) -> None:
        values = self._since_mark()
        entries = list(zip(values[::2], values[1::2], strict=True))
        _of_type(self.stack[-1], dict).update(_dictionary(entries))

    def _global(self, argument: str) -> None:
        module, _, name = argument.partition(" ")
        self.stack.append(_known(_Name(module, name)))

    def _stack_global(self, argument: None) -> None:
        module, name = (_of_type(value, str) for value in self.stack[-2:])
        self.stack[-2:] = [_known(_Name(module, name))]

    def _reduce(self, argument: None) -> None:
        name, arguments = self.stack[-2:]
        make = _MADE.get(name) if isinstance(name, _Name) else None
        if make is None:
            raise PickleError("calls what is no function of a checkpoint")
        self.stack[-2:] = [make(*_of_type(arguments, tuple))]

    def _build(self, argument: None) -> None:
        # Attributes of a dictionary, such as the version of each module that PyTorch adds to a state: of no use here.
        self.stack.pop()
        _of_type(self.stack[-1], dict)

    def _binpersid(self, argument: None) -> None:
        self.stack[-1] = _storage(*_of_type(self.stack[-1], tuple))


def _of_type(value: Any, kind: type) -> Any:
    if type(value) is not kind:
        raise TypeError(f"a {kind.__name__} is due where a {type(value).__name__} stands")
    return value


def _storage(word: Any, kind: Any, key: Any, place: Any, numel: Any, view: Any = None) -> Any:
    if word != "storage" or not isinstance(kind, _Name) or kind.name not in DTYPES or view is not None:
        raise PickleError("refers to something else than a plain storage of numbers")
    return Storage(_of_type(key, str), DTYPES[kind.name], _count(numel))


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any, *others: Any) -> Tensor:
    sizes, steps = (tuple(map(_count, _of_type(sequence, tuple))) for sequence in (shape, strides))
    if len(sizes) != len(steps):
        raise PickleError(f"has a tensor with {len(sizes)} axes and {len(steps)} strides")
    return Tensor(_of_type(storage, Storage), _count(offset), sizes, steps)


def _parameter(tensor: Any, *others: Any) -> Tensor:
    return _of_type(tensor, Tensor)


def _dictionary(entries: Any = ()) -> dict[Any, Any]:
    # Keys of a plain type only: hashing tuples that are nested a million deep would overflow the interpreter's stack.
    found = {}
    for key, value in entries:
        if key is not None and type(key) not in (str, int, float, bool):
            raise TypeError(f"a dictionary has a {type(key).__name__} as a key")
        found[key] = value
    return found


def _count(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise PickleError("has a tensor with something else than a whole number as a size, a stride or an offset")
    return value


_MADE: dict[_Name, Callable[..., Any]] = {
    _Name("collections", "OrderedDict"): _dictionary,
    _Name("torch._utils", "_rebuild_tensor"): _tensor,
    _Name("torch._utils", "_rebuild_tensor_v2"): _tensor,
    _Name("torch._utils", "_rebuild_parameter"): _parameter,
}
_KNOWN = {*_MADE, *(_Name("torch", name) for name in DTYPES)}


def _known(name: _Name) -> _Name:
    if name not in _KNOWN:
        raise PickleError(f"names the function {f'{name.module}.{name.name}'!r}, which no checkpoint needs")
    return name
