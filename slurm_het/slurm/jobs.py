"""Job records from `squeue --json`, every version in one shape.

JSON, because job names and comments are the users': in the text output a job named
`x UserId=root(0)` cannot be told from a field. What differs by version is in `versions`.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any

import msgspec

from slurm_het.core.model import Job
from slurm_het.core.syntax.gres import per_gpu
from slurm_het.errors import SlurmError
from slurm_het.slurm.layouts import layout_of
from slurm_het.slurm.versions import (
    array_task_id,
    exit_status,
    hosts,
    normalise_tres,
    number,
    short,
    word,
)

log = logging.getLogger("slurm_het.jobs")


class _RawJob(msgspec.Struct):
    """The fields we use; their JSON types differ by version."""

    job_id: int
    user_name: str | None = ""  # 22.05: null where its host does not know the user
    user_id: int = 0
    account: str = ""
    qos: str = ""
    name: str = ""
    partition: str = ""
    job_state: Any = ""
    state_reason: str = ""
    priority: Any = None
    array_job_id: Any = None
    array_task_id: Any = None
    array_task_string: str = ""
    array_max_tasks: Any = None
    het_job_id: Any = None
    dependency: str = ""
    features: str = ""
    prefer: str = ""
    resv_name: str = ""
    licenses: str = ""
    required_nodes: Any = ""
    excluded_nodes: Any = ""
    tres_per_node: str = ""
    tres_per_job: str = ""
    tres_per_task: str = ""
    tres_per_socket: str = ""
    cpus_per_tres: str = ""
    memory_per_tres: str = ""
    node_count: Any = None
    max_nodes: Any = None
    cpus: Any = None
    tasks: Any = None
    cpus_per_task: Any = None
    tasks_per_node: Any = None
    tasks_per_tres: Any = None
    tasks_per_socket: Any = None
    sockets_per_node: Any = None
    threads_per_core: Any = None
    minimum_cpus_per_node: Any = None
    memory_per_node: Any = None
    memory_per_cpu: Any = None
    shared: Any = None
    contiguous: bool = False
    flags: Any = ()
    required_switches: Any = None
    maximum_switch_wait_time: Any = None
    time_limit: Any = None
    submit_time: Any = None
    eligible_time: Any = None
    start_time: Any = None
    end_time: Any = None
    restart_cnt: int = 0
    exit_code: Any = None
    nodes: str = ""
    gres_detail: Any = ()
    admin_comment: str = ""
    comment: str = ""
    allocating_node: str = ""
    deadline: Any = None


class _Answer(msgspec.Struct):
    jobs: list[_RawJob] = []
    errors: Any = ()


_decoder = msgspec.json.Decoder(_Answer)


def parse_jobs(payload: bytes, *, memory_tracked: bool) -> tuple[Job, ...]:
    """Decode squeue's JSON; users' groups it does not tell. Raises SlurmError.

    `memory_tracked` is whether Slurm allocates host memory (SelectTypeParameters has Memory):
    if so, a job with no memory set takes all of its nodes' memory.
    """
    text = payload.decode("utf-8", "replace")  # Slurm passes any bytes in a job's name on
    try:
        answer = _decoder.decode(text)
    except msgspec.DecodeError as error:
        answer = _one_by_one(text, error)
    if answer.errors:  # 22.05 exits with 0 and an empty list of jobs where slurmctld is away
        raise SlurmError(f"squeue: {str(answer.errors)[:200]}", "is slurmctld up and responsive?")
    return tuple(_job(raw, memory_tracked) for raw in answer.jobs)


def _one_by_one(text: str, why: msgspec.DecodeError) -> _Answer:
    """The answer where some job has what is no JSON of ours: NaN, null, half a character.

    Such a field counts as not there; a job that still cannot be read is left out, and named.
    """
    try:
        answer = json.loads(text, parse_constant=lambda _: None)  # NaN, Infinity
        records, errors = list(answer["jobs"]), answer.get("errors", ())
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise SlurmError(f"cannot read squeue's JSON: {why}") from error
    jobs: list[_RawJob] = []
    for record in records:
        try:
            jobs.append(msgspec.convert(_sound(record), _RawJob))
        except (msgspec.ValidationError, AttributeError, RecursionError) as error:
            name = record.get("job_id") if isinstance(record, dict) else "?"
            log.warning("job %s is left out, its record cannot be read: %s", name, error)
    if records and not jobs:  # then it is the answer that is odd, and no job
        raise SlurmError(f"cannot read squeue's JSON: {why}") from why
    return _Answer(jobs, errors)


def _sound(record: dict[str, Any]) -> dict[str, Any]:
    """What of a record says something, in whole characters."""
    return {
        key: value.encode("utf-8", "replace").decode() if isinstance(value, str) else value
        for key, value in record.items()
        if value is not None and not (isinstance(value, dict) and None in value.values())
    }


def job_of(record: Mapping[str, Any], *, memory_tracked: bool) -> Job:
    """The job of one record in the form of the JSON, as `parse_jobs` makes it."""
    return _job(msgspec.convert(record, _RawJob), memory_tracked)


def _job(raw: _RawJob, memory_tracked: bool) -> Job:
    exit_code, exit_signal = exit_status(raw.exit_code)
    return Job(
        id=raw.job_id,
        user=raw.user_name or str(raw.user_id),
        uid=raw.user_id,
        account=raw.account,
        qos=raw.qos,
        name=raw.name,
        partition=raw.partition,
        state=word(raw.job_state),
        reason=raw.state_reason or "None",
        priority=number(raw.priority) or 0,
        dependency=raw.dependency,
        reservation=raw.resv_name,
        licenses=raw.licenses,
        restarts=raw.restart_cnt,
        exit_code=exit_code,
        exit_signal=exit_signal,
        nodes=raw.nodes,
        gres_detail=tuple(raw.gres_detail or ()),
        admin_comment=raw.admin_comment,
        comment=raw.comment,
        alloc_node=raw.allocating_node,
        deadline=number(raw.deadline) or 0,
        **_array(raw),
        **_request(raw),
        **_memory(raw, memory_tracked),
        **_times(raw),
    )


def _array(raw: _RawJob) -> dict[str, Any]:
    return {
        "array_job_id": number(raw.array_job_id) or 0,
        "array_task_id": array_task_id(raw.array_task_id, raw.array_job_id, raw.array_task_string),
        "array_tasks": raw.array_task_string,
        "array_limit": number(raw.array_max_tasks) or 0,
        "het_job_id": number(raw.het_job_id) or 0,
    }


def _request(raw: _RawJob) -> dict[str, Any]:
    cpus, tasks = number(raw.cpus) or 1, number(raw.tasks) or 1
    return {
        "features": raw.features,
        "req_nodes": hosts(raw.required_nodes),
        "exc_nodes": hosts(raw.excluded_nodes),
        "tres_per_node": normalise_tres(raw.tres_per_node),
        "tres_per_job": normalise_tres(raw.tres_per_job),
        "tres_per_task": normalise_tres(raw.tres_per_task),
        "tres_per_socket": normalise_tres(raw.tres_per_socket),
        "nodes_min": number(raw.node_count) or 1,
        "nodes_max": number(raw.max_nodes) or 0,
        "cpus": cpus,
        "tasks": tasks,
        # 22.05 tells it only beside --cpu-freq.
        "cpus_per_task": short(raw.cpus_per_task) or max(1, cpus // tasks),
        "ntasks_per_node": short(raw.tasks_per_node) or 0,
        "ntasks_per_gpu": short(raw.tasks_per_tres) or 0,
        "ntasks_per_socket": short(raw.tasks_per_socket) or 0,
        "sockets_per_node": short(raw.sockets_per_node) or 0,
        "threads_per_core": short(raw.threads_per_core) or 0,
        "min_cpus_per_node": short(raw.minimum_cpus_per_node) or 1,
        "cpus_per_gpu": per_gpu(raw.cpus_per_tres) or 0,
        "exclusive": word(raw.shared) == "none",
        "layout": layout_of(raw),
    }


def _memory(raw: _RawJob, memory_tracked: bool) -> dict[str, Any]:
    cpu_mib, node_mib = number(raw.memory_per_cpu), number(raw.memory_per_node)
    gpu_mib = per_gpu(raw.memory_per_tres)
    if not memory_tracked:
        cpu_mib = node_mib = gpu_mib = None
    elif gpu_mib is not None:
        cpu_mib = node_mib = None  # 24.11 on also prints one device's share as memory_per_node
    elif cpu_mib is None and node_mib is None and gpu_mib is None:
        node_mib = 0  # --mem=0, or no default: Slurm gives all of the node's memory
    return {
        "memory_per_node_mib": node_mib,
        "memory_per_cpu_mib": cpu_mib,
        "memory_per_gpu_mib": gpu_mib,
    }


def _times(raw: _RawJob) -> dict[str, Any]:
    return {
        "time_limit_minutes": number(raw.time_limit),
        "submit_time": number(raw.submit_time) or 0,
        "eligible_time": number(raw.eligible_time) or 0,
        "start_time": number(raw.start_time) or 0,
        "end_time": number(raw.end_time) or 0,
    }
