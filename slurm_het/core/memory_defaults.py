"""What a partition gives a job whose user left its host memory, or its time, open."""

from __future__ import annotations

from typing import NamedTuple


class MemoryDefaults(NamedTuple):
    """MiB; 0: the partition says none.

    Slurm applies the first that there is, when it looks at the job in that partition.
    """

    per_gpu: int = 0
    per_cpu: int = 0
    per_node: int = 0


NO_DEFAULTS = MemoryDefaults()

TimeLimits = tuple[tuple[str, int | None], ...]
"""By partition, minutes; None is no limit."""
