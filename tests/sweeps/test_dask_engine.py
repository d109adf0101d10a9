"""Sweeps on Dask: lost workers, errors, interruptions, clusters that are not there or do not fit."""

import logging
import os
import signal
import socket
import sys

import engine_calls as calls
import jax
import pytest

from jaxaimc.sweeps import run
from jaxaimc.sweeps.engines import calls as engine
from jaxaimc.sweeps.engines import dask


@pytest.fixture(scope="module")
def cluster():
    """Two workers on this machine, for all tests of this file."""
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=":0", silence_logs=logging.CRITICAL
    ) as cluster:
        yield cluster


@pytest.fixture
def address(cluster):
    return cluster.scheduler_address.replace("tcp://", "dask://")


def test_a_worker_that_is_killed_changes_nothing(cluster, address, tmp_path):
    killed = []

    def kill(progress):
        if progress.computed and not killed:
            busy = {where for where, worker in cluster.scheduler.workers.items() if worker.processing}
            nanny = next(each for each in cluster.workers.values() if each.worker_address in busy)
            killed.append(nanny.pid)
            os.kill(nanny.pid, signal.SIGKILL)

    with dask(address) as executor:
        table = run(calls.plan(), calls.measure, tmp_path, calls.Slowed(executor, 0.2), progress=kill)
    assert killed
    assert table.equals(run(calls.plan(), calls.measure))
    assert len(table) == len(calls.plan().designs) * 3


def test_what_a_worker_raises_and_computes_is_what_this_process_would(address):
    with dask(address) as executor, jax.enable_x64(True):
        assert executor.submit(calls.dtype).result() == "float64"
        with pytest.raises(ValueError, match=r"^Argument `number` must be 3, but is 4\.$"):
            executor.submit(calls.refuse, number=4).result()


def test_a_chunk_that_kills_its_workers_is_given_up(cluster, address, monkeypatch):
    monkeypatch.setattr(cluster.scheduler, "allowed_failures", 0)
    with dask(address) as executor, pytest.raises(ChildProcessError, match="gives a chunk up: 1 of its workers"):
        executor.submit(calls.die, 0).result()


def test_an_interruption_cancels_what_waits(cluster, address):
    waiting = []

    def interrupted():
        with dask(address) as executor:
            waiting.extend(executor.submit(calls.slowly, 0.5) for _ in range(8))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        interrupted()
    assert [future.cancelled() for future in waiting] == 8 * [True]
    assert caught.value.__notes__ == ["What was queued elsewhere has been cancelled."]
    with dask(address) as executor:  # those that ran are done before this is
        assert executor.submit(calls.slowly, 0.0).result(timeout=5) == 0.0


def test_other_versions_are_refused(address, monkeypatch):
    own = engine.versions()
    other = {**own, "jax": "0.1.2"}
    monkeypatch.setattr("jaxaimc.sweeps.engines.dask_engine.versions", lambda: other)
    sentence = rf"Worker .* has jax {own['jax']}, but this sweep was started with 0\.1\.2: install the same versions"
    with pytest.raises(ValueError, match=sentence), dask(address):
        pass
    # A worker that joins later is looked at when it is called.
    with pytest.raises(ValueError, match=sentence):
        engine.Call(calls.dtype, {}, other, "")()


def test_workers_compile_with_the_flags_of_this_process_or_it_is_said(address, monkeypatch):
    def flags():
        return os.environ["XLA_FLAGS"]

    with dask(address) as executor:
        assert executor.submit(flags).result().split() == os.environ["XLA_FLAGS"].split()
    monkeypatch.setenv("XLA_FLAGS", "--xla_backend_optimization_level=1")
    with (
        pytest.warns(UserWarning, match=r"compiles with other XLA_FLAGS than this process \((\d) of \1 do\)"),
        dask(address),
    ):
        pass


def test_flags_are_adopted_by_a_process_that_has_not_begun(monkeypatch):
    monkeypatch.setattr(engine, "_begun", set())
    monkeypatch.delenv("XLA_FLAGS", raising=False)
    assert engine.adopt_flags("--one --two")
    assert os.environ["XLA_FLAGS"] == "--one --two"
    assert engine.adopt_flags("--one --two")
    assert not engine.adopt_flags("--three")
    assert os.environ["XLA_FLAGS"] == "--one --two"


def test_a_scheduler_without_workers_is_said():
    from distributed import LocalCluster

    with LocalCluster(n_workers=0, dashboard_address=":0", silence_logs=logging.CRITICAL) as empty:
        address = empty.scheduler_address
        with pytest.warns(UserWarning, match=f"no workers yet.*dask worker {address}"), dask(address):
            pass


def test_bad_address_is_refused_in_time():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    sentence = f"No Dask scheduler answers at tcp://127.0.0.1:{port} within 1 s: start one by `dask scheduler --port"
    with pytest.raises(ConnectionError, match=sentence), dask(f"dask://127.0.0.1:{port}", timeout=1):
        pass


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"address": "127.0.0.1:8786"}, "`address` must be dask://HOST:PORT or tcp://HOST:PORT, but is '127"),
        ({"address": "dask://host"}, "`address` must be dask://HOST:PORT"),
        ({"address": "dask://host:8786", "processes": 2}, "`processes` is for a cluster on this machine"),
        ({"processes": 0}, "`processes` must be at least 1, but is 0"),
        ({"processes": 1, "retries": -1}, "`retries` must be at least 0, but is -1"),
    ],
)
def test_bad_arguments(arguments, sentence):
    with pytest.raises(ValueError, match=sentence), dask(**arguments):
        pass


def test_bad_installation_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ImportError, match=r"pip install 'jaxaimc\[cluster\]'"), dask(processes=1):
        pass
