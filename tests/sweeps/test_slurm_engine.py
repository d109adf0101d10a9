"""Sweeps in jobs: submitit's debug and local executors, and its Slurm executor with stand-ins for Slurm's commands."""

import contextlib
import os
import shutil
import sys
import time
from concurrent.futures import as_completed

import engine_calls as calls
import fake_slurm
import jax
import pytest

from jaxaimc.sweeps import run
from jaxaimc.sweeps.engines import arrays, slurm
from jaxaimc.sweeps.engines.calls import Call, cloudpickle


@pytest.fixture
def importable(monkeypatch):
    """Let jobs, which are processes of their own, import what this one can."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))


@pytest.fixture
def commands(importable, monkeypatch, tmp_path):
    """Slurm's commands."""
    folder = fake_slurm.install(tmp_path / "bin")
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
    monkeypatch.setattr("jaxaimc.sweeps.engines.slurm_engine.PAUSE", 0.1)
    monkeypatch.setattr(arrays, "LATE", 0.0)
    return folder


def test_jobs_of_this_machine_compute_what_this_process_would(importable, tmp_path):
    with slurm(tmp_path / "jobs", cluster="local", minutes=2, jobs=2, array_parallelism=2) as executor:
        table = run(calls.plan(), calls.measure, tmp_path / "sweep", executor)
    assert table.equals(run(calls.plan(), calls.measure))
    assert len(list((tmp_path / "jobs").glob("*_submitted.pkl"))) == 2
    assert not os.listdir(tmp_path / "jobs" / "results")


def test_a_job_that_dies_is_named_and_keeps_what_it_had_done(importable, tmp_path):
    with slurm(tmp_path, cluster="local", jobs=1) as executor, jax.enable_x64(True):
        futures = [
            executor.submit(calls.dtype),
            executor.submit(calls.refuse, number=4),
            executor.submit(calls.die, 0),
            executor.submit(calls.dtype),
        ]
        assert set(as_completed(futures, timeout=60)) == set(futures)
    assert futures[0].result() == "float64"
    with pytest.raises(ValueError, match=r"^Argument `number` must be 3, but is 4\.$"):
        futures[1].result()
    for lost in futures[2:]:
        with pytest.raises(ChildProcessError, match=r"Job \d+ ended .* before this chunk was done; its log is .*\.err"):
            lost.result()


def test_an_array_of_slurm_jobs(commands, tmp_path):
    options = {"partition": "gpu", "minutes": 30, "memory": 4, "gpus": 1, "array_parallelism": 1, "account": "physics"}
    with slurm(tmp_path / "jobs", jobs=2, **options) as executor:
        fine = [executor.submit(calls.slowly, 0, max, number, 2) for number in range(3)]
        lost = executor.submit(calls.die, 0)
        assert [future.result(timeout=60) for future in fine] == [2, 2, 2]
        with pytest.raises(ChildProcessError, match=r"Job \d+_1 ended \(state NODE_FAIL\)"):
            lost.result(timeout=60)
    [script] = (tmp_path / "jobs").glob("*_submission.sh")
    wanted = ("array=0-1%1", "partition=gpu", "time=30", "mem=4GB", "gpus-per-node=1", "account=physics")
    assert [option for option in wanted if f"#SBATCH --{option}\n" not in script.read_text()] == []


def test_an_interruption_cancels_slurm_jobs(commands, tmp_path):
    waiting = []

    def interrupted():
        with slurm(tmp_path / "jobs", jobs=2) as executor:
            waiting.extend(executor.submit(calls.slowly, 60) for _ in range(4))
            started = time.monotonic()
            while len(list(commands.glob("*.job"))) < 2:
                assert time.monotonic() - started < 20
                time.sleep(0.05)
            time.sleep(0.3)  # sbatch has answered
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        interrupted()
    assert [future.cancelled() for future in waiting] == 4 * [True]
    assert {file.read_text().split()[0] for file in commands.glob("*.job")} == {"CANCELLED"}
    assert caught.value.__notes__ == ["What was queued elsewhere has been cancelled."]


def test_debug_calls_at_once_in_this_process(tmp_path):
    with slurm(tmp_path, cluster="debug") as executor:
        assert executor.submit(os.getpid).result() == os.getpid()
        with pytest.raises(ValueError, match="but is 4"):
            executor.submit(calls.refuse, 4).result()
        table = run(calls.plan(), calls.measure, executor=executor)
    assert table.equals(run(calls.plan(), calls.measure))


class Submitter:
    """Takes jobs and leaves it to the test to run them."""

    def __init__(self):
        self.jobs = []

    def batch(self):
        return contextlib.nullcontext()

    def submit(self, job):
        self.jobs.append(job)
        return self

    def done(self):
        return False


def _wait_for(condition):
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < 10
        time.sleep(0.02)


@pytest.fixture
def submitter():
    return Submitter()


@pytest.fixture
def executor(submitter, tmp_path):
    how = {"at_once": 2, "pause": 0.02, "environment": {}}
    executor = arrays.ArrayExecutor(lambda: submitter, tmp_path / "jobs", 4, **how)
    yield executor
    executor.shutdown(cancel_futures=True)


def test_only_so_many_jobs_run_at_once(submitter, executor):
    futures = [executor.submit(max, number, 1) for number in range(5)]
    _wait_for(lambda: len(submitter.jobs) == 2)
    time.sleep(0.2)
    assert len(submitter.jobs) == 2
    submitter.jobs[0]()
    _wait_for(lambda: len(submitter.jobs) == 3)
    submitter.jobs[1]()
    _wait_for(lambda: len(submitter.jobs) == 4)
    for job in submitter.jobs[2:]:
        job()
    assert [future.result(timeout=10) for future in futures] == [1, 1, 2, 3, 4]
    assert [len(job.results) for job in submitter.jobs] == [1, 1, 1, 2]


def test_a_folder_that_is_gone_leaves_nobody_waiting(submitter, executor, tmp_path):
    future = executor.submit(max, 1, 2)
    _wait_for(lambda: submitter.jobs)
    shutil.rmtree(tmp_path / "jobs")
    with pytest.raises(FileNotFoundError, match="results"):
        future.result(timeout=10)
    with pytest.raises(RuntimeError, match="shut down"):
        executor.submit(max, 1, 2)


def test_a_job_that_is_queued_again_goes_on(tmp_path):
    results = [tmp_path / f"{number}.pkl" for number in range(3)]
    payload = cloudpickle().dumps([(Call.of(calls.slowly), (0, max, number, 0), {}) for number in range(3)])
    job = arrays.Job(results, payload, {})
    results[1].write_bytes(b"done before")
    again = job.checkpoint()
    again.function(*again.args, **again.kwargs)
    made = [path.read_bytes() for path in results]
    assert made[1] == b"done before"
    assert cloudpickle().loads(made[2]) == (2, None)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"cluster": "pbs"}, "`cluster` must be 'slurm', 'local' or 'debug', but is 'pbs'"),
        ({"cluster": "slurm"}, "no command `srun` here"),
        ({"cluster": "local", "minutes": 0}, "`minutes` must be at least 1, but is 0"),
        ({"cluster": "local", "gpus": -1}, "`gpus` must be at least 0, but is -1"),
        ({"cluster": "local", "memory": 0.0}, "`memory` must be above 0 GB, but is 0"),
        ({"cluster": "local", "jobs": 2000}, "`jobs` must be at most 1000, but is 2000"),
        ({"cluster": "local", "acount": "x"}, "knows no option 'acount' of Slurm; the nearest is 'account'"),
    ],
)
@pytest.mark.skipif(shutil.which("srun") is not None, reason="for machines without Slurm")
def test_bad_arguments(arguments, sentence, tmp_path):
    with pytest.raises(ValueError, match=sentence), slurm(tmp_path, **arguments):
        pass


def test_bad_installation_names_the_extra(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(ImportError, match=r"pip install 'jaxaimc\[cluster\]'"), slurm(tmp_path, cluster="debug"):
        pass
