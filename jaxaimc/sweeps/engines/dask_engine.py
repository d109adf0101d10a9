"""Sweeps on a Dask cluster, https://distributed.dask.org: its scheduler reruns the chunks of workers that are lost."""

import contextlib
import logging
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from typing import TYPE_CHECKING, Any

from jaxaimc.sweeps.engines.calls import (
    PACKAGES,
    Call,
    Engine,
    Outcome,
    adopt_flags,
    check_versions,
    missing_extra,
    versions,
    xla_flags,
)

if TYPE_CHECKING:
    from distributed import Client

_PROTOCOLS = ("dask", "tcp", "tls", "ucx", "ucxx", "ws", "wss")


@contextlib.contextmanager
def dask(
    address: str | None = None, *, processes: int | None = None, retries: int = 0, timeout: float = 30
) -> Iterator[Executor]:
    """Compute on the workers of a Dask cluster, or on processes of this machine.

    A worker that dies takes no results with it: Dask has another one compute its chunks. When an error or Ctrl-C ends
    the context, the chunks that wait are cancelled, and with processes of this machine also those that run.

    Args:
        address: The scheduler, dask://HOST:PORT or tcp://HOST:PORT; None for a cluster on this machine, which ends with
            the context.
        processes: How many processes on this machine, of one thread each; as many as cores by default.
        retries: How often a chunk is computed again that raised an error, as from a file system that is out of reach.
        timeout: How long to wait for the scheduler [s].

    Yields:
        The executor.

    Raises:
        ConnectionError: If no scheduler answers.
        ValueError: If an argument is out of range, or a worker has other versions of the library or of JAX.
        ImportError: If Dask is not installed.

    Warns:
        UserWarning: If the scheduler has no workers yet, or they compile with other flags of XLA.

    Example:
        >>> with dask(processes=2) as executor:  # doctest: +SKIP
        ...     table = run(plan, measure, "sweep", executor=executor)
    """
    if address is not None and processes is not None:
        raise ValueError("Argument `processes` is for a cluster on this machine, but `address` is given too.")
    if processes is not None and processes < 1:
        raise ValueError(f"Argument `processes` must be at least 1, but is {processes}.")
    if retries < 0:
        raise ValueError(f"Argument `retries` must be at least 0, but is {retries}.")
    where = None if address is None else _tcp(address)
    try:
        from distributed import Client
    except ImportError as error:
        raise missing_extra("distributed", error) from None
    with contextlib.ExitStack() as stack:
        if where is None:
            cluster = stack.enter_context(_local(processes))
            client = stack.enter_context(Client(cluster, set_as_default=False))
        else:
            client = stack.enter_context(_connect(where, timeout))
            _look_at_workers(client, where)
        executor = _DaskExecutor(client, where or "this machine", retries)
        with executor.ended():
            yield executor


def _tcp(address: str) -> str:
    """Return an address as Dask writes it."""
    protocol, _, rest = address.partition("://")
    host, _, port = rest.rpartition(":")
    if protocol not in _PROTOCOLS or not host or not port.isdigit():
        raise ValueError(f"Argument `address` must be dask://HOST:PORT or tcp://HOST:PORT, but is {address!r}.")
    return f"tcp://{rest}" if protocol == "dask" else address


def _local(processes: int | None) -> Any:
    """Start a cluster on this machine."""
    from dask.system import CPU_COUNT
    from distributed import LocalCluster

    count = processes or CPU_COUNT
    # Every process would start as many threads as there are cores; XLA's CPU client reads this variable.
    # Workers are spawned, not forked: JAX has threads. Errors come back as exceptions, so they are not printed too.
    options: dict[str, Any] = {
        "env": {"PJRT_NPROC": str(max(1, CPU_COUNT // count))},
        "dashboard_address": ":0",
        "silence_logs": logging.CRITICAL,
    }
    return LocalCluster(n_workers=count, threads_per_worker=1, processes=True, **options)


def _connect(address: str, timeout: float) -> "Client":
    from distributed import Client

    try:
        return Client(address, timeout=timeout, set_as_default=False)
    except OSError as error:  # asyncio's and Dask's time-outs are among them
        port = address.rpartition(":")[2]
        raise ConnectionError(
            f"No Dask scheduler answers at {address} within {timeout:g} s: start one by `dask scheduler --port {port}` "
            f"and workers by `dask worker {address} --nthreads 1`, or correct the address."
        ) from error


def _look_at_workers(client: "Client", address: str) -> None:
    """Refuse workers of other versions; those that join later are looked at when they are called."""
    answers: Any = client.get_versions(packages=list(PACKAGES))
    found = answers["workers"]
    if not found:
        warnings.warn(
            f"The Dask scheduler at {address} has no workers yet; the sweep begins when some join "
            f"(`dask worker {address} --nthreads 1`).",
            stacklevel=4,
        )
    check_versions({worker: each["packages"] for worker, each in found.items()}, versions())
    alike: Any = client.run(adopt_flags, xla_flags())
    if others := [worker for worker, same in alike.items() if not same]:
        warnings.warn(
            f"Worker {others[0]} compiles with other XLA_FLAGS than this process ({len(others)} of {len(alike)} do): "
            "last digits of results may differ. Start workers with the same flags, or anew.",
            stacklevel=4,
        )


class _DaskExecutor(Engine):
    """Dask's own executor, whose errors become sentences."""

    def __init__(self, client: "Client", address: str, retries: int) -> None:
        super().__init__()
        self._address = address
        # Not pure: two calls with equal arguments are two calls. Retries are for errors, lost workers count apart.
        self._inner = client.get_executor(pure=False, retries=retries)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Outcome:
        """Have a worker call a function."""
        outcome = self._new_outcome()
        # Dask reads keywords such as `workers` and `key` as its own.
        inner = self._inner.submit(_with_keywords, Call.of(fn), args, kwargs)
        outcome.add_done_callback(lambda done: inner.cancel() if done.cancelled() else None)
        inner.add_done_callback(lambda done: self._settle(outcome, done))
        return outcome

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Wait for what was submitted, or cancel it."""
        if cancel_futures:
            for outcome in list(self._outcomes):
                outcome.cancel()
        self._inner.shutdown(wait=wait)

    def _settle(self, outcome: Outcome, inner: Future) -> None:
        from distributed.scheduler import KilledWorker

        if inner.cancelled():
            # Nobody asked for it, or the outcome would be cancelled too.
            outcome.settle(error=ConnectionError(f"The Dask scheduler at {self._address} was lost."))
            return
        error = inner.exception()
        if error is None:
            outcome.settle(inner.result())
        elif isinstance(error, KilledWorker):
            died, last = error.allowed_failures + 1, error.last_worker.address
            outcome.settle(
                error=ChildProcessError(
                    f"Dask gives a chunk up: {died} of its workers died while they computed it, the last at {last}. "
                    "Mostly they lack memory, which smaller chunks or fewer workers on a machine help."
                )
            )
        else:
            outcome.settle(error=error)


def _with_keywords(call: Call, args: tuple, kwargs: dict[str, Any]) -> Any:
    return call(*args, **kwargs)
