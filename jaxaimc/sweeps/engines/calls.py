"""What a call takes along to another process, and how its outcome comes back."""

import contextlib
import functools
import importlib.metadata
import os
import socket
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, Future, InvalidStateError
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import jax

# Packages in which two machines must agree for their numbers to be the same.
PACKAGES = ("jaxaimc", "jax", "jaxlib")
# Settings of JAX that numbers follow from; what sets each for the time of a call.
_SETTINGS: dict[str, Callable[[Any], contextlib.AbstractContextManager]] = {
    "jax_enable_x64": jax.enable_x64,
    "jax_default_prng_impl": jax.default_prng_impl,
    "jax_threefry_partitionable": jax.threefry_partitionable,
    "jax_default_matmul_precision": jax.default_matmul_precision,
}


@dataclass(frozen=True)
class Call:
    """A function that computes anywhere as it would in the process that made it.

    Args:
        function: What is called.
        settings: JAX's settings in the process that asks.
        versions: Its packages.
        flags: How XLA compiles there.
    """

    function: Callable[..., Any]
    settings: Mapping[str, Any]
    versions: Mapping[str, str | None]
    flags: str

    @classmethod
    def of(cls, function: Callable[..., Any]) -> "Call":
        """Take this process's settings, versions and flags along."""
        settings = {name: getattr(jax.config, name) for name in _SETTINGS}
        return cls(function, settings, versions(), xla_flags())

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function.

        Raises:
            ValueError: If this process has other versions.
        """
        check_versions({socket.gethostname(): versions()}, self.versions)
        adopt_flags(self.flags)
        with contextlib.ExitStack() as stack:
            for name, value in self.settings.items():
                stack.enter_context(_SETTINGS[name](value))
            return self.function(*args, **kwargs)


@functools.cache
def versions() -> dict[str, str | None]:
    """Return the versions of the packages that results follow from; None where one is not installed."""

    def version(name: str) -> str | None:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            return importlib.metadata.version(name)
        return None

    return {name: version(name) for name in PACKAGES}


def check_versions(found: Mapping[str, Mapping[str, str | None]], own: Mapping[str, str | None]) -> None:
    """Refuse machines whose results would differ.

    Args:
        found: Versions of each worker, by its address.
        own: Versions of the process that asks.

    Raises:
        ValueError: If they differ.
    """
    for worker, there in found.items():
        for name, version in own.items():
            if there.get(name) != version:
                raise ValueError(
                    f"Worker {worker} has {name} {there.get(name) or '(not installed)'}, but this sweep was started "
                    f"with {version}: install the same versions on all machines, since results follow from them."
                )


def xla_flags() -> str:
    """Return XLA's flags in this process; what it compiles, down to the last bit of results, follows from them."""
    return " ".join(sorted(os.environ.get("XLA_FLAGS", "").split()))


# Whether flags can no longer be set: XLA reads them once.
_begun: set[str] = set()


def adopt_flags(flags: str) -> bool:
    """Compile as the process that asks does, unless this one has begun or has flags of its own.

    Args:
        flags: Its flags.

    Returns:
        Whether both compile alike.
    """
    if not _begun and not xla_flags():
        os.environ["XLA_FLAGS"] = flags
    _begun.add(flags)
    return xla_flags() == flags


def missing_extra(package: str, error: ImportError) -> ImportError:
    """Return the error of an engine whose package is not installed."""
    return ImportError(f"This engine needs the package {package}: pip install 'jaxaimc[cluster]'. ({error})")


def cloudpickle() -> ModuleType:
    """Return the module that also pickles functions of scripts and notebooks.

    Raises:
        ImportError: If it is not installed.
    """
    try:
        import cloudpickle
    except ImportError as error:
        raise missing_extra("cloudpickle", error) from None
    return cloudpickle


class Outcome(Future):
    """What a call is going to return; cancelled, it tells those who wait for it at once."""

    def cancel(self) -> bool:
        """Give the call up; returns False where it is done already."""
        if self.cancelled():
            return True
        cancelled = super().cancel()
        if cancelled:
            self.set_running_or_notify_cancel()
        return cancelled

    def settle(self, value: Any = None, error: BaseException | None = None) -> None:
        """Say what came out, if anybody still wants to know."""
        with contextlib.suppress(InvalidStateError):
            if error is None:
                self.set_result(value)
            else:
                self.set_exception(error)


class Engine(Executor):
    """An executor that knows whether anything of what it was given has not come to its end."""

    def __init__(self) -> None:
        self._outcomes: set[Outcome] = set()
        self._cancelled = False

    def _new_outcome(self) -> Outcome:
        outcome = Outcome()
        self._outcomes.add(outcome)
        outcome.add_done_callback(self._forget)
        return outcome

    def _forget(self, outcome: Future[Any]) -> None:
        self._cancelled |= outcome.cancelled()
        self._outcomes.discard(outcome)  # type: ignore[arg-type]

    @contextlib.contextmanager
    def ended(self) -> Iterator[Executor]:
        """Yield this executor; wait for its calls at the end, or cancel them where an error or Ctrl-C is the end."""
        try:
            yield self
        except BaseException as error:
            if self._outcomes or self._cancelled:
                error.add_note("What was queued elsewhere has been cancelled.")
            self.shutdown(wait=False, cancel_futures=True)
            raise
        self.shutdown()
