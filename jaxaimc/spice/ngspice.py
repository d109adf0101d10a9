"""Run a netlist with ngspice in batch mode and read back what it printed."""

import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

_PRINTED = re.compile(r"^\s*(\w+) = ([-+]?(?:\d+\.?\d*(?:e[-+]?\d+)?|inf|nan))\s*$", re.IGNORECASE | re.MULTILINE)
_FAILURE = re.compile(r"\berror\b|singular matrix|timestep too small|no such|not found|aborted", re.IGNORECASE)

# In a linear circuit one matrix solve is the answer and none of these acts (the tests change them and find the same
# digits); they keep iteration and helper conductances out of the last digits where a device is not linear.
OPTIONS = ".options reltol=1e-9 abstol=1e-18 vntol=1e-12 gmin=1e-15"


class SpiceError(RuntimeError):
    """ngspice ran but gave no answer; the message holds what it said."""


def _executable(executable: str) -> str:
    path = shutil.which(executable)
    if path is None:
        raise FileNotFoundError(
            f"`{executable}` was not found on the search path; install ngspice (Debian: `apt install ngspice`)."
        )
    return path


def version(executable: str = "ngspice") -> str:
    """Version of the installed ngspice.

    Args:
        executable: Name or path of the program.

    Returns:
        The release as the program states it, such as `"39"`.

    Raises:
        FileNotFoundError: If ngspice is not installed.
        SpiceError: If the program does not state a release.
    """
    done = subprocess.run([_executable(executable), "--version"], capture_output=True, text=True, check=False)
    found = re.search(r"ngspice-(\S+)", done.stdout)
    if found is None:
        raise SpiceError(f"`{executable} --version` states no ngspice release: {done.stdout[:200]!r}.")
    return found.group(1)


def control(commands: Sequence[str]) -> list[str]:
    """Lines of a control block that runs commands with 16 printed digits and then leaves ngspice.

    Args:
        commands: ngspice commands, one a line.

    Returns:
        The netlist's closing lines: options, control block, `.end`.
    """
    return [OPTIONS, ".control", "set numdgt=16", *commands, "quit 0", ".endc", ".end"]


def run(netlist: str, *, executable: str = "ngspice", timeout: float = 120.0) -> dict[str, Float[np.ndarray, "prints"]]:
    """Run a netlist and collect every number that its control block prints.

    ngspice runs in a temporary directory and without the user's start-up file, so that the netlist alone decides.

    Args:
        netlist: Complete netlist whose control block prints its results as `name = value`.
        executable: Name or path of the program.
        timeout: Wall-clock limit [s].

    Returns:
        For each printed name its values in the order printed, one per analysis of the netlist.

    Raises:
        FileNotFoundError: If ngspice is not installed.
        SpiceError: If it fails, exceeds the time limit, reports an error, or prints nothing, an incomplete set of
            results or a number that is not finite.
    """
    program = _executable(executable)
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "circuit.cir").write_text(netlist)
        try:
            done = subprocess.run(
                [program, "-n", "-b", "circuit.cir"],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=timeout,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise SpiceError(f"ngspice did not finish within `timeout` = {timeout:g} s.") from None

    said = done.stdout + done.stderr
    complaints = list(dict.fromkeys(line.strip() for line in said.splitlines() if _FAILURE.search(line)))
    if done.returncode != 0 or complaints:
        message = "\n".join(complaints[:10] or said.strip().splitlines()[-5:])
        raise SpiceError(f"ngspice failed (exit status {done.returncode}):\n{message}")

    printed: dict[str, list[float]] = {}
    for name, value in _PRINTED.findall(done.stdout):
        printed.setdefault(name, []).append(float(value))
    counts = {name: len(values) for name, values in printed.items()}
    if not printed or len(set(counts.values())) > 1:
        raise SpiceError(f"ngspice printed no complete set of results; values per name: {counts}.")
    results = {name: np.asarray(values) for name, values in printed.items()}
    bad = [name for name, values in results.items() if not np.all(np.isfinite(values))]
    if bad:
        raise SpiceError(f"ngspice printed numbers that are not finite: {', '.join(bad)}.")
    return results
