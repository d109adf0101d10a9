"""The wire format of protocol buffers, as far as reading needs it.

A message is a row of fields, each a number with a type and a value: a variable-length integer, four or eight bytes, or
a length and as many bytes (https://protobuf.dev/programming-guides/encoding). What a field means is not in the file.
"""

from collections.abc import Iterator

Value = int | memoryview


class WireError(ValueError):
    """Bytes that are no protocol buffer."""


def fields(content: memoryview) -> Iterator[tuple[int, Value]]:
    """Yield the fields of a message.

    Args:
        content: The message.

    Yields:
        Number and value of each field: an integer, or the bytes of everything else, which are not copied.

    Raises:
        WireError: If the bytes are no message.

    Example:
        >>> [(number, bytes(value)) for number, value in fields(memoryview(b"\\x12\\x02hi"))]
        [(2, b'hi')]
    """
    place = 0
    while place < len(content):
        tag, place = _varint(content, place)
        kind = tag & 7
        if kind == 0:
            value, place = _varint(content, place)
            yield tag >> 3, value
            continue
        if kind == 2:
            length, place = _varint(content, place)
        elif kind in (1, 5):
            length = 8 if kind == 1 else 4
        else:
            raise WireError(f"a field of the unknown kind {kind} stands at byte {place}")
        if place + length > len(content):
            raise WireError(f"a field of {length} bytes begins {len(content) - place} bytes before the end")
        yield tag >> 3, content[place : place + length]
        place += length


def message(content: Value) -> dict[int, list[Value]]:
    """Return the values of a message's fields by number, in the order of the file.

    Args:
        content: The message.

    Raises:
        WireError: If it is none.
    """
    found: dict[int, list[Value]] = {}
    for number, value in fields(as_bytes(content)):
        found.setdefault(number, []).append(value)
    return found


def as_bytes(value: Value) -> memoryview:
    """Return the value of a field that must be bytes.

    Args:
        value: The value.

    Raises:
        WireError: If it is an integer.
    """
    if isinstance(value, int):
        raise WireError("an integer stands where a message or a text is expected")
    return value


def text(value: Value) -> str:
    """Return the value of a field that must be a text.

    Args:
        value: The value.

    Raises:
        WireError: If it is none.
    """
    try:
        return str(as_bytes(value), "utf-8")
    except UnicodeDecodeError as error:
        raise WireError("a text is not in UTF-8") from error


def integers(values: list[Value]) -> list[int]:
    """Return the signed integers of a repeated field, packed or one by one.

    Args:
        values: All values of the field.

    Raises:
        WireError: If a packed row of them is cut.
    """
    found = []
    for value in values:
        if isinstance(value, int):
            found.append(_signed(value))
            continue
        place = 0
        while place < len(value):
            number, place = _varint(value, place)
            found.append(_signed(number))
    return found


def integer(values: list[Value], default: int = 0) -> int:
    """Return the signed integer of a field that occurs once; the last one counts, as in every protocol buffer.

    Args:
        values: All values of the field.
        default: What an absent field means.

    Raises:
        WireError: If it is no integer.
    """
    found = integers(values)
    return found[-1] if found else default


def _signed(number: int) -> int:
    return number - (1 << 64) if number >> 63 else number


def _varint(content: memoryview, place: int) -> tuple[int, int]:
    """Return the integer at a place and the place behind it: seven bits a byte, the lowest first."""
    number = 0
    for shift in range(0, 70, 7):
        if place >= len(content):
            raise WireError("the last integer is cut")
        byte = content[place]
        place += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number & ((1 << 64) - 1), place
    raise WireError(f"an integer at byte {place} is longer than 64 bits")
