"""The error of config files."""

import difflib
from collections.abc import Iterable


class ConfigFileError(ValueError):
    """A file that is no config, or one whose classes, fields or values are not allowed; the message says where."""


def nearest(word: str, known: Iterable[str]) -> str:
    """Return " (did you mean ...?)" for the most similar known word, or nothing where none is similar.

    Args:
        word: What was given.
        known: What there is.
    """
    similar = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f" (did you mean {similar[0]!r}?)" if similar else ""
