"""What devices say of themselves, as far as the planner and those who look need it."""

from __future__ import annotations

from dataclasses import dataclass

MIB = 1024  # in a GiB
OF_NODE = -1
"""The index of a device of which nobody tells which of Slurm's it is: what it says closes none."""


@dataclass(frozen=True, slots=True)
class Measured:
    """Of one device of a node, by Slurm's index there: GiB that are really in use, and in all.

    None is not known. `excess_gib`: so much more is in use than Slurm has given away, for long
    enough to count; 0: no more. `trouble` says why it must not be used, '' if it may. `model`: as
    its driver spells it. With the index OF_NODE `excess_gib` is that of the node as a whole.
    """

    index: int
    used_gib: int | None = None
    total_gib: int | None = None
    excess_gib: int = 0
    trouble: str = ""
    model: str = ""

    @property
    def ails(self) -> bool:
        """Whether it is not what Slurm takes it for."""
        return bool(self.excess_gib or self.trouble)

    @property
    def of_node(self) -> bool:
        """Whether it is not known which of Slurm's devices it is."""
        return self.index == OF_NODE
