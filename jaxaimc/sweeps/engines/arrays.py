"""An executor whose calls become arrays of jobs, and what runs in such a job."""

import contextlib
import functools
import itertools
import os
import pickle
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from jaxaimc._core.files import replacing
from jaxaimc.sweeps.engines.calls import Call, Engine, Outcome, cloudpickle

if TYPE_CHECKING:
    import submitit

# Calls that come within this time of each other go into one array [s].
_TOGETHER = 0.5
# How long a result may take to show on another machine's view of a shared file system [s].
LATE = 30.0


class _Request(NamedTuple):
    call: Call
    args: tuple
    kwargs: dict[str, Any]
    outcome: Outcome


@dataclass(frozen=True)
class Job:
    """Several calls, made one after the other in a process of their own; each result is a file as soon as it is there.

    Args:
        results: Files of the results, one a call.
        payload: The calls, pickled.
        environment: Variables to set before anything of JAX is loaded.
    """

    results: Sequence[Path]
    payload: bytes = field(repr=False)
    environment: Mapping[str, str]

    def __call__(self) -> None:
        """Make the calls whose results are not there yet, which a job that was begun before has left."""
        os.environ.update(self.environment)
        calls = pickle.loads(self.payload)
        for path, (call, args, kwargs) in zip(self.results, calls, strict=True):
            if not path.exists():
                found = outcome(call, args, kwargs)
                with replacing(path) as temporary:
                    temporary.write_bytes(cloudpickle().dumps(found))

    def checkpoint(self) -> Any:
        """Return what submitit queues when the job is preempted or its time is over: the same, which then goes on."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


def outcome(call: Call, args: tuple, kwargs: dict[str, Any]) -> tuple[Any, Exception | None]:
    """Make a call and return its value and None, or None and its error."""
    from submitit.core.utils import UncompletedJobError

    try:
        return call(*args, **kwargs), None
    except UncompletedJobError:  # raised in the middle of a call when the job must end
        raise
    except Exception as error:
        try:
            pickle.loads(pickle.dumps(error))
        except Exception:
            return None, RuntimeError(f"{type(error).__name__}: {error}")
        return None, error


class InProcess(Engine):
    """Makes each call at once in this process through submitit's debug executor, so that a debugger can follow."""

    def __init__(self, submitter: "Callable[[], submitit.Executor]") -> None:
        super().__init__()
        self._make = submitter

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Outcome:
        """Call a function."""
        future = self._new_outcome()
        future.settle(*self._submitter.submit(outcome, Call.of(fn), args, kwargs).result())
        return future

    @functools.cached_property
    def _submitter(self) -> "submitit.Executor":
        return self._make()


@dataclass(eq=False)
class _Running:
    """A job that was submitted, and the calls whose results are still awaited."""

    job: "submitit.Job"
    awaited: dict[Path, Outcome]
    results: Sequence[Path]
    ended: float | None = None


class ArrayExecutor(Engine):
    """Divides calls that are submitted together into an array of jobs.

    Args:
        submitter: Makes submitit's executor, which makes its folder.
        folder: Where jobs write their results.
        jobs: Into how many jobs an array is divided at most.
        at_once: How many jobs may be submitted and not done; None where the cluster sees to that itself.
        pause: Between two looks at the results [s].
        environment: Variables of the jobs.
    """

    def __init__(
        self,
        submitter: "Callable[[], submitit.Executor]",
        folder: Path,
        jobs: int,
        *,
        at_once: int | None,
        pause: float,
        environment: Mapping[str, str],
    ) -> None:
        super().__init__()
        self._make = submitter
        self._results = folder / "results"
        self._jobs, self._at_once, self._pause, self._environment = jobs, at_once, pause, environment
        self._lock = threading.Condition()
        self._requests: list[_Request] = []
        self._last = 0.0
        self._queue: list[list[_Request]] = []
        self._running: list[_Running] = []
        self._closed = self._given_up = False
        self._thread: threading.Thread | None = None

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Outcome:
        """Have a function called in a job."""
        with self._lock:
            if self._closed:
                raise RuntimeError("This executor was shut down and takes no more calls.")
            request = _Request(Call.of(fn), args, kwargs, self._new_outcome())
            self._requests.append(request)
            self._last = time.monotonic()
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="jobs", daemon=True)
                self._thread.start()
        return request.outcome

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls; wait for those that were submitted, or cancel them and their jobs."""
        with self._lock:
            self._closed = True
            self._given_up |= cancel_futures
            self._lock.notify()
        # Cancelling takes a moment only, and must be done before this process may end.
        if self._thread is not None and (wait or cancel_futures):
            self._thread.join()

    def _work(self) -> None:
        """Serve the calls in a thread of its own; what ends it early, such as a folder that is gone, ends them too."""
        try:
            self._serve()
        except Exception as error:
            with self._lock:
                self._closed = True
            for future in list(self._outcomes):
                future.settle(error=error)

    def _serve(self) -> None:
        """Submit, look and cancel until all is done."""
        while True:
            with self._lock:
                idle = not (self._requests or self._queue or self._running)
                if self._closed and (idle or self._given_up):
                    break
                self._lock.wait(None if idle and not self._closed and not self._last else self._pause)
                together = self._closed or time.monotonic() - self._last > _TOGETHER
                requests = self._requests if together else []
                if requests:
                    self._requests = []
            self._divide(requests)
            self._submit()
            self._look()
        for request in [*self._requests, *(each for share in self._queue for each in share)]:
            request.outcome.cancel()
        for running in self._running:
            for future in running.awaited.values():
                future.cancel()
            self._cancel(running)

    def _divide(self, requests: Sequence[_Request]) -> None:
        """Give each job neighbouring calls, which mostly need the same compiled function."""
        wanted = [request for request in requests if not request.outcome.cancelled()]
        count = min(self._jobs, len(wanted))
        bounds = [len(wanted) * number // count for number in range(count + 1)] if count else []
        self._queue += [wanted[low:high] for low, high in itertools.pairwise(bounds)]

    def _submit(self) -> None:
        most = len(self._queue) if self._at_once is None else max(0, self._at_once - len(self._running))
        shares, self._queue = self._queue[:most], self._queue[most:]
        if not shares:
            return
        name = uuid.uuid4().hex
        numbered = [
            {self._results / f"{name}-{job}-{number}.pkl": request for number, request in enumerate(share)}
            for job, share in enumerate(shares)
        ]
        try:
            self._results.mkdir(parents=True, exist_ok=True)
            with self._submitter.batch():
                submitted = [
                    self._submitter.submit(
                        Job(
                            list(files),
                            cloudpickle().dumps([(each.call, each.args, each.kwargs) for each in files.values()]),
                            self._environment,
                        )
                    )
                    for files in numbered
                ]
        except Exception as error:
            refusal = OSError(f"The jobs could not be submitted: {str(error).strip() or type(error).__name__}")
            for request in (request for files in numbered for request in files.values()):
                request.outcome.settle(error=refusal)
            return
        for job, files in zip(submitted, numbered, strict=True):
            awaited = {path: request.outcome for path, request in files.items()}
            self._running.append(_Running(job, awaited, list(files)))

    @functools.cached_property
    def _submitter(self) -> "submitit.Executor":
        return self._make()

    def _look(self) -> None:
        """Pass results on; end what is done or no longer wanted."""
        if not self._running:
            return
        with contextlib.suppress(OSError):  # so that network file systems list the folder anew, as submitit does
            self._results.chmod(self._results.stat().st_mode)
        there = set(os.listdir(self._results))
        for running in list(self._running):
            for path in [path for path in running.awaited if path.name in there]:
                _settle(running.awaited.pop(path), path)
            if all(future.cancelled() for future in running.awaited.values()) and running.awaited:
                self._cancel(running)
                running.awaited.clear()
            if running.awaited and self._is_lost(running):
                for future in running.awaited.values():
                    future.settle(error=_loss(running.job))
                running.awaited.clear()
            if not running.awaited:
                self._running.remove(running)
                for path in running.results:
                    path.unlink(missing_ok=True)

    def _is_lost(self, running: _Running) -> bool:
        """Whether a job ended without all of its results, which may be late."""
        if running.ended is None:
            if not running.job.done():
                return False
            running.ended = time.monotonic()
        return time.monotonic() - running.ended > (LATE if self._at_once is None else 2 * self._pause)

    @staticmethod
    def _cancel(running: _Running) -> None:
        with contextlib.suppress(Exception):  # a job that has just ended
            running.job.cancel(check=False)


def _settle(future: Outcome, path: Path) -> None:
    try:
        future.settle(*pickle.loads(path.read_bytes()))
    except Exception as error:
        future.settle(error=OSError(f"The result {path} cannot be read: {error}"))


def _loss(job: "submitit.Job") -> ChildProcessError:
    last = (job.stderr() or "").strip().rpartition("\n")[2]
    return ChildProcessError(
        f"Job {job.job_id} ended (state {job.state}) before this chunk was done; its log is {job.paths.stderr}"
        + (f" and ends with: {last}" if last else ".")
    )
