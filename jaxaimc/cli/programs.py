"""Compiled programs that are kept on disk, so that a command that runs again need not compile.

JAX finds a program by a hash of its code, the versions of JAX and XLA, the flags and the devices; another version of
this library makes other code, or the same. What that hash leaves out is the kind of processor, whose instructions a
program for CPUs is made of, so every kind has a folder of its own.
"""

import contextlib
import hashlib
import os
import platform
import tempfile
import warnings
from importlib.metadata import entry_points
from pathlib import Path

VARIABLE = "JAXAIMC_CACHE"
_OFF = "off"
# What JAX's own warnings begin with, one for every program that could not be read or written.
TROUBLE = ("Error writing persistent compilation cache entry", "Error reading persistent compilation cache entry")
# What is kept at most [byte]; the demonstration takes 5 MB.
_MOST = 2**30
# Entries are up to a megabyte: what a disk must be able to take to be worth asking [byte].
_PROBE = 2**20
# JAX's own variables for it; whoever sets one decides for himself.
_OWN = "JAX_COMPILATION_CACHE_DIR"


def home() -> Path | None:
    """Return the folder of all kept programs, None where they are not kept.

    `JAXAIMC_CACHE` names the folder that it is in, or is `off`; by default that is the user's cache folder.
    """
    chosen = os.environ.get(VARIABLE, "")
    if chosen.strip().lower() == _OFF:
        return None
    if chosen:
        return Path(chosen).expanduser() / "programs"
    import platformdirs

    return Path(platformdirs.user_cache_dir("jaxaimc", appauthor=False)) / "programs"


def quiet_loading() -> None:
    """Keep XLA from printing what it finds strange in programs that it loads; call it before JAX is imported.

    XLA for CPUs writes several kilobytes for every program that it loads, since it does not find the preferences of its
    own compiler (`+prefer-no-gather`) among the features of the processor. What it cannot do it raises.
    """
    if home() is not None and not entry_points(group="jax_plugins"):
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def keep() -> None:
    """Have JAX keep compiled programs, and find those of earlier runs.

    Nothing is changed where the user's own `JAX_COMPILATION_CACHE_DIR` is set.

    Warns:
        UserWarning: If the folder cannot be written; the command goes on without it.
    """
    root = home()
    if root is None or _OWN in os.environ:
        return
    folder = root / _processor()
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        _drop_oldest(root)
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(bytes(_PROBE))
    except OSError as error:
        why = error.strerror or type(error).__name__
        warnings.warn(
            f"Compiled programs are not kept, since folder {str(folder)!r} cannot be written ({why}); "
            f"{VARIABLE} names another one, or is {_OFF}.",
            stacklevel=2,
        )
        return
    import jax

    jax.config.update("jax_compilation_cache_dir", str(folder))
    # Hundreds of small ones take as long as a few large ones.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def entries() -> list[Path]:
    """Return the files of all kept programs."""
    root = home()
    return [] if root is None else [path for path in root.glob("*/*") if path.name.endswith(("-cache", "-atime"))]


def clear() -> int:
    """Remove all kept programs.

    Returns:
        How many files there were.

    Raises:
        OSError: If one cannot be removed.
    """
    found = entries()
    for path in found:
        path.unlink(missing_ok=True)
    return len(found)


def _drop_oldest(root: Path) -> None:
    """Remove the programs that were made first, if they are too many, until half of the space is free."""
    found = []
    for path in entries():
        with contextlib.suppress(OSError):  # another process may remove it
            status = path.stat()
            found.append((status.st_mtime, status.st_size, path))
    size = sum(one[1] for one in found)
    if size <= _MOST:
        return
    for _, freed, path in sorted(found):
        if size <= _MOST / 2:
            break
        path.unlink(missing_ok=True)
        size -= freed


def _processor() -> str:
    """Return the name of a folder for programs of this kind of processor."""
    said = [platform.machine(), platform.processor()]
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        wanted = ("model name", "flags", "Features", "CPU implementer", "CPU part")
        said += dict.fromkeys(line for line in lines if line.startswith(wanted))
    return hashlib.sha256("\n".join(said).encode()).hexdigest()[:12]
