"""The directive `parts`: a table with a row for each part of a kind, from its class, fields and docstrings."""

import dataclasses
import importlib
import inspect
import re
from typing import Any

from docstrings import as_rst
from docutils import nodes
from docutils.parsers.rst import directives, states
from docutils.statemachine import StringList
from docutils.utils import new_document
from fields import field_names, rows_of, without_attributes
from sphinx.util.docutils import SphinxDirective

from jaxaimc._core.component import CLASSES, Component

# `Name et al. 2022 (Journal 6, 680)`, `Name and Other 2021`, `Name et al. 2022, arXiv 2109.01262`.
_PAPER = re.compile(
    r"(?<!\w)((?:Le |van )?[A-Z][\w/é-]+(?: et al\.| and [A-Z]\w+)? (?:19|20)\d\d\b(?!\.)(?: and \d{4})?"
    r"(?:,? \([^()]*\)|, arXiv [\d.]+\d)?)"
)
_OWN_RULE = re.compile(r"stop_gradient|_ste\b|custom_vjp|custom_jvp|defjvp|defvjp")


def parts_of(package: str, kind: str) -> list[type]:
    """Return the classes of a kind that can be made, in alphabetical order, the abstract ones left out.

    Args:
        package: Name of the package, such as `jaxaimc.adcs`.
        kind: Name of the kind's base class, such as `ADC`.
    """
    module = importlib.import_module(package)
    base = getattr(module, kind)
    classes = [getattr(module, name) for name in sorted(module.__all__, key=str.lower)]
    return [cls for cls in classes if isinstance(cls, type) and issubclass(cls, base) and cls in CLASSES.values()]


def circuit(cls: type) -> str:
    """Return what a part is: the first paragraph of its docstring without what other columns say."""
    first = inspect.cleandoc(cls.__doc__ or "").partition("\n\n")[0].replace("\n", " ")
    first = re.sub(r" (?:Exact g|G)radients?[^.]*\.", "", first)
    return re.sub(r" Sources?: .*$", "", first)


def gradient(cls: type) -> str:
    """Return what the docstrings say of the gradient: the class's own, its methods', its bases'."""
    texts = []
    for base in cls.__mro__:
        if base.__module__.startswith("jaxaimc.") and "component" not in base.__module__:
            texts.append(base.__doc__ or "")
            texts += [
                member.__doc__ or ""
                for name, member in vars(base).items()
                if not name.startswith("_") and (inspect.isroutine(member) or isinstance(member, property))
            ]
    for text in texts:
        text = " ".join("\n".join(without_attributes(inspect.cleandoc(text).split("\n"))[0]).split())
        for sentence in re.split(r"(?<=[.;]) ", text):
            if (
                re.search(r"\b[Gg]radients?\b|[Dd]ifferentiable|^Derivatives", sentence)
                and "onjugate gradient" not in sentence
            ):
                sentence = re.sub(r"^.*?, shape \([^)]*\); ", "", sentence.strip().rstrip(".;"))
                sentence = re.sub(r"^Gradient: ", "", sentence)
                return sentence[:1].upper() + sentence[1:] + "."
    if any(isinstance(field.default, Component) for field in dataclasses.fields(cls)):  # pyright: ignore
        return "Those of its parts."
    own = "".join(inspect.getsource(base) for base in cls.__mro__ if base.__module__ == cls.__module__)
    return "" if _OWN_RULE.search(own) else "That of the formula."


def source(cls: type) -> str:
    """Return the papers that the docstring of a part, or else of its module, names."""
    own, module = (" ".join((text or "").split()) for text in (cls.__doc__, inspect.getmodule(cls).__doc__))  # pyright: ignore
    found = [] if "urvey" in own and "Source" not in own else _PAPER.findall(own)
    if not found:
        found = _PAPER.findall(module)
        # One file may hold the devices of several papers.
        docs = " ".join(base.__doc__ or "" for base in cls.__mro__)
        named = [paper for paper in found if re.match(r"(?:Le )?[\w-]+", paper)[0] in docs]  # pyright: ignore
        found = named or found
    return "; ".join(dict.fromkeys(found))


def parameters(cls: type) -> list[str]:
    """Return a line for each field: name, default with its unit, what is allowed."""
    lines = []
    for row in rows_of(cls):
        allowed = f" ({row.allowed}{' ' + row.unit if row.unit else ''})" if row.allowed else ""
        lines.append(f"``{row.name}`` = {row.default}{allowed}" if row.default else f"``{row.name}``{allowed}")
    return lines


class Parts(SphinxDirective):
    """A table of the parts of a kind: `parts:: jaxaimc.adcs ADC`.

    With the option `structure` there is no column for gradients: parts that choose have none.
    """

    required_arguments = 2
    option_spec = {"structure": directives.flag}  # noqa: RUF012 -- as Sphinx has it

    def run(self) -> list[nodes.Node]:
        """Return the table."""
        package, kind = self.arguments
        self.env.note_reread()  # whatever has changed, the table is of today
        shown = [0, 1, 2, 4] if "structure" in self.options else [0, 1, 2, 3, 4]
        widths = " ".join(str((14, 30, 30, 16, 10)[column]) for column in shown)
        lines = [".. list-table::", "   :class: parts", "   :header-rows: 1", f"   :widths: {widths}", ""]
        rows = [["part", "what it is", "parameters, with defaults", "gradient", "source"]]
        for cls in parts_of(package, kind):
            what, by, paper = (" ".join(as_rst([text])) for text in (circuit(cls), gradient(cls), source(cls)))
            fields = " | ".join(parameters(cls)) if field_names(cls) else "none"
            rows.append([f":py:obj:`{cls.__name__} <{package}.{cls.__name__}>`", what, fields, by, paper])
        rows = [[row[column] for column in shown] for row in rows]
        for row in rows:
            for number, cell in enumerate(row):
                bullet = "   * - " if number == 0 else "     - "
                cells = cell.split(" | ") if number == 2 else [cell]
                if len(cells) > 1:
                    lines += [f"{bullet}| {cells[0]}", *(f"       | {text}" for text in cells[1:])]
                else:
                    lines.append(bullet + cells[0])
        lines.append("")
        return _parsed(self, lines)


def _parsed(directive: SphinxDirective, lines: list[str]) -> list[nodes.Node]:
    """Read lines of reStructuredText inside a page of any format."""
    document = new_document("parts", directive.state.document.settings)
    document.settings.env = directive.env
    machine = states.RSTStateMachine(state_classes=states.state_classes, initial_state="Body")
    machine.run(StringList(lines, source="parts"), document)
    return document.children


def setup(app: Any) -> dict[str, Any]:
    """Register the directive with Sphinx."""
    app.add_directive("parts", Parts)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
