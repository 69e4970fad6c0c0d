"""A stand-in for pyslurm 25.11.2: what squeue's JSON has, told as pyslurm tells it, gaps included.

The real one reads shares without their devices, task 0 of an array as None, and raises where a name
is not UTF-8 or a text has another form than it knows. With PYSLURM_FAULT in the environment it does
what the real one may do: `crash`, `exit`, `hang`, `raise`, `garble`, `unreadable`,
`absent`.
"""

from __future__ import annotations

import ctypes
import json
import os
import re
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

if os.environ.get("PYSLURM_FAULT") == "absent":
    raise ImportError("libslurm.so.43: cannot open shared object file")

__version__ = "25.11.2"
FLAGS = ("COMPLETING", "CONFIGURING", "SIGNALING", "STOPPED", "REQUEUED", "SPECIAL_EXIT")


class RPCError(Exception):
    """slurmctld refused, or did not answer."""


def _fault() -> str:
    fault = os.environ.get("PYSLURM_FAULT", "")
    return Path(fault).read_text() if Path(fault).is_file() else fault  # one that comes and goes


def _number(value: Any) -> int | None:
    """Zero and unset are None to pyslurm."""
    if isinstance(value, dict):
        value = value["number"] if value["set"] and not value["infinite"] else None
    return value or None


class Job:
    """One record; only what hetd asks for, under pyslurm's names."""

    def __init__(self, record: Mapping[str, Any]) -> None:
        self._record = record
        self.id = record["job_id"]
        states = record["job_state"]
        self.state = next((flag for flag in FLAGS if flag in states), states[0])
        self.requeue_count = record["restart_cnt"]
        self.allocated_nodes = record["nodes"] or None
        self.array_id = _number(record["array_job_id"])
        self.array_task_id = _number(record["array_task_id"])
        self.array_tasks_waiting = record["array_task_string"].partition("%")[0] or None
        self.array_tasks_parallel = _number(record["array_max_tasks"])
        self.max_nodes = _number(record["max_nodes"])
        self.memory_per_cpu = _number(record["memory_per_cpu"])
        self.memory_per_node = _number(record["memory_per_node"])
        self.required_switches = _number(record["required_switches"])
        self.max_wait_time_switches = _number(record["maximum_switch_wait_time"])
        self.ntasks_per_gpu = _number(record.get("tasks_per_tres"))
        self.resource_sharing = (record["shared"] or ["ok"])[0].replace("none", "no").upper()
        flags = record["flags"]
        self.spreads_over_nodes = "SPREAD_JOB" in flags
        binds = {"GRES_ENFORCE_BIND", "GRES_BINDING_ENFORCED"} & set(flags)
        self.gres_binding = "enforce-binding" if binds else None

    @staticmethod
    def load(job_id: int) -> Job:
        jobs = Jobs.load()
        if job_id not in jobs:
            raise RPCError("Invalid job id specified")
        return jobs[job_id]

    @property
    def name(self) -> str:
        raise UnicodeDecodeError("utf-8", b"", 0, 1, "hetd does not ask for it")

    def get_resource_layout_per_node(self) -> dict[str, dict[str, Any]]:
        if _fault() == "unreadable":
            raise ValueError("Unable to create hostlist.")
        return {str(i): {"gres": _gres(text)} for i, text in enumerate(self._record["gres_detail"])}


def _gres(text: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for item in re.split(r",(?=[a-z])", text):
        match = re.match(r"(.+):(\d+)\((?:IDX:([\d,-]*))?", item)
        if match:
            name, count, indexes = match.groups()
            whole = {"count": int(count), "indexes": indexes}
            found[name] = whole if indexes else int(count)
    return found


class Jobs(dict[int, Job]):
    """All jobs, by their ids."""

    @staticmethod
    def load() -> Jobs:
        fault = _fault()
        if fault == "crash":
            ctypes.string_at(0)
        if fault == "exit":  # as libslurm where it finds no slurm.conf
            os._exit(1)
        if fault == "hang":
            time.sleep(600)
        if fault == "raise":
            raise RPCError("Unable to contact slurm controller (connect failure)")
        jobs = [Job(record) for record in _records()]
        if fault == "garble":  # as v24.11.0 of its repository
            for job in jobs:
                job.get_resource_layout_per_node = dict  # type: ignore[method-assign]
        return Jobs({job.id: job for job in jobs})


def _records() -> Iterator[dict[str, Any]]:
    if recorded := os.environ.get("PYSLURM_RECORDED"):
        text = Path(recorded).read_text()
    else:
        ask = ["squeue", "--all", "--json=v0.0.42"]
        text = subprocess.check_output(ask, text=True, errors="replace")
    yield from json.loads(text)["jobs"]
