"""Files that are complete at any moment, whatever ends the process or fills the disk."""

import contextlib
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: age alone tells what a killed process left behind
    fcntl = None

_SUFFIX = ".unfinished"
# Between making a temporary file and locking it [s].
_GRACE = 5.0


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` that replaces it, if all went well.

    Args:
        path: The file to write.

    Yields:
        Path of an empty file in the same folder. It is locked, so that `remove_unfinished` of another process, now or
        later, can tell whether its writer is alive.

    Raises:
        OSError: If the disk refuses; `path` then stays as it was.
    """
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=_SUFFIX)
    temporary = Path(name)
    try:
        if fcntl is not None:
            with contextlib.suppress(OSError):  # some network file systems have no locks
                fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)  # mkstemp makes files that only their owner may read
        temporary.replace(path)
    except OSError as error:
        if error.errno is not None and error.filename in (None, name):
            # What could not be written, where the system says only that there is no space left.
            error.filename = str(path)
        raise
    finally:
        os.close(descriptor)
        temporary.unlink(missing_ok=True)


def remove_unfinished(folder: Path) -> None:
    """Remove the temporary files of `replacing` whose writers were killed.

    Args:
        folder: Where they lie.
    """
    for path in folder.glob(f".*{_SUFFIX}"):
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > _GRACE and _is_abandoned(path):
                path.unlink()


def _is_abandoned(path: Path) -> bool:
    if fcntl is None:
        return time.time() - path.stat().st_mtime > 24 * 3600
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True


@contextlib.contextmanager
def without_standard_error() -> Iterator[None]:
    """Send what is written to the standard error nowhere: a panic of Polars prints before it can be caught."""
    try:
        saved = os.dup(2)
    except OSError:  # there is none
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(nowhere)
