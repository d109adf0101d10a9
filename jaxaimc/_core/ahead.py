"""Compiling ahead: functions that will be called are compiled in threads while others are computed.

XLA compiles and computes without Python's lock, so both cores have work. A function that was compiled ahead is called
as always: JAX finds the compiled program by the types of the arguments. What a thread has not begun when it is called
for is compiled at once, by the caller.
"""

import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import jax
import numpy as np

# Calls a jitted function with arguments: at once, or once it is compiled, or in name only.
Call = Callable[..., Any]


def directly(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function.

    Args:
        function: The function.
        *arguments: Its arguments.
    """
    return function(*arguments)


def in_shapes(function: Any, *arguments: Any) -> Any:
    """Return the shapes of a jitted function's results; it is traced, nothing is computed.

    Args:
        function: Result of `jax.jit`.
        *arguments: Arrays or their shapes.
    """
    return function.trace(*arguments).out_info


class Ahead:
    """Threads that compile what a plan says will be called; use it in a `with` statement.

    An instance calls functions like `directly`. Results are the same, whatever was planned.

    Args:
        plan: Is given a function like `in_shapes`, which also has the function compiled; called in a thread. What it
            raises is left to the calls themselves.

    Example:
        >>> import jax.numpy as jnp
        >>> double, x = jax.jit(lambda x: 2 * x), jnp.ones(3)
        >>> with Ahead(lambda shapes: shapes(double, jax.ShapeDtypeStruct((3,), jnp.float32))) as call:
        ...     call(double, x).tolist()
        [2.0, 2.0, 2.0]
    """

    def __init__(self, plan: Callable[[Call], None]):
        self._plan = plan
        self._entries: dict[Any, _Entry] = {}
        self._precise = bool(jax.config.read("jax_enable_x64"))
        self._closed = False
        # One plans, one compiles; whoever calls compiles as well.
        self._pool = ThreadPoolExecutor(2, thread_name_prefix="ahead")

    def __enter__(self) -> "Ahead":
        """Start the threads."""
        self._pool.submit(self._run_plan)
        return self

    def __exit__(self, *exception: object) -> None:
        """Forget what has not begun; what has begun ends by itself."""
        self._closed = True
        self._pool.shutdown(wait=False, cancel_futures=True)

    def __call__(self, function: Any, *arguments: Any) -> Any:
        """Call a function, once it is compiled if that has begun.

        Args:
            function: Result of `jax.jit`.
            *arguments: Its arguments.
        """
        entry = self._entry(function, arguments)
        if not entry.called:
            with entry.tracing:
                entry.called = True
                if not entry.traced:
                    function.trace(*arguments)
            if entry.job is not None and not entry.job.cancel():
                entry.job.exception()  # waits; what it raises the call will raise
        return function(*arguments)

    def shapes(self, function: Any, *arguments: Any) -> Any:
        """Return the shapes of a function's results, and have it compiled.

        Args:
            function: Result of `jax.jit`.
            *arguments: Arrays or their shapes.
        """
        if self._closed:
            raise InterruptedError
        entry = self._entry(function, arguments)
        with entry.tracing:
            traced = function.trace(*arguments)
            if not entry.traced and not entry.called:
                entry.job = self._pool.submit(self._compile, traced)
            entry.traced = True
        return traced.out_info

    def _entry(self, function: Any, arguments: Any) -> "_Entry":
        return self._entries.setdefault((id(function), *_signature(arguments)), _Entry())

    def _run_plan(self) -> None:
        # A plan that fails helps nobody; the call that it was for fails with a message.
        with contextlib.suppress(Exception), jax.enable_x64(self._precise):
            self._plan(self.shapes)

    def _compile(self, traced: Any) -> None:
        with jax.enable_x64(self._precise):
            traced.lower().compile()


class _Entry:
    """What is known of a function with arguments of certain types."""

    def __init__(self) -> None:
        self.tracing = threading.Lock()
        self.traced = self.called = False
        self.job: Future[None] | None = None


def _signature(arguments: Any) -> tuple[Any, Any]:
    """Return what `jax.jit` tells arguments apart by, as far as a plan can know it."""
    leaves, structure = jax.tree.flatten(arguments)
    return structure, tuple(map(_kind, leaves))


def _kind(leaf: Any) -> Any:
    if hasattr(leaf, "shape"):
        return leaf.shape, leaf.dtype, getattr(leaf, "weak_type", False)
    return type(leaf) if isinstance(leaf, int | float | complex | np.generic) else leaf
