"""What `--json` prints, and the page's JSON: documents whose keys are only ever added to.

docs/schemas/ has the JSON schema of each, made from the classes here: `python -m
slurm_het.cli.documents docs/schemas` writes them.
"""

from __future__ import annotations

import sys
from inspect import cleandoc
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import UNSET, Struct, UnsetType

from slurm_het.cli.try_documents import TryDocument
from slurm_het.cli.why_documents import WhyDocument
from slurm_het.core.cluster.holdings import HeldDevices
from slurm_het.core.reasons import TellTime
from slurm_het.core.reasons.idle import Cause, Idle
from slurm_het.core.views.accuracy import Accuracy
from slurm_het.core.views.device_map import DeviceMap, PoolType
from slurm_het.core.views.free import NodeFree, PoolFree
from slurm_het.core.views.job_rows import Ask
from slurm_het.core.views.learned import LearnedProgram
from slurm_het.core.views.totals import PoolUse, Summary, Totals
from slurm_het.replay.documents import ReplayDocument, ShadowDocument


class SourceDocument(Struct, kw_only=True):
    """When (epoch seconds), from which Slurm, with which configuration; what could not be read."""

    time: int
    slurm: str
    config: str
    warnings: list[str]


class IdleDocument(Struct, kw_only=True):
    """Why a device is idle: the code, and the words. `time` are epoch seconds, null where there is
    none: until when it is held for `job`, or from when it is reserved."""

    cause: Cause
    job: str | None
    time: int | None
    text: str


class DeviceDocument(Struct, kw_only=True):
    """One device; `idle` is null while jobs hold it, or any memory of it."""

    index: int
    type: str
    vendor: str
    memory_gib: int
    occupied_gib: int
    holders: list[str]
    idle: IdleDocument | None


class NodeDocument(Struct, kw_only=True):
    """One node and its devices."""

    node: str
    pools: list[str]
    state: str
    reason: str
    cpus: int
    cpus_free: int
    memory_mib: int
    memory_free_mib: int
    devices: list[DeviceDocument]


class MapDocument(Struct, kw_only=True):
    """het-sinfo --json."""

    types: list[PoolType]
    nodes: list[NodeDocument]
    source: SourceDocument


class JobDocument(Struct, kw_only=True):
    """One job. Times are epoch seconds, 0 where Slurm has none; `waited_seconds` is squeue's
    PendingTime; what is expected is null and [] unless --start asks for it. Then a waiting job has
    an expected start, or `expected_cause` says why none is known."""

    id: str
    job_id: int
    array_job_id: int | None
    user: str
    account: str
    qos: str
    name: str
    partition: str
    pool: str
    scenario: str | None
    types: list[str]
    devices: list[HeldDevices]
    memory_gib: int
    asks: Ask | None
    state: str
    seconds: int
    waited_seconds: int
    time_limit_minutes: int | None
    priority: int
    submit_time: int
    start_time: int
    reason: str
    slurm_reason: str
    evidence: list[str]
    readable: bool
    expected_start: int | None
    likely_start: int | None
    expected_nodes: list[str]
    reason_code: str | None
    action: str
    expected_cause: str | None


class GateDocument(Struct, kw_only=True):
    """The gate: as hetd has it, or as Slurm alone shows it where `hetd` is false."""

    state: str
    bypass: bool
    intake: str
    intake_state: str
    modes: dict[str, str]
    hetd: bool


class QueueDocument(Struct, kw_only=True):
    """het-squeue --json. What was not asked for is left out. `told` comes with --start: how good
    the times were that were told before; null while hetd does not answer."""

    jobs: list[JobDocument] | UnsetType = UNSET
    free: list[PoolFree] | UnsetType = UNSET
    nodes: list[NodeFree] | UnsetType = UNSET
    totals: Totals | UnsetType = UNSET
    told: Accuracy | UnsetType | None = UNSET
    gate: GateDocument
    source: SourceDocument


class StatusDocument(Struct, kw_only=True):
    """slurm-het status --json. `code` is its exit code; the intake's State is null while slurmctld
    is silent, and so is the summary; so is, while hetd is, how good `told` start times were."""

    state: str
    code: int
    words: str
    intake: str
    intake_state: str | None
    summary: Summary | None
    told: Accuracy | None


class LearnedDocument(Struct, kw_only=True):
    """slurm-het learned --json. Times are epoch seconds; parts are of the time limit, 0..1."""

    programs: list[LearnedProgram]


class PageHealth(Struct, frozen=True, kw_only=True):
    """The state, as `slurm-het status` has it."""

    state: str
    code: int
    words: str


class PageLongest(Struct, frozen=True, kw_only=True):
    """Who waits longest."""

    id: str
    seconds: int
    user: str | UnsetType = UNSET


class PageIdle(Struct, frozen=True, kw_only=True):
    """Why devices are idle; `devices` are their indexes, the rest is as in het-sinfo's JSON."""

    devices: str
    cause: Cause
    text: str
    job: str | None
    time: int | None


class PageNodes(Struct, frozen=True, kw_only=True):
    """Nodes that are alike. `cells` has a character for each device: 1-8, in eighths, how full its
    memory is, or the letter of why it is idle (het-sinfo)."""

    nodes: str
    count: int
    pools: list[str]
    types: list[str]
    memory_gib: list[int]
    cells: str
    idle: list[PageIdle]


class PageReason(Struct, frozen=True, kw_only=True):
    """All that waits for one reason: tasks, devices that they ask for, the longest wait."""

    code: str
    text: str
    action: str
    tasks: int
    devices: int
    longest_seconds: int


class PageJob(Struct, frozen=True, kw_only=True):
    """A job that waits; what people wrote is left out of the public form."""

    id: str
    pool: str
    scenario: str | None
    types: list[str]
    asks: Ask | None
    tasks: int
    waited_seconds: int
    time_limit_minutes: int | None
    code: str
    reason: str
    expected_start: int | None
    expected_nodes: str
    user: str | UnsetType = UNSET
    account: str | UnsetType = UNSET
    name: str | UnsetType = UNSET


class PageWaits(Struct, frozen=True, kw_only=True):
    """How many have waited at most so many seconds (null: longer): tasks that wait, and jobs that
    run and started within a day."""

    seconds: int | None
    waiting: int
    started: int


class PageMoment(Struct, frozen=True, kw_only=True):
    """How it was at a time (epoch seconds): tasks, the longest wait, by pool the devices in use."""

    time: int
    running: int
    waiting: int
    longest_seconds: int
    used: dict[str, int]


class PageDocument(Struct, frozen=True, kw_only=True):
    """The page. `time` is when it was made, `seen` when Slurm was read (epoch seconds; 0: never);
    it is old after `old_after`. `renewed_seconds` is null if it was made by hand. `more_jobs` and
    `more_nodes` are how many wait, or are there, beside those listed; `told`, how good the start
    times were that were told before, is null while hetd does not answer."""

    form: Literal["public", "staff"]
    time: int
    seen: int
    old_after: int
    renewed_seconds: int | None
    health: PageHealth
    told: Accuracy | None = None
    running: int = 0
    waiting: int = 0
    longest: PageLongest | None = None
    pools: list[PoolUse] = []
    types: list[PoolType] = []
    nodes: list[PageNodes] = []
    more_nodes: int = 0
    reasons: list[PageReason] = []
    jobs: list[PageJob] = []
    more_jobs: int = 0
    waits: list[PageWaits] = []
    day: list[PageMoment] = []


DOCUMENTS: dict[str, type[Struct]] = {
    "het-sinfo": MapDocument,
    "het-squeue": QueueDocument,
    "slurm-het-learned": LearnedDocument,
    "slurm-het-status": StatusDocument,
    "slurm-het-page": PageDocument,
    "slurm-het-replay": ReplayDocument,
    "slurm-het-report": ShadowDocument,
    "slurm-het-try": TryDocument,
    "slurm-het-why": WhyDocument,
}
"""By program, what it prints with --json; of `slurm-het page`, its page.json."""


def map_document(made: DeviceMap, source: dict[str, Any], at: TellTime) -> dict[str, Any]:
    """The device map as it is printed."""
    document: dict[str, Any] = msgspec.to_builtins(made)
    for node, told in zip(made.nodes, document["nodes"], strict=True):
        for device, one in zip(node.devices, told["devices"], strict=True):
            one["idle"] = device.idle and _idle(device.idle, at)
    return document | {"source": source}


def _idle(idle: Idle, at: TellTime) -> dict[str, Any]:
    return {
        "cause": str(idle.cause),
        "job": idle.job or None,
        "time": int(idle.time) or None,
        "text": idle.told(at),
    }


def schema_of(name: str) -> str:
    """The JSON schema of a program's document, as text."""
    title = "page.json" if name == "slurm-het-page" else f"{name} --json"
    draft = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": title}
    made = draft | msgspec.json.schema(DOCUMENTS[name])
    for part in (made, *made.get("$defs", {}).values()):
        if "description" in part:  # msgspec keeps a docstring's indentation, but for some versions
            part["description"] = cleandoc(part["description"])
    return msgspec.json.format(msgspec.json.encode(made), indent=1).decode() + "\n"


if __name__ == "__main__":
    for document_name in DOCUMENTS:
        Path(sys.argv[1], f"{document_name}.json").write_text(schema_of(document_name))
