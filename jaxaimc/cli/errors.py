"""What a user can cause, in one sentence; everything else is a fault of the program and shows its traceback."""

import linecache
import os
import sysconfig
import traceback
from pathlib import Path

import jaxaimc

_EXPECTED = (ValueError, TypeError, OSError, ImportError, FloatingPointError)
_PACKAGE = f"{Path(jaxaimc.__file__).parent}{os.sep}"
_NOT_USERS = (_PACKAGE, *{sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")})
_DEMO = "jaxaimc_models"


def sentence(error: BaseException) -> str | None:
    """Return one sentence about an error that a user can cause.

    Args:
        error: What ended the command.

    Returns:
        The sentence, or None for a fault of the program.
    """
    if _is_out_of_memory(error):
        return f"There is not enough memory: lower --batch or --chips. ({_first_line(error) or type(error).__name__})"
    if isinstance(error, SyntaxError) and error.filename:
        return f"SyntaxError in {error.filename}, line {error.lineno}: {error.msg}."
    if isinstance(error, _EXPECTED) and str(error):
        # What was added on the way: of which designs it is, what was done about it.
        return " ".join([str(error), *getattr(error, "__notes__", [])])
    where = _users_line(error)
    if where is None:
        return None if not isinstance(error, _EXPECTED) else type(error).__name__
    return f"{type(error).__name__} in {where}: {_first_line(error) or 'no message'}"


def _users_line(error: BaseException) -> str | None:
    """Return file and line of the user's code that an error passed, the last of them; None if there is none."""
    inside, found = False, None
    for frame, number in traceback.walk_tb(error.__traceback__):
        file = frame.f_code.co_filename
        if file.startswith(_PACKAGE):
            inside = True
        elif inside and (_DEMO in file or not file.startswith(_NOT_USERS)) and linecache.getline(file, number):
            found = f"{file}, line {number}"
    return found


def _is_out_of_memory(error: BaseException) -> bool:
    # A full disk is reported by the same word, in an error of the file system's kind.
    return isinstance(error, MemoryError) or ("RESOURCE_EXHAUSTED" in str(error) and not isinstance(error, OSError))


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0]
