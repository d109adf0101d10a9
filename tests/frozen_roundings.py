"""What a straight-through gradient is the gradient of: the library with every rounding replaced by a shift.

The rule for what is rounded is that the rounding error is a constant. So differences are taken of the same library with
every rounding replaced by `z + e`, `e` being the error at the point of the gradient. Input ranges that follow the data
(`PerVector`, `AbsoluteMaximum`) are constants under differentiation too, and can be held as well. Everything else is as
it is.
"""

import contextlib
import sys
from unittest import mock

import jax

from jaxaimc._core import rounding
from jaxaimc.drives import ranges
from jaxaimc.tile import planes

ROUNDINGS = [rounding.round_ste, rounding.floor_ste, rounding.trunc_ste]


def names_of_the_library():
    """Everything that the modules of the library hold, as (module, name, value)."""
    modules = [module for name, module in sys.modules.items() if name.partition(".")[0] == "jaxaimc"]
    return [(module, name, value) for module in modules for name, value in vars(module).items()]


def places_of(function):
    """Every module of the library that holds a function, as (module, name)."""
    return [(module, name) for module, name, value in names_of_the_library() if value is function]


def compiled_functions():
    return [place for place in names_of_the_library() if isinstance(place[2], type(jax.jit(lambda: None)))]


@contextlib.contextmanager
def frozen_roundings(known, *, and_ranges=False):
    """Replace every rounding by a shift: record what is rounded into an empty list, or use what is in a full one.

    With `and_ranges` the ranges that follow the data are kept and used again in the same way.
    """
    recording, pending = not known, list(known)

    def shifted(rounding):
        def shift(z):
            if recording:
                known.append((rounding(z), z))
            rounded, at = known[-1] if recording else pending.pop(0)
            return rounded + (z - at)  # whole numbers stay whole where nothing has moved

        return shift

    def unclipped(self, x):
        # Held, the largest input is at the limit that it gave, where clipping has a kink that a range which follows it
        # does not have.
        if recording:
            known.append(self.bound(x))
        bound = known[-1] if recording else pending.pop(0)
        return x / bound[..., None], bound

    with contextlib.ExitStack() as stack:
        # A rounding inside a compiled function could neither be replaced afterwards nor give its error away.
        for module, name, function in compiled_functions():
            stack.enter_context(mock.patch.object(module, name, function.__wrapped__))
        for rounding in ROUNDINGS:
            for module, name in places_of(rounding):
                stack.enter_context(mock.patch.object(module, name, shifted(rounding)))
        if and_ranges:
            for kind in (ranges.PerVector, ranges.AbsoluteMaximum):
                stack.enter_context(mock.patch.object(kind, "normalise", unclipped))
        # Several planes in one product come apart again only where they hold whole numbers.
        stack.enter_context(mock.patch.object(planes, "planes_per_product", return_value=1))
        yield
