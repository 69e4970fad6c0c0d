"""What hetd and the process with pyslurm say to each other: msgpack frames."""

from __future__ import annotations

import msgspec


class JobsAsked(msgspec.Struct, frozen=True):
    """Asks for these jobs, or for all; those that are gone have no answer.

    `singly`: by a question to slurmctld for each. Only for jobs that wait and are of no array: of
    others pyslurm asks for their steps, too, or loses the memory of their siblings.
    """

    ids: list[int] | None = None
    singly: bool = False


class ToldJob(msgspec.Struct, frozen=True, array_like=True):
    """What pyslurm tells of a job that no line of squeue does, and what shows whether the two are
    of one moment (`state`, `restarts`, `nodes`). Numbers are 0 and texts '' where nothing is set.

    `gres` has, for each of its nodes in order, what it holds there: name and type, count, and the
    indexes of the devices or None where pyslurm does not know them (shares). Memory is in MiB.
    """

    id: int
    state: str
    restarts: int = 0
    nodes: str = ""
    array_id: int = 0
    array_task: int = 0
    array_tasks: str = ""
    array_limit: int = 0
    max_nodes: int = 0
    memory_per_cpu: int = 0
    memory_per_node: int = 0
    switches: int = 0
    switches_wait: int = 0
    flags: tuple[str, ...] = ()
    gres: tuple[tuple[tuple[str, int, str | None], ...], ...] = ()
    shared: str = ""
    ntasks_per_gpu: int = 0


class ToldJobs(msgspec.Struct, frozen=True):
    """The answer: the jobs, or in words why there are none. `useless`: nor will there ever be.

    The first one has no jobs: it says that pyslurm is there.
    """

    jobs: tuple[ToldJob, ...] = ()
    failure: str = ""
    useless: bool = False
