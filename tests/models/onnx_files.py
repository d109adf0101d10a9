"""ONNX models for tests, written from the encoding guide of protocol buffers and the fields of onnx.proto."""


def varint(number):
    out = b""
    while number > 0x7F:
        out += bytes([number & 0x7F | 0x80])
        number >>= 7
    return out + bytes([number])


def field(number, value):
    """One field of a protocol buffer, written from the encoding guide."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value % (1 << 64))
    content = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(content)) + content


def tensor(name, array, kind):
    dims = b"".join(field(1, size) for size in array.shape)
    return dims + field(2, kind) + field(8, name) + field(9, array.tobytes())


def node(operator, inputs, outputs, **attributes):
    named = b"".join(field(5, field(1, key) + field(3, value)) for key, value in attributes.items())
    return (
        b"".join(field(1, name) for name in inputs)
        + b"".join(field(2, o) for o in outputs)
        + field(4, operator)
        + named
    )


def model(tensors, nodes=()):
    graph = b"".join(field(1, one) for one in nodes) + field(2, "graph") + b"".join(field(5, one) for one in tensors)
    return field(1, 10) + field(2, "a test") + field(7, graph) + field(8, field(2, 18))
