"""What a reader of a replay's figures is to know before he believes them, in sentences: pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from slurm_het.replay.asked import UNTOLD_TYPE
from slurm_het.replay.documents import Gain, Match
from slurm_het.replay.past import Tally
from slurm_het.replay.trace import DAY, TAIL, Trace

NAMED = 5
"""So many jobs are named."""


def caveats_of(
    match: Match, gain: Gain | None, tally: Tally, trace: Trace, unheeded: Sequence[str]
) -> Iterator[str]:
    """All that hold here; `unheeded` are words of slurm.conf."""
    plain, ours = match.plain.unstarted, gain.ours.unstarted if gain else 0
    if plain or ours:
        with_het = f", and {ours} with slurm-het," if gain else ""
        yield (
            f"{plain} jobs under plain Slurm{with_het} had not started when the simulation ended,"
            f" {TAIL / DAY:g} days after the time looked at: their waits count as if they had then,"
            " which is too short"
        )
    if untold := tally.taken[UNTOLD_TYPE]:
        yield (
            f"of {untold} jobs that count only the script can say which type they asked for, and"
            " accounting has no scripts: they are taken to run on any type, which can flatter"
            " slurm-het. Slurm records types that AccountingStorageTRES names: gres/gpu:TYPE"
        )
    if unheeded:
        yield (
            f"slurm.conf has {', '.join(unheeded)}: that bears on who starts, and the model of"
            " plain Slurm does not know it"
        )
    yield from _without_end(trace)


def _without_end(trace: Trace) -> Iterator[str]:
    """Of jobs that run in accounting for ever."""
    there = zip(trace.world.jobs, trace.subjects, strict=True)
    those = [(s.start, s.key, spec.nodes * spec.ask.devices) for spec, s in there if s.overdue]
    if those:
        named = [key for _, key, _ in sorted(those)]
        ids = ", ".join([*named[:NAMED], *(["…"] if len(named) > NAMED else [])])
        since = datetime.fromtimestamp(min(start or 0 for start, _, _ in those), UTC)
        yield (
            f"{len(those)} jobs have no end in accounting though their time limits are over, the"
            f" first of them since {since:%Y-%m-%d} ({ids}): they hold"
            f" {sum(devices for _, _, devices in those)} devices all through, on both sides. If"
            " squeue does not know them, have `sacctmgr show runawayjobs` end them, and replay anew"
        )
