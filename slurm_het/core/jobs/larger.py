"""A job that died of its share of a device's memory: it may have a larger one, once."""

from __future__ import annotations

from dataclasses import replace

from slurm_het.core.jobs.classify import YES
from slurm_het.core.jobs.mark import decode_comment, encode_mark, having_written, in_place
from slurm_het.core.jobs.sizes import died_of, raised
from slurm_het.core.model import Job
from slurm_het.core.policy import Policy
from slurm_het.core.syntax import gres
from slurm_het.core.syntax.script import directives_of, parse_hints, read_script
from slurm_het.errors import GresError

_TO_HAVE = ": it is to have "


def larger_share(job: Job, peak_mib: int, most_gib: int, policy: Policy) -> str:
    """What the job is to ask for instead (`shard:24`); '' if it did not die of its share's size, or
    was given another chance before, or there is no larger one (`most_gib` is)."""
    share = 0 if job.restarts else died_of(job, peak_mib, policy)
    larger = min(most_gib, raised(share))
    if larger <= share:
        return ""
    return str(replace(gres.parse(job.tres_per_node)[0], count=larger))


def asks_for_retry(script: str, comment: str) -> bool:
    """Whether its user wants that: retry=yes in a directive, or in a comment that is one."""
    sources = directives_of(read_script(script), comment)
    return any(parse_hints(text)[0].get("retry") in YES for _, text in sources)


def retry_fields(job: Job, larger: str, why: str, policy: Policy) -> dict[str, str]:
    """The update that sends it, once it is requeued, back into the gate with its larger share. {}
    if it is none of ours."""
    mark = decode_comment(job.admin_comment)
    if mark is None:
        return {}
    gib = gres.parse(larger)[0].count
    what = replace(
        mark.classification, memory_gib=gib, evidence=(why, *mark.classification.evidence)
    )
    now = having_written(mark, {"tres_per_node": larger})
    made = encode_mark(now._replace(classification=what, sent=""))
    return {
        "Partition": policy.intake_partition, "ReqNodeList": "", "Gres": larger,
        "StartTime": "now", "AdminComment": in_place(job.admin_comment, made),
    }  # fmt: skip


def outgrew(larger: str, had: str) -> str:
    """What the journal says of it before it is requeued: the next hetd goes on from there."""
    return f"{had}{_TO_HAVE}{larger}"


def outgrown(detail: str, policy: Policy) -> tuple[str, str]:
    """Read `outgrew` back: the larger share, and what it had; '' if it says no such thing."""
    had, _, larger = detail.rpartition(_TO_HAVE)
    try:
        items = gres.parse(larger)
    except GresError:
        return "", ""
    return (larger, had) if len(items) == 1 and policy.is_share(items[0].name) else ("", "")
