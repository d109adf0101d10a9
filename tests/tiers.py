"""Which of many cases run in the fast tier."""

import pytest


def mostly_slow(cases, fast):
    """Mark all cases but some as slow, for cases that compile for seconds each and cover one another.

    Args:
        cases: Parameters; tuples are several of one case.
        fast: Function of a case's parameters that says which run in the fast tier as well.
    """
    several = lambda case: case if isinstance(case, tuple) else (case,)  # noqa: E731
    return [case if fast(*several(case)) else pytest.param(*several(case), marks=pytest.mark.slow) for case in cases]
