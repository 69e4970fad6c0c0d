"""Records of jobs in the form of squeue's JSON, from a line of squeue and what pyslurm tells.

The line has what pyslurm does not: --gpus, --gpus-per-socket, --cpus-per-gpu, --mem-per-gpu, names
that are not UTF-8, exit codes above 127. What neither has is left to squeue's JSON: the devices of
shares, and --use-min-nodes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from slurm_het.core.jobs.request import NODES
from slurm_het.slurm.api.wire import ToldJob
from slurm_het.slurm.lines import Line, NotUnderstoodError
from slurm_het.slurm.text_records import SHARED, from_line

KNOWN_STATES = {"PENDING", "RUNNING"}
"""Of others, few and short, it is not known what pyslurm tells of their devices."""


def record_of(told: ToldJob, line: Line, fields: Mapping[str, str]) -> dict[str, Any]:
    """The record; `fields` are the line's, by their names. Raises NotUnderstoodError where they
    are not of one moment, or tell too little."""
    if told.state not in KNOWN_STATES:
        raise NotUnderstoodError(f"a job that is {told.state}")
    if told.state != line.state or str(told.restarts) != fields["RestartCnt"]:
        raise NotUnderstoodError("it has changed since its line")
    record = from_line(told.id, line, fields)
    if record["nodes"] != told.nodes:
        raise NotUnderstoodError("it has changed since its line")
    if told.state == "PENDING" and (_several(told, record) or varied(record["admin_comment"])):
        raise NotUnderstoodError("nobody tells whether it is to get the fewest nodes")
    limit = f"%{told.array_limit}" if told.array_limit else ""
    return record | {
        "job_state": told.state,
        "array_job_id": told.array_id,
        "array_task_id": told.array_task if told.array_id and not told.array_tasks else None,
        "array_task_string": told.array_tasks + limit if told.array_tasks else "",
        "array_max_tasks": told.array_limit,
        "excluded_nodes": _text(fields["ExcNodes"]),
        "allocating_node": _text(fields["AllocNodes"]),
        "cpus_per_task": int(per) if (per := fields["cpus-per-task"]).isdecimal() else 0,
        "max_nodes": told.max_nodes,
        "shared": SHARED.get(told.shared, ""),
        "tasks_per_tres": told.ntasks_per_gpu,
        "memory_per_cpu": told.memory_per_cpu or None,
        "memory_per_node": told.memory_per_node or None,
        "required_switches": told.switches,
        "maximum_switch_wait_time": told.switches_wait,
        "flags": told.flags,
        "gres_detail": [_detail(on_node) for on_node in told.gres] if any(told.gres) else (),
    }


def _several(told: ToldJob, record: Mapping[str, Any]) -> bool:
    """Whether it may get one number of nodes or another."""
    return bool(max(told.max_nodes, record["node_count"]) > 1)


def varied(admin_comment: str) -> bool:
    """Whether it asked for one number of nodes or another before it was released."""
    return f'"{NODES}"' in admin_comment


def _text(value: str) -> str:
    return "" if value in {"(null)", "N/A"} else value


def _detail(on_node: tuple[tuple[str, int, str | None], ...]) -> str:
    """`gpu:a100:2(IDX:2-3)`. Raises NotUnderstoodError for shares, whose devices are not told."""
    parts = []
    for name, count, indexes in on_node:
        if indexes is None and count:
            raise NotUnderstoodError("the devices of its shares are not told")
        parts.append(f"{name}:{count}(IDX:{indexes or ''})")
    return ",".join(parts)
