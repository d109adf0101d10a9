"""One program over several processes or hosts: every chunk is computed on the devices of all of them.

JAX calls this multi-controller: all processes run the same program, an array may be spread over the devices of all,
and a computation with such arrays must be started by every process, in the same order. Here process 0 runs the sweep
and sends each call to the others (`processes`), all of them evaluate it over one mesh (`place`, `gathered`), and
process 0 alone writes. https://docs.jax.dev/en/latest/multi_process.html
"""

import atexit
import contextlib
import functools
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Sharding

from jaxaimc.sweeps.engines.calls import Call, cloudpickle

# How long the others are waited for at the end, when one of them may have died [s].
_SHUTDOWN = 30
# Of an error that is told to the other processes [byte].
_MESSAGE = 512


def initialize(
    coordinator: str | None = None, processes: int | None = None, process: int | None = None, *, timeout: float = 120
) -> None:
    """Join the other processes of this program; nothing may have been computed before.

    All three arguments follow from the environment under Slurm (`srun`) and Open MPI, on Cloud TPUs, and where the
    variables JAX_COORDINATOR_ADDRESS, JAX_PROCESS_COUNT and JAX_PROCESS_ID say them.

    Args:
        coordinator: HOST:PORT of process 0; the port must be free there.
        processes: How many there are.
        process: Which of them this is, from 0.
        timeout: How long to wait for the others [s].

    Raises:
        ValueError: If only some of the three are given, or none and the environment does not tell. Where the others do
            not come in time, the process ends in one line with status 2: JAX cannot go on without them.
        RuntimeError: If something was computed before.
    """
    if (coordinator, processes, process) == (None, None, None):
        coordinator, processes, process = _of_environment()
    if (coordinator, processes, process) != (None, None, None):
        _check(coordinator, processes, process)
    # JAX would abort with a dump of its stack.
    where = coordinator or "the coordinator that the environment names"
    watch = threading.Timer(timeout, _end, [where, timeout])
    watch.daemon = True
    watch.start()
    try:
        jax.distributed.initialize(
            coordinator, processes, process,
            initialization_timeout=int(timeout) + 60, shutdown_timeout_seconds=_SHUTDOWN,
        )  # fmt: skip
    except ValueError as error:
        if coordinator is not None:
            raise
        raise ValueError(
            "Nothing here says which processes belong together: start them by srun or mpirun, or set "
            "JAX_COORDINATOR_ADDRESS (HOST:PORT of process 0), JAX_PROCESS_COUNT (how many) and JAX_PROCESS_ID (which, "
            "from 0)."
        ) from error
    finally:
        watch.cancel()


def _of_environment() -> tuple[str | None, int | None, int | None]:
    """Return what three variables say; nothing, where one of them is missing."""
    names = ("JAX_COORDINATOR_ADDRESS", "JAX_PROCESS_COUNT", "JAX_PROCESS_ID")
    coordinator, *numbers = (os.environ.get(name, "") for name in names)
    if not coordinator or not all(numbers):
        return None, None, None
    for name, number in zip(names[1:], numbers, strict=True):
        if not number.isdecimal():
            raise ValueError(f"Variable {name} of the environment must be a whole number, but is {number!r}.")
    return coordinator, int(numbers[0]), int(numbers[1])


def _end(where: str, timeout: float) -> None:
    print(
        f"Error: not all processes of this program met at {where} within {timeout:g} s. Start every process, with the "
        "same coordinator, and see that the others can reach its port.",
        file=sys.stderr,
        flush=True,
    )
    os._exit(2)


def _check(coordinator: str | None, processes: int | None, process: int | None) -> None:
    if coordinator is None or processes is None or process is None:
        raise ValueError(
            "Arguments `coordinator`, `processes` and `process` must be given together or not at all, but are "
            f"{coordinator!r}, {processes!r} and {process!r}."
        )
    host, _, port = coordinator.rpartition(":")
    if not host or not port.isdigit():
        raise ValueError(f"Argument `coordinator` must be HOST:PORT of process 0, but is {coordinator!r}.")
    if processes < 1:
        raise ValueError(f"Argument `processes` must be at least 1, but is {processes}.")
    if not 0 <= process < processes:
        raise ValueError(f"Argument `process` must be from 0 to {processes - 1}, but is {process}.")


@contextlib.contextmanager
def processes() -> Iterator[Executor | None]:
    """Let process 0 compute with all processes.

    Yields:
        In process 0 an executor that has all processes make each call, one call after the other. In the others None,
        once process 0 is done; they must then do nothing more than end.

    Example:
        >>> with processes() as executor:  # a program of one process is led by itself
        ...     if executor is not None:
        ...         print(executor.submit(pow, 2, 5).result())
        32
    """
    if jax.process_index() != 0:
        _follow()
        yield None
        return
    leader = _Leader()
    try:
        yield leader
    finally:
        leader.shutdown(cancel_futures=True)


class _Leader(ThreadPoolExecutor):
    """Makes calls in the order of their submission, each of them in all processes."""

    def __init__(self) -> None:
        super().__init__(max_workers=1, thread_name_prefix="sweep")
        self._ended = False

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Have a function called with these arguments in every process."""
        return super().submit(self._lead, Call.of(fn), args, kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Finish what was begun, then let the other processes end."""
        # The others are waiting for the next call, so that even an interruption waits for the one being made.
        super().shutdown(wait=True, cancel_futures=cancel_futures)
        if not self._ended:
            self._ended = True
            with contextlib.suppress(ConnectionError):
                _broadcast(b"")

    @staticmethod
    def _lead(call: Call, args: tuple, kwargs: dict[str, Any]) -> Any:
        if jax.process_count() > 1:
            _broadcast(cloudpickle().dumps((call, args, kwargs)))
        return call(*args, **kwargs)


def _follow() -> None:
    """Make the calls that process 0 sends until it sends none."""
    # Ctrl-C reaches all processes of a terminal or an srun: process 0 then ends the others in good order.
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    while payload := _broadcast(None):
        call, args, kwargs = cloudpickle().loads(payload)
        # What is wrong with a call is wrong in every process, or is told to process 0, which says it.
        with contextlib.suppress(Exception), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            call(*args, **kwargs)


def _broadcast(payload: bytes | None) -> bytes:
    """Send bytes from process 0 to all; they pass None."""
    if jax.process_count() == 1:
        return payload or b""
    with _collective():
        size = int(multihost_utils.broadcast_one_to_all(np.int32(len(payload or b""))))
        if not size:
            return b""
        # A power of two, so that few sizes are compiled.
        buffer = np.zeros(1 << (size - 1).bit_length(), np.uint8)
        if payload is not None:
            buffer[:size] = np.frombuffer(payload, np.uint8)
        return np.asarray(multihost_utils.broadcast_one_to_all(buffer))[:size].tobytes()


@contextlib.contextmanager
def _collective() -> Iterator[None]:
    """Say what it means when processes cannot talk to each other."""
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        _end_without_the_others()
        first = str(error).partition("\n")[0]
        raise ConnectionError(
            f"Another process of this program was lost: start all of them again, the sweep goes on. ({first})"
        ) from error


@functools.cache
def _end_without_the_others() -> None:
    # At exit JAX waits for the process that was lost, and then aborts. What is registered last runs first.
    atexit.register(_leave)


def _leave() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(2)


def place(values: np.ndarray, sharding: Sharding) -> jax.Array:
    """Put an array that every process holds on the devices of all.

    Args:
        values: The whole array, the same in all processes.
        sharding: Of a mesh that may span several processes.

    Returns:
        Array of which each process has stored its own part.
    """
    values = np.asarray(values, jax.dtypes.canonicalize_dtype(np.asarray(values).dtype))
    return jax.make_array_from_callback(values.shape, sharding, lambda index: values[index])


def gathered(call: Callable[[], Any]) -> Any:
    """Make a computation over the devices of all processes and return its whole outputs in each.

    Args:
        call: Returns a pytree of arrays, sharded or not; must not communicate between processes.

    Returns:
        The pytree with NumPy arrays.

    Raises:
        RuntimeError: If the call failed in another process; where it failed itself, its own error is raised.
    """
    if jax.process_count() == 1:
        return jax.tree.map(np.asarray, call())
    outputs = failure = None
    try:
        outputs = jax.block_until_ready(call())
    except Exception as error:
        failure = error
    # A process that lacks memory, say, would leave the others waiting for its part.
    message = np.zeros(_MESSAGE, np.uint8)
    if failure is not None:
        text = f"{type(failure).__name__}: {failure}".encode()[:_MESSAGE]
        message[: len(text)] = np.frombuffer(text, np.uint8)
    with _collective():
        messages = np.asarray(multihost_utils.process_allgather(message)).reshape(-1, _MESSAGE)
    if failure is not None:
        raise failure
    for process, other in enumerate(messages):
        if other.any():
            said = other.tobytes().rstrip(b"\0").decode(errors="replace").partition("\n")[0]
            raise RuntimeError(f"Process {process} could not compute its part: {said}")
    with _collective():
        return multihost_utils.process_allgather(outputs, tiled=True)
