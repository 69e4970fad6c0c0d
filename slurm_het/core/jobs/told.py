"""What a user is told at submit, on the terminal: what is wrong with the directives, or cannot be.

If the site wants that, also what was understood. At most MAX_LINES short lines.
"""

from __future__ import annotations

from typing import Literal

from slurm_het.core.jobs.admission import Admitted, Verdict
from slurm_het.core.model import Classification

Tell = Literal["problems", "all", "nothing"]
MAX_LINES = 3
MAX_LINE = 300


def told(verdict: Verdict, tell: Tell) -> tuple[str, ...]:
    """The lines for the terminal."""
    if tell == "nothing":
        return ()
    lines = [problem[:MAX_LINE] for problem in verdict.problems[:MAX_LINES]]
    if tell == "all" and isinstance(verdict, Admitted) and len(lines) < MAX_LINES:
        lines.append(understood(verdict.classification)[:MAX_LINE])
    return tuple(lines)


def understood(what: Classification) -> str:
    """What a job was read as: `training, on amd devices of 40 GiB or more (line 3 loads rocm)`."""
    devices = "|".join(what.types or what.vendors) or "any"
    memory = f" of {what.memory_gib} GiB or more" if what.memory_gib else ""
    share = ", shared" if what.share else ""
    why = next((e for e in what.evidence if e.startswith(("vendors", "types"))), "")
    because = f" ({why.partition(': ')[2]})" if why else ""
    return f"{what.scenario}, on {devices} devices{memory}{share}{because}"
