"""Admission where pools have modes: those in plan take jobs, what is for others passes as it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from slurm_het.core.capacity import UNKNOWN, Capacity
from slurm_het.core.cluster.inventory import Inventory
from slurm_het.core.jobs.admission import Admitted, Passed, Verdict, admit_message
from slurm_het.core.jobs.told import understood
from slurm_het.core.jobs.trials import NO_TRIALS, Trials
from slurm_het.core.policy import Policy
from slurm_het.core.reasons import NotInPlan


def admit_by_mode(
    sent: Mapping[str, str],
    policy: Policy,
    inventory: Inventory,
    capacity: Capacity = UNKNOWN,
    trials: Trials = NO_TRIALS,
) -> Verdict:
    """`admit_message` for the pools in plan, which `policy` has; the rest are its `others`.

    What is for the others stays as it is, unless it named the intake, or nothing: where that is
    closed, it goes to them. So does what those in plan could only take for less than it needs.
    """
    named = set(filter(None, sent.get("partition", "").split(",")))
    theirs = any(pool.partition in named for pool in policy.left_alone)
    closed = bool(policy.pools) and not theirs
    made: Verdict = Passed(NotInPlan())
    if closed:
        made = admit_message(sent, policy, inventory, capacity, trials)
        whole = isinstance(made, Admitted) and not made.less
        if whole or not policy.left_alone or sent.get("op") == "judge":
            return made
    own = replace(policy, pools=policy.left_alone, others=())
    other = admit_message(sent, own, inventory, capacity)
    if isinstance(other, Admitted) and (isinstance(made, Passed) or not other.less):
        return _left(other, closed=closed)
    return made


def _left(made: Admitted, *, closed: bool) -> Passed:
    """What plain Slurm schedules; `closed`: it would wait in the gate, or nowhere."""
    advised = [pool.partition for pool in made.pools if pool.mode == "advise"]
    lines = made.problems if advised else ()
    if advised:
        would = f"it would be planned in {' or '.join(advised)}, and stays as it is"
        lines = (*lines, f"advice: {understood(made.classification)}; {would}")
    goes = ",".join(pool.partition for pool in made.pools) if closed else ""
    return Passed(NotInPlan(), lines, goes)
