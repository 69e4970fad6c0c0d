"""What a reader of a replay's figures is to know before he believes them, in sentences: pure."""

from __future__ import annotations

from collections.abc import Iterator

from slurm_het.replay.asked import UNTOLD_TYPE
from slurm_het.replay.documents import Gain, Match
from slurm_het.replay.past import Tally
from slurm_het.replay.trace import DAY, TAIL


def caveats_of(match: Match, gain: Gain | None, tally: Tally) -> Iterator[str]:
    """All that hold here."""
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
