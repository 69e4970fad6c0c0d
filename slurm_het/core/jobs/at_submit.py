"""A job as Slurm's record of it will read, from what the hook is told of it at its submission."""

from __future__ import annotations

from collections.abc import Mapping

from slurm_het.core.jobs.admission import Admitted
from slurm_het.core.jobs.request import TIME_LIMIT, number_of
from slurm_het.core.model import Job
from slurm_het.core.syntax.gres import per_gpu

NOT_SIMPLE = ("script", "reservation", "array_inx", "unlike")
"""With one of these a job waits for hetd, which sees its record. In `unlike` the hook lists what
else it has that bears on when or where it may start."""
EXCLUSIVE, OVERSUBSCRIBE = "0", "1"
"""What the hook tells as `shared`; 2 is --exclusive=user, and so on."""


def record_of(sent: Mapping[str, str], made: Admitted, number: int) -> Job | None:
    """The record of an interactive job that is to wait in the intake; None if it is not simple.

    `number` stands for the job's id.
    """
    if any(sent.get(name) for name in NOT_SIMPLE):
        return None
    if sent.get("shared", OVERSUBSCRIBE) not in {EXCLUSIVE, OVERSUBSCRIBE}:
        return None
    return as_record(sent, made, number)


def as_record(sent: Mapping[str, str], made: Admitted, number: int) -> Job:
    """The record of a job that is to wait in the intake, as far as the hook is told of it."""
    now = {**sent, **made.fields}
    each_gpu, each_cpu = per_gpu(sent.get("mem_per_tres", "")), _amount(sent, "min_mem_per_cpu")
    return Job(
        number,
        user=sent.get("user_name", ""),
        uid=_amount(sent, "user_id"),
        account=sent.get("account", ""),
        qos=sent.get("qos", ""),
        partition=now["partition"],
        priority=1,
        features=now.get("features", ""),
        tres_per_node=now.get("tres_per_node", ""),
        tres_per_job=now.get("tres_per_job", ""),
        tres_per_task=now.get("tres_per_task", ""),
        tres_per_socket=now.get("tres_per_socket", ""),
        nodes_min=_amount(sent, "min_nodes", 1),
        nodes_max=_amount(sent, "max_nodes"),
        tasks=_amount(sent, "num_tasks", 1),
        cpus=_amount(sent, "min_cpus", _amount(sent, "num_tasks", 1)),
        cpus_per_task=_amount(sent, "cpus_per_task", 1),
        ntasks_per_node=_amount(sent, "ntasks_per_node"),
        min_cpus_per_node=_amount(sent, "pn_min_cpus", 1),
        cpus_per_gpu=per_gpu(sent.get("cpus_per_tres", "")) or 0,
        # Nothing said is read as --mem=0, until the partition's default is known.
        memory_per_node_mib=None if each_gpu or each_cpu else _amount(sent, "pn_min_memory"),
        memory_per_cpu_mib=each_cpu or None,
        memory_per_gpu_mib=each_gpu or None,
        exclusive=sent.get("shared") == EXCLUSIVE,
        time_limit_minutes=_amount(sent, TIME_LIMIT) or None,
        admin_comment=now["admin_comment"],
    )


def _amount(sent: Mapping[str, str], name: str, default: int = 0) -> int:
    return number_of(sent.get(name, ""), default)
