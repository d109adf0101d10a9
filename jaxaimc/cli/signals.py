"""How a command ends when it is told to: Ctrl-C, `kill`, a terminal that closes."""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP")
_received: list[int] = []
_gentle: list[bool] = []
_finished: list[int] = []


@contextlib.contextmanager
def watched() -> Iterator[None]:
    """Let any of these signals end the process in one line, with the status that a shell expects.

    At once, without an exception: modules that are being imported print or swallow those. What the process was started
    to ignore, as by `nohup`, stays ignored.
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
        if not _finished:
            for number, handler in before.items():
                signal.signal(number, handler)


@contextlib.contextmanager
def gently() -> Iterator[None]:
    """Let the first signal raise `KeyboardInterrupt` instead, for what has results of which to say what is kept."""
    _gentle.append(True)
    try:
        yield
    finally:
        _gentle.pop()


def finish(code: str | int | None) -> None:
    """Say that the command is done and the process about to end, so that a signal only makes it end sooner.

    The exit hooks of modules would print what is raised in them, beneath a message that is already complete.

    Args:
        code: What the process is going to exit with, as `SystemExit` takes it.
    """
    with contextlib.suppress(OSError, ValueError):  # closed by whoever read it
        sys.stdout.flush()
    _finished.append(code if isinstance(code, int) else int(code is not None))


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
    if _finished:
        os._exit(_finished[0])
    if _gentle and not _received:
        _received.append(number)
        raise KeyboardInterrupt
    if not _received:
        with contextlib.suppress(OSError):  # a closed terminal
            os.write(2, b"Interrupted.\n")
    os._exit(128 + number)
