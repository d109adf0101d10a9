"""The command line in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
# As the installed script starts it: the current directory is not on the import path.
_CODE = "from jaxaimc.cli import main; main()"
# A shell lets its background jobs ignore Ctrl-C, and `nohup` lets them ignore a hangup; their children inherit that.
_HEED = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "signal.signal(signal.SIGHUP, signal.SIG_DFL); "
)


def start_command(arguments, cwd, *, code=_CODE, path=(ROOT, ROOT / "tests")):
    """Start a command whose output can be read line by line."""
    environment = {
        **os.environ,
        "JAX_PLATFORMS": "cpu",
        "COLUMNS": "80",
        "PYTHONUNBUFFERED": "1",
        "PYTHONPATH": os.pathsep.join(map(str, path)),
    }
    return subprocess.Popen(
        [sys.executable, "-P", "-c", _HEED + code, *map(str, arguments)],
        cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def run_command(arguments, cwd, **options):
    """Run a command to its end."""
    process = start_command(arguments, cwd, **options)
    stdout, stderr = process.communicate()
    return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)
