"""What a job asks for, read once: from the hook's message, or from Slurm's record of the job.

Behind these two readers a request is typed; text is made of it only where admission assigns fields.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from operator import attrgetter
from typing import NamedTuple

from slurm_het.core.jobs.mark import (
    HANDED_OVER,
    MAX_COMMENT,
    Mark,
    decode_comment,
    in_place,
    without_mark,
)
from slurm_het.core.jobs.trials import Trial
from slurm_het.core.model import Job
from slurm_het.core.policy import Policy
from slurm_het.core.syntax import gres
from slurm_het.core.syntax.gres import Gres
from slurm_het.core.syntax.script import Script, read_script
from slurm_het.errors import GresError

_OWN = frozenset({
    "id", "name", "priority", "array_job_id", "array_task_id", "array_tasks", "submit_time",
    "eligible_time", "start_time", "end_time"})  # fmt: skip
"""What does not decide over how a waiting job is read that the hook has prepared, and is not held.

Its name counts where nothing is written into it: then it is classified by that, too.
"""
all_that_decides = attrgetter(*(field.name for field in fields(Job) if field.name not in _OWN))
"""The same for jobs that are alike in all else."""
TRES_FIELDS = ("tres_per_node", "tres_per_job", "tres_per_task", "tres_per_socket")
"""Slurm's names of the fields that ask for GRES, in the order of GresRequests."""
ALL_MEMORY = "pn_min_memory"
"""Slurm's name of the field that is 0 for --mem=0: its record of the job does not tell that from a
job whose user left the memory open."""
TIME_LIMIT = "time_limit"
"""Slurm's name of the field; it stands in JobRequest.original, empty, where the user gave none."""
UNTOLD = "?"
"""Stands there where nobody knows: a record of Slurm's has the limit that the intake gave."""
CPUS_PER_TASK, CPUS_PER_TRES, TIME_MIN = "cpus_per_task", "cpus_per_tres", "time_min"
NUM_TASKS = "num_tasks"
TMP_DISK = "pn_min_tmp_disk"
"""Slurm's names of what stands there where the user gave it: no record of the job tells that."""
NODES = "nodes"
"""The name by which the numbers of nodes of `--nodes=2-4` are kept: Slurm's record tells but one of
them, and starts the job on any number between (22.05, 24.11, 26.05)."""
NUM_NODES = "num_nodes"
"""The name by which the numbers of nodes are kept that a release has replaced by another, such as
1-2: what NumNodes= is to say again when the job comes back. A requeued job keeps the release's."""
USERS_LIMIT = "users_limit"
"""The name by which a release of a job with --time-min keeps the time limit that it gives it, and
its user's own: `60 of 600`. A requeued job keeps the release's."""
MAX_DIGITS = 11
"""A longer number in the hook's message is none of Slurm's."""


class GresRequests(NamedTuple):
    """The GRES that a job asks for, by the option that asks for it. Any of the four may be empty.

    `node`: --gres and --gpus-per-node; `job`: --gpus; `task`: --gpus-per-task; `socket`:
    --gpus-per-socket.
    """

    node: tuple[Gres, ...] = ()
    job: tuple[Gres, ...] = ()
    task: tuple[Gres, ...] = ()
    socket: tuple[Gres, ...] = ()

    def all(self) -> tuple[Gres, ...]:
        """What the four ask for, one after the other."""
        return self.node + self.job + self.task + self.socket

    def registered(self, policy: Policy) -> GresRequests:
        """The same, by the names that the cluster registers."""
        return GresRequests(*(tuple([registered(g, policy) for g in items]) for items in self))

    def under_two_names(self, policy: Policy) -> str:
        """What it asks for under two names in one list, such as gpu,npu; else ''.

        Where npu is an alias of gpu that would become gpu,gpu, of which Slurm counts the last.
        """
        for items in self:
            names: dict[tuple[str, str], str] = {}
            for item in items:
                new = registered(item, policy)
                first = names.setdefault((new.name, new.type or ""), item.name)
                if first != item.name:
                    return f"{first},{item.name}"
        return ""

    def counted(self) -> GresRequests:
        """What Slurm counts: of what is named twice in one list the last (22.05, 24.11, 26.05).

        `--gres=gpu:8 --gpus-per-node=8` is such a list: gpu:8,gpu:8.
        """
        last = ({(item.name, item.type): item for item in items} for items in self)
        return GresRequests(*(tuple(items.values()) for items in last))

    def least_on_a_node(self, policy: Policy, nodes_max: int) -> int:
        """How many whole devices some node must have for it, as far as these options say.

        `nodes_max` is how many nodes it may have at the most; 0 is any number.
        """
        node, job, task, socket = (_whole(items, policy) for items in self.counted())
        return max(1, node, task, socket, -(-job // nodes_max) if nodes_max else 0)


@dataclass(frozen=True, slots=True)
class JobRequest:
    """What is known of a job when it is classified and admitted.

    `partitions` are those that it names, `features` its --constraint expression, `nodes` how many
    nodes it asks for at least, `nodes_max` how many at the most (0: any number), `reservation` the
    one of Slurm's that it is for; `asked` what its user has asked for since; `program` the name of
    what it launches, `trials` how that fared for its user before. `original` has the
    user's own text of the fields that admission may replace, by Slurm's names of them and without
    the empty ones, and what of the partition's defaults he left open: it is kept in the job.
    """

    user: str
    account: str
    name: str
    partitions: tuple[str, ...]
    features: str
    comment: str
    gres: GresRequests
    nodes: int
    script: Script
    original: Mapping[str, str]
    reservation: str = ""
    nodes_max: int = 0
    asked: str = ""
    program: str = ""
    trials: tuple[Trial, ...] = ()

    def whole_devices(self, policy: Policy) -> int:
        """How many whole devices its options name, added up."""
        return _whole(self.gres.counted().all(), policy)

    def least_on_a_node(self, policy: Policy) -> int:
        """As in GresRequests."""
        return self.gres.registered(policy).least_on_a_node(policy, self.nodes_max)


def _whole(items: Iterable[Gres], policy: Policy) -> int:
    return sum(item.count for item in items if policy.is_whole(item.name))


def from_message(sent: Mapping[str, str], *, names_most: bool = False) -> JobRequest:
    """Read what the hook sent: text by field, TRES values without `gres:` or `gres/`.

    With `names_most` a most number of nodes is its user's own (22.05, 24.11).
    Without a script there may be the command of srun or salloc, which is read as a line of one.
    Raises GresError. A number of nodes that is none counts as 1.
    """
    return JobRequest(
        user=sent.get("user_name", ""),
        account=sent.get("account", ""),
        name=sent.get("name", ""),
        partitions=_names(sent.get("partition", "")),
        features=sent.get("features", ""),
        comment=sent.get("comment", ""),
        gres=from_texts(sent),
        nodes=number_of(sent.get("min_nodes", ""), 1),
        script=read_script(sent.get("script") or sent.get("command", "")),
        original={f: sent[f] for f in ("partition", "features", *TRES_FIELDS) if sent.get(f)}
        | {f: "0" for f in (ALL_MEMORY,) if sent.get(f) == "0"}
        | {f: sent[f] for f in (CPUS_PER_TASK, CPUS_PER_TRES, TIME_MIN, NUM_TASKS) if sent.get(f)}
        | {f: sent[f] for f in (TMP_DISK,) if number_of(sent.get(f, ""), 0)}
        | {f: "" for f in (TIME_LIMIT,) if not sent.get(f)}
        | _range_of_nodes(sent, names_most),
        reservation=sent.get("reservation", ""),
        nodes_max=number_of(sent.get("max_nodes", ""), 0),
    )


def from_record(job: Job, script: str = "") -> JobRequest:
    """Read a job that is in the queue, and its batch script if that is known. Raises GresError."""
    written = {
        "partition": job.partition,
        "features": job.features,
        "tres_per_node": job.tres_per_node,
        "tres_per_job": job.tres_per_job,
        "tres_per_task": job.tres_per_task,
        "tres_per_socket": job.tres_per_socket,
    }
    return JobRequest(
        user=job.user,
        account=job.account,
        name=job.name,
        partitions=_names(job.partition),
        features=job.features,
        comment=job.comment,
        gres=gres_of(job),
        nodes=job.nodes_min,
        script=read_script(script),
        original={f: text for f, text in written.items() if text}
        | ({ALL_MEMORY: "0"} if job.memory_per_node_mib == 0 else {})
        | {TIME_LIMIT: UNTOLD},
        reservation=job.reservation,
        nodes_max=job.nodes_max,
    )


def changed_since(job: Job, mark: Mark) -> dict[str, str]:
    """What its user has made of the job since we last wrote into it (`scontrol update`): text by
    Slurm's names of the fields. Of the GRES all that it asks for now, if any of it is new."""
    if mark.wrote is None or not mark.original:
        return {}
    both = mark.original, mark.wrote
    features = {_features(known.get("features", "")) for known in both}
    changed = {} if _features(job.features) in features else {"features": job.features}
    for field in TRES_FIELDS:
        now = _gres(getattr(job, field))
        if all(now != _gres(known.get(field, "")) for known in both):
            return changed | {field: getattr(job, field) for field in TRES_FIELDS}
    return changed


_GIVEN = re.compile(r" \[Features=(.*), submitted with (.*)\]")


def handed_over(job: Job, why: str) -> str:
    """The AdminComment of a job that is given to plain Slurm. It keeps the constraint that its user
    wrote, where ours stays in the job."""
    own = users_features(job, frozenset())
    told, kept = f"{HANDED_OVER}{without_mark(why)}", ""
    if own is not None and own != job.features:
        kept = f" [Features={job.features}, submitted with {own}]"
    return in_place(job.admin_comment, told[: max(0, MAX_COMMENT - len(kept))] + kept)


def users_features(job: Job, pools: frozenset[str]) -> str | None:
    """The constraint that its user wrote, where the job has one of ours; None where it is his own,
    or nobody knows. The hook writes names of `pools` for none (`unbind` in het_protocol.lua)."""
    now, mark = _features(job.features), decode_comment(job.admin_comment)
    given = _GIVEN.search(job.admin_comment) if mark is None else None
    if mark and mark.wrote is not None:
        ours, own = mark.wrote.get("features", ""), mark.original.get("features", "")
    elif given:
        ours, own = given.groups()
    else:
        return None
    by_hook = not own and now and pools.issuperset(now.split("|"))
    return own if now == _features(ours) or by_hook else None


def from_marked(job: Job, mark: Mark, script: str = "") -> JobRequest:
    """Read a job that we have written into as its user wrote it, not as we did, and with what he
    has made of it since. Raises GresError."""
    texts = {**mark.original, **changed_since(job, mark)}
    return replace(
        from_record(job, script),
        partitions=_names(texts.get("partition", "")),
        features=texts.get("features", ""),
        gres=from_texts(texts),
        original={name: text for name, text in texts.items() if text or name == TIME_LIMIT},
        asked=mark.asked,
    )


def _features(text: str) -> str:
    """A constraint as Slurm keeps it."""
    return "" if text == "(null)" else text.replace(",", "&")


def _gres(text: str) -> tuple[Gres, ...] | str:
    try:
        return gres.parse(text)
    except GresError:
        return text


def from_texts(texts: Mapping[str, str]) -> GresRequests:
    """The GRES that some fields ask for, by Slurm's names of them. Raises GresError."""
    return GresRequests(*(gres.parse(texts.get(field, "")) for field in TRES_FIELDS))


def gres_of(job: Job) -> GresRequests:
    """The GRES that a job in the queue asks for. Raises GresError."""
    texts = job.tres_per_node, job.tres_per_job, job.tres_per_task, job.tres_per_socket
    return GresRequests(*map(gres.parse, texts))


def registered(asked: Gres, policy: Policy) -> Gres:
    """The GRES by the name that the cluster registers (gpu for its alias npu); else as it is."""
    name = policy.gres.get(asked.name)
    return replace(asked, name=name.alias_of) if name and name.alias_of else asked


def _range_of_nodes(sent: Mapping[str, str], names_most: bool) -> dict[str, str]:
    """The range of numbers of nodes, if it is one. 26.05 sends the number of tasks for the most
    nodes where the user has named none."""
    least, most = number_of(sent.get("min_nodes", ""), 1), number_of(sent.get("max_nodes", ""), 0)
    unnamed = not names_most and least == 1 and most == number_of(sent.get("num_tasks", ""), 1)
    return {NODES: f"{least}-{most}"} if most > least and not unnamed else {}


def _names(text: str) -> tuple[str, ...]:
    return tuple(name for name in text.split(",") if name)


def number_of(text: str, default: int) -> int:
    """A number of the hook's message."""
    return int(text) if text.isdecimal() and len(text) <= MAX_DIGITS else default
