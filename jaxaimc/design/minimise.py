"""Design by gradient: the loop over steps, what it keeps, and how it ends."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import optax
from jaxtyping import Array, Key

from jaxaimc._core.arguments import check_key
from jaxaimc._core.checks import check_integer, shown
from jaxaimc.design import saved
from jaxaimc.design.constraints import Constraint
from jaxaimc.design.result import Design
from jaxaimc.design.space import Numbers, Space, plain, validate
from jaxaimc.design.step import Objective, Record, State, Stepper
from jaxaimc.design.variables import Configs, Variable


class DesignDivergedError(FloatingPointError):
    """The objective or its gradient became NaN or infinite.

    Attributes:
        result: The design before that step, with the history up to it.
    """

    def __init__(self, message: str, result: Design | None):
        super().__init__(message)
        self.result = result


class DesignProgress(NamedTuple):
    """Where a design run stands.

    Attributes:
        step: Steps done.
        steps: Steps in all.
        scalars: Objective, parts and penalties before the last step.
        values: The variables' values before the last step.
    """

    step: int
    steps: int
    scalars: Mapping[str, float]
    values: Mapping[str, float]


Progress = Callable[[DesignProgress], None]


def minimise(
    objective: Objective,
    config: Configs,
    variables: Sequence[Variable | str],
    optimizer: optax.GradientTransformation | None = None,
    *,
    steps: int,
    key: Key[Array, ""],
    chips: int = 1,
    fresh_chips: bool = True,
    constraints: Sequence[Constraint] = (),
    projection: Callable[[Any], Any] | None = None,
    parameters: Any = None,
    parameter_optimizer: optax.GradientTransformation | None = None,
    file: str | Path | None = None,
    every: int = 20,
    notes: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> Design:
    """Minimise an objective over fields of a config, by gradient.

    Fields are moved as unconstrained numbers (`jaxaimc.design.bijections`), which is what the optimiser's learning rate
    is in: near a bound a step of 0.05 is five per cent of the distance from it. The gradient is that of the objective
    as JAX has it: exact through wires, devices and costs, straight-through at roundings.

    A run with a file saves its state there and the same call continues from it, with the same result to the bit as
    without interruption, on the same machine and versions; with more steps it goes on. What the objective, the
    constraints and the optimiser's numbers are cannot be told from outside: `notes` identifies them.

    Args:
        objective: `(config, key) -> scalar`, or `(scalar, parts)` with named scalars; `config` is of the kind of the
            argument `config`. A pytree with `__call__`, such as `NetworkObjective` or `jax.tree_util.Partial`, shares
            compilations with others of its structure. With `parameters` it is called with them as third argument.
        config: Where the design starts: one config for all layers, or configs by rule (None keeps layers digital).
        variables: Fields that may change, as `Variable` or paths.
        optimizer: Any optax optimiser, those with line search included; `optax.adam(0.05)` by default.
        steps: Steps in all.
        key: Chips are drawn from it.
        chips: Keys over which the objective is averaged, by `jax.vmap` in one compiled step.
        fresh_chips: Whether every step draws its own keys; otherwise all steps have the same, which makes the objective
            a plain function, as line searches need.
        constraints: Added to the objective as penalties.
        projection: `config -> config`, applied after every step; only the variables are taken from what it returns.
        parameters: A pytree of arrays that is trained along, such as `NetworkObjective.parameters`.
        parameter_optimizer: Its optax optimiser; `optax.adam(1e-3)` by default.
        file: Where the state is kept; None to keep none.
        every: Steps between two saves; the state is also saved where the run ends or is interrupted.
        notes: Further JSON values that identify the run; compared on resuming.
        progress: Called after every step.

    Returns:
        The found design, with its history.

    Raises:
        ValueError: If an argument is of another kind or out of range, as `Space.of`; if the file holds another run; if
            the found design breaks a rule across fields.
        DesignDivergedError: If the objective or its gradient is not finite; names the step and the variable, and has
            the design before it.

    Example:
        >>> from jaxaimc import AnalogConfig, design
        >>> def objective(config, key):
        ...     return (config.wires.r - 2.0) ** 2
        >>> found = design.minimise(objective, AnalogConfig(), ["wires.r"], steps=150, key=jax.random.key(0))
        >>> round(found.values["wires.r"], 2)
        2.0
    """
    stepper = make_stepper(
        Space.of(config, variables),
        optimizer,
        chips=chips,
        fresh_chips=fresh_chips,
        constraints=constraints,
        projection=projection,
        parameter_optimizer=optimizer_of(parameters, parameter_optimizer),
    )
    return run(
        stepper, objective, steps=steps, key=key, parameters=parameters, file=file, every=every, notes=notes,
        progress=progress,
    )  # fmt: skip


def optimizer_of(
    parameters: Any, optimizer: optax.GradientTransformation | None
) -> optax.GradientTransformation | None:
    """Return what trains the parameters: None where there are none.

    Args:
        parameters: Trained along, or None.
        optimizer: What was given for them.

    Raises:
        ValueError: If there is an optimiser without parameters.
    """
    if parameters is None and optimizer is not None:
        raise ValueError("Argument `parameter_optimizer` needs `parameters`, but there are none.")
    return None if parameters is None else optimizer or optax.adam(1e-3)


def make_stepper(
    space: Space,
    optimizer: optax.GradientTransformation | None,
    *,
    chips: int,
    fresh_chips: bool,
    constraints: Sequence[Constraint],
    projection: Callable[[Any], Any] | None,
    parameter_optimizer: optax.GradientTransformation | None,
) -> Stepper:
    """Check arguments of `minimise` and return what makes its steps."""
    check_integer("minimise", "chips", chips, low=1)
    if not isinstance(fresh_chips, bool):
        raise ValueError(f"Argument `fresh_chips` must be True or False, but is {shown(fresh_chips)}.")
    if isinstance(constraints, Constraint) or not all(isinstance(one, Constraint) for one in constraints):
        raise ValueError(f"Argument `constraints` must be a list of Constraint, but is {shown(constraints)}.")
    names = [one.name for one in constraints]
    if len(set(names)) < len(names):
        raise ValueError(f"Argument `constraints` must have distinct names, but has {', '.join(map(repr, names))}.")
    optimizer = optax.adam(0.05) if optimizer is None else optimizer
    for name, one in (("optimizer", optimizer), ("parameter_optimizer", parameter_optimizer)):
        if one is not None and not (hasattr(one, "init") and hasattr(one, "update")):
            raise ValueError(f"Argument `{name}` must be an optax optimiser, but is {shown(one)}.")
    return Stepper(
        space,
        optimizer,
        parameter_optimizer,
        chips=chips,
        fresh=fresh_chips,
        constraints=constraints,
        projection=projection,
    )


def run(
    stepper: Stepper,
    objective: Objective,
    *,
    steps: int,
    key: Key[Array, ""],
    parameters: Any = None,
    numbers: Numbers | None = None,
    file: str | Path | None = None,
    every: int = 20,
    notes: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> Design:
    """Make the steps of `minimise`; arguments as there.

    Args:
        stepper: Makes the steps.
        objective: The objective.
        steps: Steps in all.
        key: Chips are drawn from it.
        parameters: Trained along.
        numbers: Unconstrained numbers to start from; those of the variables' starts by default.
        file: Where the state is kept.
        every: Steps between two saves.
        notes: Identify the run.
        progress: Called after every step.
    """
    check_key("key", key)
    check_integer("minimise", "steps", steps, low=0)
    check_integer("minimise", "every", every, low=1)
    if not callable(objective):
        raise ValueError(f"Argument `objective` must be a function, but is {shown(objective)}.")
    state = stepper.start(stepper.space.start() if numbers is None else numbers, parameters)
    facts = {
        **stepper.space.facts(),
        "chips": [stepper.chips, stepper.fresh],
        "key": np.asarray(jax.random.key_data(key)).tolist(),
        "start": plain(state.numbers),
        "constraints": [[one.name, one.weight] for one in stepper.constraints],
        "notes": dict(notes or {}),
    }
    history: saved.History = {}
    path = None if file is None else Path(file)
    if path is not None and path.exists():
        state, history = saved.restore(path, state, facts)
        if int(state.step) > steps:
            raise ValueError(f"Argument `steps` must be at least the {int(state.step)} that are done, but is {steps}.")
    kept = int(state.step)
    try:
        while int(state.step) < steps:
            new, record = stepper(objective, state, key)
            _check(stepper, record, state, history)
            state = new
            _append(history, record)
            if path is not None and int(state.step) - kept >= every:
                saved.save(path, state, history, facts)
                kept = int(state.step)
            if progress is not None:
                progress(DesignProgress(int(state.step), steps, plain(record.scalars), plain(record.values)))
    finally:
        if path is not None and int(state.step) > kept:
            saved.save(path, state, history, facts)
    # What the last update led to. The same compiled step finds it, and its own update is dropped.
    after, record = stepper(objective, state, key)
    _check(stepper, record, state, history)
    whole = {name: list(column) for name, column in history.items()}
    _append(whole, record)
    found = _result(stepper, state, whole, after.best)
    try:
        validate(found.config)
    except ValueError as error:
        raise ValueError(
            f"The design that was found after {steps} steps is not allowed: {error} Give narrower bounds, or a "
            "constraint."
        ) from error
    return found


def _append(history: saved.History, record: Record) -> None:
    for name, value in {**record.scalars, **record.values}.items():
        history.setdefault(name, []).append(float(value))


def _result(stepper: Stepper, state: State, history: saved.History, best: Any) -> Design:
    space = stepper.space
    columns = {name: np.asarray(column) for name, column in history.items()}
    last = plain(space.values(state.numbers))
    values = plain(space.values(best.numbers))
    # The first of the lowest, as the steps have it.
    row = len(columns["total"]) - 1 if stepper.fresh else int(np.argmin(columns["total"]))
    chosen, parameters = (last, state.parameters) if stepper.fresh else (values, best.parameters)
    return Design(
        config=space.configs(chosen),
        values=chosen,
        parameters=parameters,
        variables=space.variables,
        steps=int(state.step),
        history=columns,
        row=row,
        best=values,
        last=last,
    )


def _check(stepper: Stepper, record: Record, state: State, history: saved.History) -> None:
    """Raise where a step found what is not finite; `state` is that before it."""
    if bool(record.finite):
        return
    broken = [name or "the parameters" for name, sound in record.sound.items() if not bool(sound)]
    parts = [name for name, sound in record.parts.items() if not bool(sound)]
    what = f"{', '.join(parts)} {'is' if len(parts) == 1 else 'are'} not finite" if parts else "the objective is finite"
    slopes = f"the gradient is not finite in {', '.join(broken)}" if broken else "the gradient is finite"
    each = ", ".join(f"{one.name} = {one.text(float(record.values[one.name]))}" for one in stepper.space.variables)
    last = None
    if history:
        last = _result(stepper, state._replace(numbers=_before(stepper, history)), history, state.best)
    raise DesignDivergedError(
        f"Step {int(state.step) + 1} of the design: {what}, and {slopes}, at {each}; the last good design is in "
        "`result` of this error. A smaller learning rate or narrower bounds may help.",
        last,
    )


def _before(stepper: Stepper, history: saved.History) -> Numbers:
    """Return the unconstrained numbers of the last row that was finite."""
    return stepper.space.numbers({one.name: history[one.name][-1] for one in stepper.space.variables})
