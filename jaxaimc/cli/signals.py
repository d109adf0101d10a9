"""How a command ends when it is told to: Ctrl-C, `kill`, a terminal that closes."""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP")
_received: list[int] = []


@contextlib.contextmanager
def watched() -> Iterator[None]:
    """Let the first of these signals raise `KeyboardInterrupt`; a second one ends the process at once.

    What the process was started to ignore, as by `nohup`, stays ignored.
    """
    _received.clear()
    before: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        for number in (getattr(signal, name) for name in _NAMES if hasattr(signal, name)):
            if signal.getsignal(number) is not signal.SIG_IGN:
                before[number] = signal.signal(number, _stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def check() -> None:
    """Raise `KeyboardInterrupt` if a signal was received and its exception was lost.

    Python raises it wherever it happens to be, and callbacks that C++ calls, such as those of JAX, cannot pass it on.
    """
    if _received:
        raise KeyboardInterrupt


def status() -> int | None:
    """Return the exit status that a shell expects of the received signal, None without one."""
    return 128 + _received[0] if _received else None


def _stop(number: int, frame: FrameType | None) -> None:
    if _received:
        os._exit(128 + number)
    _received.append(number)
    raise KeyboardInterrupt
