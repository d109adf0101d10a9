"""One program over several processes or hosts: every chunk is computed on the devices of all of them.

JAX calls this multi-controller: all processes run the same program, an array may be spread over the devices of all,
and a computation with such arrays must be started by every process, in the same order. Here process 0 runs the sweep
and sends each call to the others (`processes`), all of them evaluate it over one mesh (`place`, `gathered`), and
process 0 alone writes. https://docs.jax.dev/en/latest/multi_process.html
"""

import contextlib
import signal
import threading
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


def initialize(
    coordinator: str | None = None, processes: int | None = None, process: int | None = None, *, timeout: float = 120
) -> None:
    """Join the other processes of this program; nothing may have been computed before.

    Under Slurm (`srun`), Open MPI and on Cloud TPUs all three arguments follow from the environment.

    Args:
        coordinator: HOST:PORT of process 0, a port of which is free.
        processes: How many there are.
        process: Which of them this is, from 0.
        timeout: How long to wait for the others [s].

    Raises:
        ValueError: If only some of the three are given, or none and the environment does not tell.
        ConnectionError: If not all processes have come in time.
    """
    given = (coordinator, processes, process)
    if any(value is not None for value in given):
        _check(*given)
    try:
        jax.distributed.initialize(
            coordinator, processes, process,
            initialization_timeout=int(timeout), shutdown_timeout_seconds=_SHUTDOWN,
        )  # fmt: skip
    except ValueError as error:
        if coordinator is not None:
            raise
        raise ValueError(
            "Nothing here says which processes belong together: start them by srun or mpirun, or give coordinator "
            "(HOST:PORT of process 0), processes (how many) and process (which, from 0)."
        ) from error
    except jax.errors.JaxRuntimeError as error:
        first = str(error).partition("\n")[0]
        where = coordinator or "the coordinator that the environment names"
        raise ConnectionError(
            f"Not all processes of this program met at {where} within {timeout:g} s: start every process, with the "
            f"same coordinator, and see that its port can be reached. ({first})"
        ) from error


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
        # What is wrong with a call is wrong in every process, and process 0 says it.
        with contextlib.suppress(Exception):
            call(*args, **kwargs)


def _broadcast(payload: bytes | None) -> bytes:
    """Send bytes from process 0 to all; they pass None."""
    if jax.process_count() == 1:
        return payload or b""
    size = int(multihost_utils.broadcast_one_to_all(np.int32(len(payload or b""))))
    if not size:
        return b""
    # A power of two, so that few sizes are compiled.
    buffer = np.zeros(1 << (size - 1).bit_length(), np.uint8)
    if payload is not None:
        buffer[:size] = np.frombuffer(payload, np.uint8)
    return np.asarray(multihost_utils.broadcast_one_to_all(buffer))[:size].tobytes()


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
    # A process that lacks memory would leave the others waiting for its part.
    failed = np.flatnonzero(multihost_utils.process_allgather(np.array(failure is not None)))
    if failure is not None:
        raise failure
    if failed.size:
        raise RuntimeError(f"Process {failed[0]} could not compute its part: its own output says why.")
    return multihost_utils.process_allgather(outputs, tiled=True)
