"""Wires: line resistance folded into an effective conductance matrix."""

from jaxaimc.wires.base import Effective, NoWires, Placement, Wires
from jaxaimc.wires.ladder import Ladder

__all__ = ["Effective", "Ladder", "NoWires", "Placement", "Wires"]
