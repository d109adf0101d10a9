"""Run benchmarks and keep what they found: `python -m benchmarks`.

Every benchmark runs in a process of its own, one after the other, and prints its table. The first number of each line
of a table, a ratio to the plain computation of the same run unless the table says otherwise, becomes part of one JSON
line with the machine and the versions. `--keep` appends it to the history, `benchmarks/history.jsonl`, and writes the
tables of `docs/benchmarks.md` anew; `--page` only does the latter.
"""

import argparse
import datetime
import json
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

HISTORY = Path(__file__).parent / "history.jsonl"
PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"
NAMES = (
    "tile", "shapes", "converters", "devices", "wires", "open_idle", "training", "networks", "sweeps", "memory",
)  # fmt: skip
PACKAGES = ("jaxaimc", "jax", "jaxlib", "flax", "numpy")
# Runs that the page shows, the newest of the history.
SHOWN = 6
_BEGIN, _END = "<!-- written by python -m benchmarks --page -->", "<!-- end -->"
_LINE = re.compile(r"^\s*(\S.*?)(?::|\s)\s+(-?\d+(?:\.\d+)?)(?:\s|$)")


def numbers(output: str) -> dict[str, float]:
    """Return the first number of each line of a table, by what stands before it.

    Args:
        output: What a benchmark printed. A line of a table has a name and, behind at least two spaces or a colon and a
            space, a number.

    Example:
        >>> numbers("512 x 512, float32\\n\\ncase            ratio\\nprepared MVM     1.20   1.5\\n")
        {'prepared MVM': 1.2}
    """
    found: dict[str, float] = {}
    for line in output.splitlines():
        match = _LINE.match(line)
        if match is not None:
            name = match[1].strip()
            # Tables of several networks repeat their lines.
            count = sum(known == name or known.startswith(f"{name} (") for known in found)
            found[name if not count else f"{name} ({count + 1})"] = float(match[2])
    return found


def run(name: str, arguments: list[str]) -> dict[str, float]:
    """Run one benchmark, print its table and return its numbers.

    Args:
        name: Name of the benchmark's module.
        arguments: Further arguments of its command line.

    Raises:
        CalledProcessError: If it fails.
    """
    print(f"== {name}", flush=True)
    command = [sys.executable, "-m", f"benchmarks.{name}", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    print(done.stdout, flush=True)
    if done.returncode:
        print(done.stderr, file=sys.stderr, flush=True)
        done.check_returncode()
    return numbers(done.stdout)


def machine() -> dict[str, Any]:
    """Return what the benchmarks run on."""
    import os
    import platform

    import jax

    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        model = lines[0].partition(":")[2].strip() if lines else model
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {"cpu": model, "cores": cores, "device": jax.devices()[0].device_kind, "system": platform.system()}


def record(results: dict[str, dict[str, float]]) -> dict[str, Any]:
    """Return one line of the history.

    Args:
        results: Numbers by benchmark.
    """
    versions = {"python": sys.version.split()[0], **{name: version(name) for name in PACKAGES}}
    date = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d")
    return {"date": date, "machine": machine(), "versions": versions, "results": results}


def history(path: Path = HISTORY) -> list[dict[str, Any]]:
    """Return all lines of the history, the oldest first.

    Args:
        path: The file.
    """
    return [json.loads(line) for line in path.read_text().splitlines() if line] if path.exists() else []


def tables(lines: list[dict[str, Any]]) -> str:
    """Return the tables of the page: one of the runs, and one of numbers for each benchmark.

    Args:
        lines: Lines of the history.
    """
    shown = lines[-SHOWN:]
    heads = [f"run {len(lines) - len(shown) + place + 1}" for place in range(len(shown))]
    text = [
        "| run | date | machine | python | " + " | ".join(PACKAGES) + " |",
        "|---|---|---|---|" + "---|" * len(PACKAGES),
    ]
    for head, line in zip(heads, shown, strict=True):
        own, versions = line["machine"], line["versions"]
        packages = " | ".join(versions.get(name, "") for name in PACKAGES)
        text.append(
            f"| {head} | {line['date']} | {own['cpu']}, {own['cores']} cores, {own['device']} | {versions['python']} | "
            f"{packages} |"
        )
    for name in NAMES:
        rows = list(dict.fromkeys(row for line in shown for row in line["results"].get(name, {})))
        if not rows:
            continue
        text += ["", f"`python -m benchmarks.{name}`", "", f"| | {' | '.join(heads)} |", "|---|" + "---|" * len(heads)]
        for row in rows:
            cells = [line["results"].get(name, {}).get(row) for line in shown]
            text.append(f"| {row} | {' | '.join('' if cell is None else f'{cell:g}' for cell in cells)} |")
    return "\n".join(text)


def page(text: str, lines: list[dict[str, Any]]) -> str:
    """Return the page with the tables of a history.

    Args:
        text: The page as it is.
        lines: Lines of the history.
    """
    before, _, rest = text.partition(_BEGIN)
    return f"{before}{_BEGIN}\n\n{tables(lines)}\n\n{_END}{rest.partition(_END)[2]}"


def main() -> None:
    """Run benchmarks and print one JSON line."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("names", nargs="*", help=f"which: all by default, {', '.join(NAMES)}")
    parser.add_argument("--rounds", type=int, help="rounds of those that take them in turn")
    parser.add_argument("--output", type=Path, help="file to append the JSON line to")
    parser.add_argument("--keep", action="store_true", help="append to the history and write the page")
    parser.add_argument("--page", action="store_true", help="write the page from the history, run nothing")
    options = parser.parse_args()
    if unknown := [name for name in options.names if name not in NAMES]:
        parser.error(f"names must be among {', '.join(NAMES)}, but are {', '.join(unknown)}")
    if not options.page:
        rounds = [] if options.rounds is None else ["--rounds", str(options.rounds)]
        without = ("memory",)
        results = {name: run(name, [] if name in without else rounds) for name in options.names or NAMES}
        line = json.dumps(record(results))
        print(line)
        for path in [*([options.output] if options.output else []), *([HISTORY] if options.keep else [])]:
            with path.open("a") as file:
                file.write(line + "\n")
    if options.page or options.keep:
        PAGE.write_text(page(PAGE.read_text(), history()))


if __name__ == "__main__":
    main()
