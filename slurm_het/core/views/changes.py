"""What the user of a waiting job can ask for otherwise, one thing at a time: each as a command.

Here stands only what `scontrol update` takes from a user for a job in the gate, and `slurm-het
ask`. Whether it helps is for others to find out (sooner.py). What the evidence forbids is not here:
another vendor is offered only to a program of which nothing but the site's default says whose
devices it needs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from shlex import quote
from typing import NamedTuple

from slurm_het.core.jobs.admission import remembering
from slurm_het.core.jobs.asked import Anew, asked_anew, request_of, update_of, updated
from slurm_het.core.jobs.classify import classify
from slurm_het.core.jobs.mark import decode_comment
from slurm_het.core.jobs.request import TIME_MIN, JobRequest, gres_of
from slurm_het.core.jobs.trials import NO_TRIALS, Trials
from slurm_het.core.jobs.waits import begins_later
from slurm_het.core.model import SCENARIOS, Classification, Job, Task
from slurm_het.core.policy import Policy
from slurm_het.core.syntax.durations import duration
from slurm_het.core.syntax.printable import clean
from slurm_het.core.views.whatif import WhatIf
from slurm_het.errors import HetError

DAY = 1440
ROUND_MINUTES = (DAY, 720, 360, 240, 120, 60, 30, 15, 10, 5, 1)
ROUND_MIB = (65536, 32768, 16384, 8192, 4096, 2048, 1024, 512, 256, 128, 1)
LONGEST = 30 * DAY
"""The longest limit that is proposed to a job without one (minutes)."""
SHORTEST = 20
"""No limit is proposed that is less than this part of the job's own."""
LOSES = 8
"""Rounding loses at most this part of a value."""
PASTE_MINUTES = 2
"""Until a command is pasted, and heeded: a gap is so much shorter by then."""


class Known(NamedTuple):
    """What is known of a job beside its record: its batch script, and how its user's programs fared
    before. Where either is not known, there is no asking for another kind of device. One that is
    not `queued` yet can be submitted as anything. `by_gres`: its devices are asked for by --gres
    alone, so that another --gres replaces them."""

    script: str = ""
    trials: Trials | None = None
    queued: bool = True
    by_gres: bool = True


@dataclass(frozen=True, slots=True)
class Change:
    """One thing asked for otherwise: the command to paste, the same as an option of sbatch or a
    directive, what it costs the user, and the record that it makes of his job."""

    command: str
    option: str
    price: str
    job: Job


@dataclass(frozen=True, slots=True)
class Knob:
    """Changes of one kind, of which one is enough. `values` go from what is nearest to the job as
    it is, which has `current`, to what asks for least; `at` makes the change to a value, or raises
    HetError.

    A value is rounded down to the largest of `steps` that loses little; `margin` is what it is to
    stay below the largest that works.
    """

    kind: str
    at: Callable[[int], Change]
    values: Sequence[int] = (0,)
    current: int = 0
    steps: Sequence[int] = (1,)
    margin: int = 0

    def rounded(self, most: int) -> int:
        """A round value below the largest that works: nearer to that than to the job as it is."""
        if len(self.values) == 1:
            return most
        for value in (most - self.margin, most):
            for step in self.steps:
                down = value // step * step
                nearer = self.current + down > 2 * most and (value - down) * LOSES <= value
                if down >= self.values[-1] and nearer:
                    return down
        return most


class Changes:
    """Makes the knobs of one job.

    `task` is what it is planned as; None: it is not planned as it stands.
    """

    def __init__(self, whatif: WhatIf, task: Task | None, known: Known) -> None:
        prepared = whatif.without
        self.job, self.pinned, self.task, self.known = whatif.job, whatif.pinned, task, known
        self.policy, self.inventory = prepared.policy, prepared.inventory
        self.rewrites = prepared.snapshot.rewrites_gres or not known.queued
        self.mark = decode_comment(self.job.admin_comment)

    def knobs(self) -> Iterator[Knob]:
        """All there are: of two that help alike the first costs less."""
        yield from self._begin()
        yield from self._excluded()
        yield from self._throttle()
        yield from self._vendors()
        yield from self._time()
        yield from self._memory()
        yield from self._cpus()
        yield from self._share()
        yield from self._scenario()
        yield from self._device_memory()
        yield from self._devices()
        yield from self._nodes()

    def _scontrol(self, fields: str, option: str, price: str, job: Job) -> Change:
        key = quote(self.job.own_key)  # an array's `[5-9]` is no shell's pattern
        return Change(f"scontrol update job {key} {fields}", option, price, job)

    @property
    def _back(self) -> str:
        """The fields that take a pinned job back to the gate: on the nodes that it has, Slurm asks
        for as many as these are, and hetd for no others (seen on 22.05)."""
        return f"Partition={self.job.partition} ReqNodeList= " if self.pinned else ""

    def _begin(self) -> Iterator[Knob]:
        job = self.job
        if begins_later(job):
            price = "it begins before the time that was set for it"
            now = replace(job, eligible_time=job.submit_time)
            yield _one("begin", partial(self._scontrol, "StartTime=now", "no --begin", price, now))

    def _excluded(self) -> Iterator[Knob]:
        if names := self.job.exc_nodes:
            price = f"also on {clean(names[:60])}, which --exclude names"
            anywhere = replace(self.job, exc_nodes="")
            fields = f"{self._back}ExcNodeList=", "no --exclude"
            yield _one("exclude", partial(self._scontrol, *fields, price, anywhere))

    def _throttle(self) -> Iterator[Knob]:
        job, own = self.job, self.job.array_limit
        if job.unsplit and own:
            price = f"{own + 1} of its tasks at a time, not {own}"
            more = replace(job, array_limit=own + 1)
            command = f"scontrol update job {job.array_job_id} ArrayTaskThrottle={own + 1}"
            option = f"--array={job.array_tasks.partition('%')[0]}%{own + 1}"
            yield _one("throttle", lambda: Change(command, option, price, more))

    def _time(self) -> Iterator[Knob]:
        if self.mark and TIME_MIN in self.mark.original:  # Slurm shortens it by itself
            return
        own = self.job.time_limit_minutes or (self.task and self.task.minutes)
        longest = own or LONGEST

        def at(minutes: int) -> Change:
            limit = duration(60 * minutes, hours=True)
            now = duration(60 * own, hours=True) if own else "never"
            price = f"it is ended after {limit}, not {now}"
            shorter = replace(self.job, time_limit_minutes=minutes)
            return self._scontrol(f"TimeLimit={limit}", f"--time={limit}", price, shorter)

        values = range(longest - 1, max(1, longest // SHORTEST) - 1, -1)
        if values:
            yield Knob("time", at, values, longest, ROUND_MINUTES, PASTE_MINUTES)

    def _cpus(self) -> Iterator[Knob]:
        job, own = self.job, self.job.cpus_per_task

        def at(cpus: int) -> Change:
            price = f"{_count(cpus, 'CPU')} for a task, not {own}"
            on_node = max(1, job.min_cpus_per_node * cpus // own)
            fewer = replace(
                job, cpus_per_task=cpus, cpus=job.tasks * cpus, min_cpus_per_node=on_node
            )  # fmt: skip
            fields = f"CPUsPerTask={cpus} NumCPUs={fewer.cpus} MinCPUsNode={on_node}"
            return self._scontrol(fields, f"--cpus-per-task={cpus}", price, fewer)

        if own > 1 and job.cpus == job.tasks * own:
            yield Knob("cpus", at, range(own - 1, 0, -1), own)

    def _memory(self) -> Iterator[Knob]:
        if (self.job.memory_per_node_mib or 0) > 1:
            yield self._less_memory("MinMemoryNode", "--mem", "node")
        if (self.job.memory_per_cpu_mib or 0) > 1:
            yield self._less_memory("MinMemoryCPU", "--mem-per-cpu", "CPU")

    def _less_memory(self, name: str, option: str, each: str) -> Knob:
        field = f"memory_per_{each.lower()}_mib"
        own: int = getattr(self.job, field)

        def at(mib: int) -> Change:
            price = f"{_mib(mib)} of memory for each {each}, not {_mib(own)}"
            less = replace(self.job, **{field: mib})  # type: ignore[arg-type]  # by name
            return self._scontrol(f"{name}={mib}", f"{option}={mib}M", price, less)

        return Knob("host memory", at, range(own - 1, 0, -1), own, ROUND_MIB)

    def _devices(self) -> Iterator[Knob]:
        """Fewer devices on each node, or a smaller share; 22.05 lets nobody change that."""
        asked = gres_of(self.job)
        replaceable = self.rewrites and self.known.by_gres
        if not replaceable or len(asked.node) != 1 or asked.job or asked.task or asked.socket:
            return
        (item,) = asked.node

        def at(count: int) -> Change:
            less = replace(item, count=count)
            price = f"{less} on each node, not {item}"
            fewer = replace(self.job, tres_per_node=str(less))
            return self._scontrol(f"Gres={less}", f"--gres={less}", price, fewer)

        if item.count > 1:
            yield Knob("devices", at, range(item.count - 1, 0, -1), item.count)

    def _nodes(self) -> Iterator[Knob]:
        """Fewer nodes, as far as they hold the job's tasks: their number stays as it is."""
        job, own = self.job, self.job.nodes_min
        least = math.ceil(job.tasks / job.ntasks_per_node) if job.ntasks_per_node else 1

        def at(nodes: int) -> Change:
            most = nodes if job.nodes_max else 0
            fewer = replace(job, nodes_min=nodes, nodes_max=most)
            price = f"{_count(nodes, 'node')}, not {own}"
            return self._scontrol(f"{self._back}NumNodes={nodes}", f"--nodes={nodes}", price, fewer)

        if own > least:
            yield Knob("nodes", at, range(own - 1, least - 1, -1), own)

    def _vendors(self) -> Iterator[Knob]:
        """Another vendor's devices, where nothing but the site's default speaks against them."""
        if not (request := self._request):
            return
        untried, unbound = replace(request, trials=()), replace(self.policy, default_vendors=())
        only_by_default = _by_default(self._classified(untried), self.policy)
        if not only_by_default or classify(untried, unbound, self.inventory).vendors:
            return
        here = {v for pool in self.policy.pools for v in pool.vendors}.intersection(
            self.inventory.vendors
        )
        tried = {trial.vendor: trial for trial in request.trials}
        for vendor in sorted(here - set(self.policy.default_vendors)):
            trial = tried.get(vendor)
            if trial and trial.says == "failed":
                continue
            words = f"vendors={','.join((*self.policy.default_vendors, vendor))}"
            price = f"nothing tells whether it runs on {vendor} devices"
            if trial and trial.says == "worked":
                price = f"on {vendor} devices it ran well (job {trial.job})"
            yield _one("vendors", partial(self._ask, words, price))

    def _share(self) -> Iterator[Knob]:
        what = self.mark and self.mark.classification
        if what and what.memory_gib and not what.share and self._request:
            price = f"it gets {what.memory_gib} GiB of a device that others use too"
            yield _one("share", partial(self._ask, "share=yes", price))

    def _scenario(self) -> Iterator[Knob]:
        """The pools of another scenario, where nothing but the site's default says which it is."""
        if not (request := self._request):
            return
        own = self._classified(request).scenario
        for other in SCENARIOS:
            opened = replace(self.policy, default_scenario=other)
            if classify(request, opened, self.inventory).scenario == other != own:
                price = f"it counts as {other}, and runs in the pools for that"
                yield _one("scenario", partial(self._ask, f"scenario={other}", price))

    def _device_memory(self) -> Iterator[Knob]:
        """Devices with less memory, where it was its user who named what it needs."""
        request = self._request
        what = request and self._classified(request)
        if not (what and what.memory_named):
            return
        own = what.memory_gib
        sizes = {there.memory_gib for there in self.inventory.types.values()}
        less = [gib for gib in sorted(sizes, reverse=True) if gib < own]

        def at(gib: int) -> Change:
            return self._ask(f"memory={gib}G", f"devices of {gib} GiB, not {own}")

        if less:
            yield Knob("memory", at, less, own)

    def _ask(self, words: str, price: str) -> Change:
        """Raises HetError for what `slurm-het ask` would refuse."""
        anew = Anew(self.job, self.known.script, words)
        made = asked_anew(anew, self.policy, self.inventory, self.known.trials or NO_TRIALS)
        update = update_of(self.job, made.fields, self.policy, rewrites=self.rewrites)
        name = self.job.array_job_id if self.job.unsplit else self.job.key
        made_of = updated(self.job, update)
        return Change(f"slurm-het ask {name} {words}", f"#HET {words}", price, made_of)

    @cached_property
    def _request(self) -> JobRequest | None:
        """The job as its user wrote it; None where that is not known, and there is no asking."""
        script, trials = self.known.script, self.known.trials
        if not script or trials is None:
            return None
        try:
            written = request_of(Anew(self.job, script))
        except HetError:
            return None
        return remembering(written, self.policy, self.inventory, trials)

    def _classified(self, request: JobRequest) -> Classification:
        return classify(request, self.policy, self.inventory)


def _one(kind: str, make: Callable[[], Change]) -> Knob:
    """A kind of which there is only one change."""
    return Knob(kind, lambda _: make())


def _by_default(what: Classification, policy: Policy) -> bool:
    """Whether its vendors are the site's default; its user has named neither those nor types."""
    default = tuple(sorted(set(policy.default_vendors)))
    return bool(default) and what.vendors == default and not (what.types or what.named)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"


def _mib(mib: int) -> str:
    return f"{mib // 1024} GiB" if mib % 1024 == 0 else f"{mib} MiB"
