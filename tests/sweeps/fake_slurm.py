"""Slurm's four commands as far as submitit calls them, with the jobs as processes of this machine.

Each command is this file under its name; it keeps the jobs' states in files beside it.
"""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

NAMES = ("sbatch", "srun", "sacct", "scancel")
HERE = Path(sys.argv[0]).parent


def install(folder):
    """Write the commands into a folder, which belongs on the PATH."""
    folder.mkdir()
    for name in NAMES:
        file = folder / name
        file.write_text(f"#!{sys.executable}\n" + Path(__file__).read_text())
        file.chmod(0o755)
    return folder


def _jobs():
    return {path.stem: path.read_text().split() for path in sorted(HERE.glob("*.job"))}


def sbatch(script):
    """Start every job of an array; each says in a file what became of it."""
    text = Path(script).read_text()
    array = re.search(r"--array=0-(\d+)", text)
    main = 100 + len(_jobs())
    for index in range(int(array[1]) + 1 if array else 1):
        job = f"{main}_{index}" if array else str(main)
        ids = {"SLURM_ARRAY_JOB_ID": str(main), "SLURM_ARRAY_TASK_ID": str(index)} if array else {}
        state = HERE / f"{job}.job"
        process = subprocess.Popen(
            ["bash", "-c", f"bash {script}; code=$?; grep -q RUNNING {state} && echo ENDED $code > {state}"],
            env={**os.environ, "SLURM_JOB_ID": str(main + index), "SLURM_NTASKS": "1", **ids},
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        state.write_text(f"RUNNING {process.pid}")
    print(f"Submitted batch job {main}")


def srun(*arguments):
    """Run a command with its output in files."""
    rest, streams = list(arguments), {}
    while rest[0].startswith("--"):
        if (flag := rest.pop(0)) != "--unbuffered":
            streams[flag] = rest.pop(0)
    names = {"%A": "SLURM_ARRAY_JOB_ID", "%a": "SLURM_ARRAY_TASK_ID", "%j": "SLURM_JOB_ID"}
    for number, flag in ((1, "--output"), (2, "--error")):
        path = streams[flag].replace("%t", "0")
        for sign, variable in names.items():
            path = path.replace(sign, os.environ.get(variable, ""))
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)
    os.execvp(rest[0], rest)


def sacct(*_):
    """Print the state of every job."""
    print("JobID|State|NodeList")
    for job, (state, number, *_) in _jobs().items():
        ended = "COMPLETED" if number == "0" else "NODE_FAIL"
        print(f"{job}|{ended if state == 'ENDED' else state}|node1")


def scancel(job):
    """Kill a job."""
    state, number = _jobs()[job]
    if state == "RUNNING":
        (HERE / f"{job}.job").write_text("CANCELLED 0")
        os.killpg(int(number), signal.SIGKILL)


if __name__ == "__main__":
    {function.__name__: function for function in (sbatch, srun, sacct, scancel)}[Path(sys.argv[0]).name](*sys.argv[1:])
