"""One program over two processes on this machine, which talk by Gloo; and what it refuses."""

import json
import socket
import subprocess
import sys

import engine_calls as calls
import numpy as np
import polars as pl
import pytest
from processes import start_command

from jaxaimc.sweeps import distributed, run

# Each of the two processes has two devices.
PROGRAM = """
import json, sys, jax, numpy as np, engine_calls as calls
from jaxaimc.sweeps import distributed, run
jax.config.update("jax_num_cpu_devices", 2)
distributed.initialize()
with distributed.processes() as executor:
    if executor is not None:
        run(calls.layer_plan(), calls.layer(), sys.argv[1], executor)
        found = {"devices": len(jax.devices())}
        found["sines"] = executor.submit(calls.on_all, np.arange(8.0, dtype=np.float32)).result()["sine"].tolist()
        for name in ("failing", "dying"):
            error = executor.submit(calls.on_all, np.zeros(4), **{name: 1}).exception()
            found[name] = [type(error).__name__, str(error)]
        print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """What two processes found, the second of which dies in the end."""
    folder = tmp_path_factory.mktemp("two")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        coordinator = f"127.0.0.1:{free.getsockname()[1]}"
    pair = []
    for number in range(2):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("JAX_COORDINATOR_ADDRESS", coordinator)
            patch.setenv("JAX_PROCESS_COUNT", "2")
            patch.setenv("JAX_PROCESS_ID", str(number))
            pair.append(start_command([folder], folder, code=PROGRAM, path=[path for path in sys.path if path]))
    try:
        outputs = [process.communicate(timeout=100) for process in pair]
    except subprocess.TimeoutExpired:
        for process in pair:
            process.kill()
        raise AssertionError([process.communicate() for process in pair]) from None
    lines = [line for line in outputs[0][0].splitlines() if line.startswith("{")]
    assert lines, outputs
    return folder, json.loads(lines[0]), [process.returncode for process in pair], outputs


def test_a_sweep_by_two_processes_gives_the_same_table(two):
    folder, found, _, _ = two
    assert found["devices"] == 4
    table = run(calls.layer_plan(), calls.layer())
    assert table["error"].n_unique() > 10
    assert pl.read_parquet(folder / "sweep.parquet").equals(table)


def test_an_array_is_spread_over_all_processes(two):
    np.testing.assert_allclose(two[1]["sines"], np.sin(np.arange(8.0)), rtol=1e-6)


def test_what_fails_in_another_process_is_said_and_nothing_hangs(two):
    _, found, codes, outputs = two
    assert found["failing"] == ["RuntimeError", "Process 1 could not compute its part: MemoryError: no room"]
    assert found["dying"][0] == "ConnectionError"
    assert found["dying"][1].startswith("Another process of this program was lost: start all of them again")
    assert codes == [2, 9]
    assert "Traceback" not in outputs[0][1]


def test_a_single_process_leads_itself():
    with distributed.processes() as executor:
        assert executor.submit(calls.on_all, np.zeros(2)).result()["count"].tolist() == [1.0, 1.0]


def test_a_process_that_is_alone_ends_in_one_line(tmp_path):
    code = "from jaxaimc.sweeps import distributed; distributed.initialize('127.0.0.1:9', 2, 1, timeout=1)"
    process = start_command([], tmp_path, code=code)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 2
    assert said.startswith("Error: not all processes of this program met at 127.0.0.1:9 within 1 s.")
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "Nothing here says which processes belong together: start them by srun"),
        (("host:1234", 2), "`coordinator`, `processes` and `process` must be given together"),
        (("host", 2, 0), "`coordinator` must be HOST:PORT of process 0, but is 'host'"),
        (("host:1234", 0, 0), "`processes` must be at least 1, but is 0"),
        (("host:1234", 2, 2), "`process` must be from 0 to 1, but is 2"),
    ],
)
def test_bad_places(arguments, sentence, monkeypatch):
    # Here JAX computes already, which it would say first.
    monkeypatch.setattr("jax._src.xla_bridge.backends_are_initialized", lambda: False)
    with pytest.raises(ValueError, match=sentence):
        distributed.initialize(*arguments)
