"""What differs between Slurm versions, as data and small functions; each with the fact it rests on.

What is done about a difference may stand elsewhere: docs/facts.md lists all of them with the place.

Seen live on 22.05.8 (Debian 12), 24.11.5 (Debian 13) and 26.05.5 (Debian testing), where nothing
else is said. What a value looks like is told from the value, not from the version: so a controller
of another version than the commands does no harm.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from slurm_het.core.capacity import SubmitRules
from slurm_het.errors import SlurmError

TRANSIENT = (
    "Resource temporarily unavailable", "Interrupted system call",
    "Unable to contact slurm controller",
)  # fmt: skip
"""Errors of an update that goes through when it is sent again.

Without slurmdbd a job has no association; then 24.11 and 26.05 answer a change of partition with
whatever errno their thread had last (src/slurmctld/job_mgr.c, `_update_job`: `error_code = errno`
where `_retrieve_new_assoc` gives none), most often EAGAIN, EINTR too (24.11). Seen: up to 7 in a
row, each try refused by 7 in 10 on 26.05. It says nothing about the job, so waiting longer helps
nothing.
"""
RETRY_SECONDS = 3.0
RETRY_PAUSE = 0.05

_PREFIX = re.compile(r"(^|,)gres[:/]")
_UNSET = {0xFFFFFFFF, 0xFFFFFFFE}
_UNSET_SHORT = {0xFFFE, 0xFFFF}


@dataclass(frozen=True, slots=True)
class SlurmVersion:
    """A Slurm release, and what we may ask of it."""

    major: int
    minor: int
    text: str

    @property
    def tuple(self) -> tuple[int, int]:
        """(year, month), which is how Slurm numbers releases."""
        return self.major, self.minor

    @property
    def squeue_json(self) -> str:
        """squeue's option: 24.11 has data_parser v0.0.40-42, 26.05 has 42-45; 22.05 has one.

        Without a version a Slurm gives its newest: of those from before 24.11 that is older.
        """
        return "--json" if self.tuple < (24, 11) else "--json=v0.0.42"

    @property
    def squeue_chooses(self) -> bool:
        """Whether `squeue --json` heeds --jobs and --states. 22.05 prints all jobs it knows."""
        return self.tuple >= (23, 2)

    @property
    def squeue_lines(self) -> Sequence[str]:
        """squeue's options for a line of each record that its JSON has.

        Else pending tasks of an array are told as if they were one, though each may have a record
        of its own. 22.05's --array-unique keeps them apart; later ones have only --array, with a
        line for each task. 22.05's JSON has jobs that ended, too.
        """
        return ("--array",) if self.squeue_chooses else ("--array-unique", "--states=all")

    @property
    def squeue_fields(self) -> Sequence[str]:
        """Fields of `squeue -O` that older ones do not know: in 22.05 %x of `squeue -o` tells the
        excluded nodes."""
        segments = ("SegmentSize",) if self.tuple >= (26, 5) else ()
        return ("ExcNodes", *segments) if self.squeue_chooses else ()

    @property
    def rewrites_gres(self) -> bool:
        """Whether `Gres=` replaces a pending job's request, its name and type included.

        22.05 merges it with the old one: gpu:a100:1 updated to gpu:l40s:1 then holds both.
        """
        return self.tuple >= (23, 11)

    def recounts_tasks(self, fields: Collection[str]) -> bool:
        """Whether an update of these fields, without NumTasks=, makes a waiting job's tasks as many
        as nodes times --ntasks-per-node, or times --ntasks-per-gpu.

        22.05 does not, 24.11 at any update, 26.05 at one of NumNodes= (job_mgr.c,
        `_figure_out_num_tasks`: from 23.02 on, and so restrained from 25.05.3 on).
        """
        return self.tuple >= (23, 2) and ("NumNodes" in fields or self.tuple < (25, 11))

    @property
    def forgets_sharers(self) -> bool:
        """Whether a card counts as free for whole-card jobs once one of its sharers has ended.

        22.05: two jobs of shard:4 on card 0, one ends, and a gpu:1 job gets card 0 beside the
        other. 24.11 and 26.05 give it card 1.
        """
        return self.tuple < (24, 5)

    @property
    def needs_network(self) -> bool:
        """Whether a node that is in no part of the topology gets no job, not even one of one node.

        26.05 starts those there.
        """
        return self.tuple < (25, 5)

    @property
    def sub_accounts(self) -> bool:
        """Whether a partition's AllowAccounts and DenyAccounts hold for the accounts below, too.

        22.05 compares names. Read in the sources, 23.02.0's included (partition_mgr.c).
        """
        return self.tuple >= (23, 2)

    @property
    def forgets_devices(self) -> bool:
        """Whether a restarted slurmctld does not know a node's devices until its slurmd registers.

        22.05: a node with jobs is MIXED again at once. What starts there before it registers (5 s)
        runs and holds no device: `gpu:mi300x:0(IDX:)`. Then the node registers, these devices count
        as used, by nobody, until slurmctld sums up anew: `scontrol reconfigure`, or any update of a
        partition's state. 24.11 and 26.05 remember the devices.
        """
        return self.tuple < (24, 5)

    @property
    def hides_cloud(self) -> bool:
        """Whether a node of State=CLOUD that is powered down is in no answer, not even root's,
        unless PrivateData has `cloud`. 24.11 and 26.05 tell of it."""
        return self.tuple < (23, 2)

    def submit_rules(self, enforces: str) -> SubmitRules:
        """By what slurmctld goes at submit; `enforces` is EnforcePartLimits of its configuration.

        26.05 accepts `-N1 --gpus=9` where nodes have eight devices; 22.05 and 24.11 refuse it, and
        all refuse `-N2 --gpus=17`.
        """
        return SubmitRules(enforces.upper(), bounds_gpus=self.tuple <= (24, 11))

    @property
    def cgroup_plugin(self) -> str:
        """For a slurmd without cgroups. "disabled" came after 22.05.

        22.05's default (autodetect) ends slurmd where no cgroup file system is mounted, as in many
        containers; v1 named outright is loaded and never used.
        """
        return "disabled" if self.tuple >= (24, 5) else "cgroup/v1"


def parse_version(text: str) -> SlurmVersion:
    """Read `slurm-wlm 22.05.8` or `slurm 24.11.5`. Raises SlurmError."""
    match = re.search(r"\b(\d{2})\.(\d{2})\.\S+", text)
    if not match:
        raise SlurmError(f"cannot read Slurm's version from {text[:80]!r}")
    return SlurmVersion(int(match.group(1)), int(match.group(2)), match.group())


# --- the shapes of a value in squeue's JSON: 22.05 is v0.0.38, later ones are read as v0.0.42 ---


def number(value: Any) -> int | None:
    """A number; None when unset or infinite.

    22.05 prints it plain, with null for unset *and for zero*; later ones {"set":…, "infinite":…,
    "number":…}.
    """
    if type(value) is int:  # the most
        return None if value in _UNSET else value
    if isinstance(value, dict):
        if not value.get("set", True) or value.get("infinite"):
            return None
        value = value.get("number")
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return None if int(value) in _UNSET else int(value)


def short(value: Any) -> int | None:
    """`number` of what Slurm keeps in 16 bits, where it has another "unset"."""
    found = number(value)
    return None if found in _UNSET_SHORT else found


def exit_status(value: Any) -> tuple[int, int]:
    """Exit code and signal, of which one is 0.

    22.05 prints the number that wait() gives; later ones {"return_code":…, "signal": {"id":…}}.
    """
    if isinstance(value, dict):
        by_signal = value.get("signal")
        signal = number(by_signal.get("id")) if isinstance(by_signal, dict) else None
        return (0, signal) if signal else (number(value.get("return_code")) or 0, 0)
    status = number(value) or 0
    return (0, status & 0x7F) if status & 0x7F else (status >> 8 & 0xFF, 0)


_FLAGS = (
    "COMPLETING", "STAGE_OUT", "CONFIGURING", "EXPEDITING", "RESIZING", "REQUEUED", "REQUEUE_FED",
    "REQUEUE_HOLD", "SPECIAL_EXIT", "STOPPED", "REVOKED", "RESV_DEL_HOLD", "SIGNALING",
)  # fmt: skip
"""Of a state's flags the first one here is the word for it in squeue's lists, and in 22.05's JSON
(Slurm's job_state_string; EXPEDITING from 26.05 on)."""


def word(value: Any) -> str:
    """A state. 22.05 prints a word; later ones a list: the base state, then its flags."""
    if isinstance(value, list):
        words = [str(v) for v in value]
        flag = next((flag for flag in _FLAGS if flag in words), "")
        return flag or (words[0] if words else "")
    return str(value or "")


def hosts(value: Any) -> str:
    """A host list. 22.05 prints it as text; later ones as a list."""
    return ",".join(map(str, value)) if isinstance(value, list) else str(value or "")


def array_task_id(task_id: Any, array_job_id: Any, tasks: str) -> int | None:
    """The number of an array task. 22.05 prints task 0 as null, then without a list of tasks."""
    found = number(task_id)
    if found is None and number(array_job_id) and not tasks:
        return 0
    return found


@lru_cache(maxsize=4096)
def normalise_tres(text: str) -> str:
    """`gpu:2` of `gres:gpu:2` (22.05) and `gres/gpu:2`; what is no GRES (`cpu=2`) is dropped."""
    kept = [t for t in (text or "").split(",") if _PREFIX.match(t) or ("=" not in t and t)]
    return ",".join(_PREFIX.sub("", t) for t in kept)
