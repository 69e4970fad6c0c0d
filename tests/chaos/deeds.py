"""What we did that excuses what jobs went through, and how a broken rule is told (pure)."""

from __future__ import annotations

from dataclasses import dataclass

from tests.chaos.records import Records

# Between a node's failure and the moment when all of Slurm has noticed, both ways (seconds).
NODE_SLACK = 15.0


@dataclass(frozen=True, slots=True)
class Violation:
    """What went wrong: the rule, the job or thing, when (epoch seconds), and in words."""

    rule: str
    what: str
    time: float
    text: str


@dataclass(frozen=True, slots=True)
class Outage:
    """A node was not to be relied on from `began` to `ended`."""

    node: str
    began: float
    ended: float


def outages(records: Records) -> list[Outage]:
    """What we did to nodes. A restarted slurmctld asks all of them anew."""
    out, since = [], dict[str, float]()
    for action in sorted(records.actions, key=lambda a: a.began):
        verb, args = action.event.verb, action.event.args
        if verb == "slurmd-kill" or (verb == "node" and args[1] != "RESUME"):
            since.setdefault(args[0], action.began)
        elif verb == "slurmd-start" or verb == "node":
            if args[0] in since:
                out.append(Outage(args[0], since[args[0]], action.ended + NODE_SLACK))
            if verb == "node" and action.ok:
                since.pop(args[0], None)
    return out + [Outage(node, began, float("inf")) for node, began in since.items()]


def closed_pools(records: Records) -> dict[str, list[tuple[float, float]]]:
    """When we had each pool closed."""
    out: dict[str, list[tuple[float, float]]] = {}
    since: dict[str, float] = {}
    for action in sorted(records.actions, key=lambda a: a.began):
        if action.event.verb == "partition":
            name, state = action.event.args
            if state == "UP" and name in since:
                out.setdefault(name, []).append((since.pop(name), action.ended + NODE_SLACK))
            elif state != "UP":
                since.setdefault(name, action.began)
    return out
