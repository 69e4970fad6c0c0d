"""Full records of single jobs on a Slurm whose `squeue --json` always prints all of them (22.05).

Most of a record is in its line (lines.py). What is not, `scontrol -o -d show job` tells: as text,
in which a job may be named `x UserId=root(0)`. But before what is read there, all that a user can
write is known from the line, so that the text is matched from its start, literally: whatever does
not match is not understood, and then the job is read as JSON.

scontrol reads its commands from stdin, so that one call reads many jobs. It is told to print a mark
between them, which nobody else knows.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from slurm_het.core.syntax import hostlist
from slurm_het.core.syntax.durations import parse_minutes
from slurm_het.slurm.layouts import flags_of
from slurm_het.slurm.lines import Line, Marks, NotUnderstoodError, end_of, rest_of

_UNSET = {"(null)", "N/A", "*", "None", ""}
_NO_NUMBER = _UNSET | {str(0xFFFFFFFF), str(0xFFFFFFFE)}
_ON_NODES = re.compile(r"Nodes=(\S+) CPU_IDs=\S* Mem=\d+ GRES=(\S*) ")


def commands(lines: Mapping[int, Line], ids: Iterable[int], marks: Marks) -> bytes:
    """What scontrol is to read so that `parse_records` can read its answer."""
    asked = (f"show job {_one(job_id, lines[job_id])}\n" for job_id in ids)
    return "".join(f"show hostnames {marks.record}\n{one}" for one in asked).encode()


def _one(job_id: int, line: Line) -> str:
    """The name of the one record, where the id of an array names those of all its tasks."""
    array, _, tasks = line.tasks.partition("_")
    first = re.match(r"\[?(\d+)", tasks)
    return f"{array}_{first.group(1)}" if first else str(job_id)


def parse_records(
    text: str, lines: Mapping[int, Line], ids: Iterable[int], marks: Marks
) -> Iterator[dict[str, Any]]:
    """The records in the form of 22.05's JSON; jobs that are gone are left out.

    Raises NotUnderstoodError, also where a job has changed between its line and the text.
    """
    _, *parts = text.split(f"\n{marks.record}\n")
    asked = list(ids)
    if len(parts) != len(asked):
        raise NotUnderstoodError(f"scontrol answered {len(parts)} of {len(asked)} questions")
    for job_id, part in zip(asked, parts, strict=True):
        start = part.find("JobId=")
        if start >= 0:
            yield _record(job_id, lines[job_id], marks, part[start:])


def _record(job_id: int, line: Line, marks: Marks, text: str) -> dict[str, Any]:
    told = rest_of(line, marks)
    match = re.match(_start_of(job_id, told), text, re.DOTALL)
    if not match:
        raise NotUnderstoodError(f"scontrol's text of job {job_id} begins as none that is known")
    state, throttle, excluded = match["state"], match["throttle"], match["excluded"]
    rest = text[match.end() :].partition(" Features=")[0]
    memory = re.search(r" MinMemory(CPU|Node)=", rest)
    most = re.search(r" NumNodes=\d+(?:-(\d+))? ", rest)
    if not memory or not most:
        raise NotUnderstoodError(f"scontrol's text of job {job_id} tells no memory, or no nodes")
    kind = "memory_per_cpu" if memory[1] == "CPU" else "memory_per_node"
    by_node = {
        node: gres
        for nodes, gres in _ON_NODES.findall(rest)
        for node in hostlist.expand_readable(nodes)
    }
    nodes = hostlist.expand_readable(told["NodeList"]) if by_node else ()
    return {
        **from_line(job_id, line, told),
        **_task_of(line),
        "job_state": state,
        "array_job_id": int(match["array"] or 0),  # also of one whose tasks are all cancelled
        "array_max_tasks": int(throttle or 0),
        "excluded_nodes": _text(excluded),
        "max_nodes": int(most[1] or 0),
        "flags": flags_of(text[match.end() :]),
        kind: _megabytes(told["MinMemory"]) or None,
        "gres_detail": [by_node[node] for node in nodes if by_node.get(node)],
    }


def _start_of(job_id: int, told: Mapping[str, str]) -> str:
    """A pattern for the start of the text, up to the node lists."""
    known = {name: re.escape(value) for name, value in told.items()}
    label = "N/A" if told["MCSLabel"] in _UNSET else known["MCSLabel"]
    return (
        rf"JobId={job_id} "
        r"(?:ArrayJobId=(?P<array>\d+) ArrayTaskId=\S+ (?:ArrayTaskThrottle=(?P<throttle>\d+) )?|"
        rf"HetJobId=\d+ HetJobOffset=\d+ )?JobName={known['Name']} (?:HetJobIdSet=\S+ )?"
        rf"UserId=[^ =]+\({known['UserID']}\) GroupId=[^=]+ MCS_label={label} "
        rf"Priority=\d+ Nice=-?\d+ Account={known['Account']} QOS={known['QOS']} "
        rf"(?:WCKey={known['WCKey']} )?JobState=(?P<state>\w+) Reason=.*? "
        rf"AllocNode:Sid={known['AllocNodes']}:\d+ "
        r"ReqNodeList=\S+ ExcNodeList=(?P<excluded>\S+) NodeList="
    )


def _task_of(line: Line) -> dict[str, Any]:
    tasks = line.tasks.partition("_")[2]
    listed = tasks.startswith("[")
    return {
        "array_task_id": None if listed or not tasks else _count(tasks),
        "array_task_string": tasks.strip("[]") if listed else "",
    }


def from_line(job_id: int, line: Line, told: Mapping[str, str]) -> dict[str, Any]:
    """What a line tells of a record; `told` are its fields that change seldom, by their names.

    Raises NotUnderstoodError.
    """
    unknown = told["UserName"] == "nobody"  # what squeue calls a user whom its host does not know
    own = own_values(line, told)
    return {
        "job_id": job_id,
        "user_name": None if unknown and told["UserID"] != "65534" else told["UserName"],
        "user_id": _count(told["UserID"]),
        "state_reason": _reason(line.reason),
        "shared": SHARED.get(told["OverSubscribe"], ""),
        "contiguous": told["Contiguous"] == "1",
        "time_limit": own.pop("time_limit_minutes"),
        "exit_code": _status(told["exit_code"]),
        **{key: _text(told[name]) for key, name in _TEXTS.items()},
        **{key: _count(told[name]) for key, name in _COUNTS.items()},
        **own,
    }


def own_values(line: Line, own: Mapping[str, str]) -> dict[str, Any]:
    """What is seldom the same of two jobs, as a Job has it; `own` has the line's fields OWN, at
    least. Raises NotUnderstoodError."""
    return {
        "name": _free(own["Name"]),
        "priority": _count(line.priority),
        "time_limit_minutes": parse_minutes(own["TimeLimit"]),
        "submit_time": _count(own["SubmitTime"]),
        "eligible_time": _count(own["EligibleTime"]),
        "start_time": _count(line.start),
        "end_time": end_of(line),
        "admin_comment": _free(own["admin_comment"]),
        "comment": _free(own["Comment"]),
    }


SHARED = {"NO": "none", "USER": "user", "MCS": "mcs", "TOPO": "topo"}
_TEXTS = {
    "account": "Account", "qos": "QOS", "partition": "Partition",
    "dependency": "Dependency", "features": "Feature", "prefer": "Prefer",
    "resv_name": "Reservation", "licenses": "Licenses",
    "required_nodes": "ReqNodes", "nodes": "NodeList", "tres_per_node": "tres-per-node",
    "tres_per_job": "tres-per-job", "tres_per_task": "tres-per-task",
    "tres_per_socket": "tres-per-socket", "cpus_per_tres": "cpus-per-tres",
    "memory_per_tres": "mem-per-tres",
}  # fmt: skip
_COUNTS = {
    "het_job_id": "HetJobID", "node_count": "NumNodes", "cpus": "NumCPUs", "tasks": "NumTasks",
    "tasks_per_node": "NTPerNode", "tasks_per_socket": "NTPerSocket", "sockets_per_node": "Sockets",
    "threads_per_core": "Threads", "minimum_cpus_per_node": "MinCpus", "restart_cnt": "RestartCnt",
    "deadline": "Deadline",
}  # fmt: skip


def _text(value: str) -> str:
    return "" if value in _UNSET else value


def _free(value: str) -> str:
    """What users write: that may be `None`, which means something elsewhere."""
    return "" if value == "(null)" else value


def _count(value: str) -> int:
    """A number, 0 of what is not set. Raises NotUnderstoodError."""
    if value in _NO_NUMBER:
        return 0
    if not value.isdecimal():
        raise NotUnderstoodError("squeue prints something else where a number stood")
    return int(value)


def _status(value: str) -> int:
    """What wait() gives. 22.05 prints just that, later ones `CODE:SIGNAL`."""
    code, colon, signal = value.partition(":")
    return _count(code) << 8 | _count(signal) if colon else _count(value)


def _megabytes(value: str) -> int:
    return _count(value.removesuffix("M"))


_SENTENCES = {
    "Nodes required for job are DOWN": "Resources",
    "job requeued in ": "JobHeldUser",
    "launch failed requeued held": "JobHeldUser",
}
"""By how the sentence begins that squeue prints instead of a reason: the reason."""


def _reason(text: str) -> str:
    """The reason's word, also where squeue prints a sentence. Raises NotUnderstoodError."""
    if match := re.match(r"\(?(\w+)(?=[,(:)]|$)", text):
        return match.group(1)
    for start, reason in _SENTENCES.items():
        if text.startswith(start):
            return reason
    raise NotUnderstoodError("squeue gives a reason in words that are not known")
