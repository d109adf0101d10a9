"""Counting what XLA compiles."""

import contextlib

import jax.monitoring


@contextlib.contextmanager
def compilations():
    """Collect an entry for every program that XLA compiles while the context is open."""
    found = []

    def listen(event, duration, **_):
        if event == "/jax/core/compile/backend_compile_duration":
            found.append(duration)

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield found
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)
