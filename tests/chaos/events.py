"""The event list: what is done to the cluster and when. It follows from the seed alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random

SUBMIT_EVERY = 0.8  # seconds, on average
DISTURB_EVERY = 2.5
KILL_EVERY = (0.5, 5.5)  # with --kills: seconds from one to the next
TASKS = 6  # of each array
INFRASTRUCTURE = frozenset({
    "node", "slurmd-kill", "slurmd-start", "hetd-kill", "hetd-freeze", "hetd-stop", "hetd-start",
    "bypass", "slurmctld-restart", "reconfigure", "partition",
})  # fmt: skip
"""Verbs that are done one after the other; the others are about one job each."""

# Node groups as in the sandbox's topology file, smaller: a queue forms at once.
TOPOLOGY = """
- {name: "nv[1-2]", type: a100, vendor: nvidia, devices: 4, memory_gib_per_device: 80,
   cpus: 16, memory_gib: 128, pool: train-nv, scenario: training}
- {name: "amd[1-2]", type: mi300x, vendor: amd, devices: 4, memory_gib_per_device: 192,
   cpus: 16, memory_gib: 128, pool: train-amd, scenario: training}
- {name: "l40s[1-2]", type: l40s, vendor: nvidia, devices: 2, memory_gib_per_device: 48,
   shards_per_device: 48, cpus: 16, memory_gib: 128, pool: infer-nv, scenario: inference}
- {name: mlu1, type: mlu370, vendor: cambricon, devices: 2, memory_gib_per_device: 48,
   shards_per_device: 48, cpus: 16, memory_gib: 128, pool: infer-mlu, scenario: inference}
- {name: cpu1, cpus: 32, memory_gib: 128, pool: cpu}
"""
NODES = ("nv1", "nv2", "amd1", "amd2", "l40s1", "l40s2", "mlu1")
POOLS = ("train-nv", "train-amd", "infer-nv", "infer-mlu")

CUDA = "#HET scenario=training vendors=nvidia"
ROCM = "#HET scenario=training vendors=amd"
TRAIN = "#HET scenario=training vendors=any"
SERVE = "#HET scenario=inference vendors=nvidia"
ANY = "#HET scenario=inference vendors=any"
PLAIN = ""  # nothing said: the default vendor


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of job: sbatch options with `{few}`, `{gib}`, `{soon}`, `{other}`, its hints, and
    what it asks of each of its `nodes`: `devices` taken whole, or `gib` of a shared one."""

    name: str
    weight: int
    options: tuple[str, ...]
    hints: tuple[str, ...]
    nodes: int = 1


KINDS = (
    Kind("single", 10, ("--gres=gpu:{few}",), (CUDA, ROCM, TRAIN, PLAIN)),
    Kind("whole", 3, ("--gres=gpu:4",), (CUDA, ROCM, TRAIN)),
    Kind("typed", 2, ("--gres=gpu:a100:{few}", "-p", "train-nv"), (PLAIN,)),
    Kind("gpus", 2, ("--gpus={few}",), (CUDA, TRAIN)),
    Kind("multi", 3, ("-N2", "--gres=gpu:{few}"), (CUDA, ROCM, TRAIN), nodes=2),
    Kind("share", 8, ("--gres=shard:{gib}",), (SERVE, ANY)),
    Kind("card", 2, ("--gres=gpu:1",), (SERVE, ANY)),
    Kind("array", 2, (f"--array=0-{TASKS - 1}%3", "--gres=gpu:1"), (CUDA, TRAIN)),
    Kind("wide-array", 1, (f"--array=0-{TASKS - 1}", "--gres=shard:{gib}"), (ANY,)),
    Kind("cpu", 3, ("-n2",), (PLAIN,)),
    Kind("held", 2, ("--hold", "--gres=gpu:{few}"), (CUDA, ROCM)),
    Kind("later", 2, ("--begin=now+{soon}", "--gres=gpu:{few}"), (TRAIN,)),
    Kind("after", 3, ("-dafterany:{other}", "--gres=gpu:{few}"), (CUDA, TRAIN)),
)


@dataclass(frozen=True, slots=True)
class Event:
    """What is done `at` seconds from the start. `target` is the submission it is about, or -1.

    Of a submit, `args` are sbatch's options, in which `{other}` stands for the job that `other`
    became; `script` is the hint, and the job runs `seconds`; `user` submits it.
    """

    at: float
    verb: str
    target: int = -1
    args: tuple[str, ...] = ()
    script: str = ""
    seconds: float = 0.0
    tasks: int = 1
    requeue: bool = False
    other: int = -1
    kind: str = ""
    user: str = "nobody"


def event_list(seed: int, minutes: float, kills: int = 0) -> list[Event]:
    """All events in order of time. With `kills`, hetd is killed that often and nothing else is
    done but submitting; `minutes` then is as long as that takes."""
    if kills:
        events = list(_kills(Random(f"kills {seed}"), kills))
        events += _submits(Random(f"submits {seed}"), events[-1].at)
    else:
        events = list(_submits(Random(f"submits {seed}"), minutes * 60))
        jobs = [e.at for e in events if e.verb == "submit"]
        events += _disturbances(Random(f"disturbances {seed}"), minutes * 60, jobs)
    return sorted(events, key=lambda e: (e.at, e.verb, e.target))


def _kills(rng: Random, number: int) -> Iterator[Event]:
    at = 2.0
    for _ in range(number):
        at += rng.uniform(*KILL_EVERY)
        yield Event(at, "hetd-kill")


def _submits(rng: Random, seconds: float) -> Iterator[Event]:
    at, index = 0.0, 0
    while True:
        at += rng.expovariate(1 / SUBMIT_EVERY)
        if at >= seconds:
            return
        yield _submit(rng, at, index)
        index += 1


def _submit(rng: Random, at: float, index: int) -> Event:
    kind = rng.choices(KINDS, [k.weight for k in KINDS])[0]
    other = rng.randrange(max(0, index - 8), index) if index else -1
    if kind.name == "after" and other < 0:
        kind = KINDS[0]
    values = {
        "few": rng.choice((1, 1, 1, 2, 2, 3, 4)),
        "gib": rng.choice((4, 8, 12, 16, 24, 40)),
        "soon": rng.randint(2, 12),
        "other": "{other}",
    }
    requeue = rng.random() < 0.6
    options = tuple(o.format(**values) for o in kind.options)
    return Event(
        at, "submit", index,
        (*options, "-t", str(rng.randint(2, 4)), "--requeue" if requeue else "--no-requeue"),
        script=rng.choice(kind.hints),
        seconds=round(rng.choice((0.3, 1, 2, 3, 5, 8)) * rng.uniform(0.7, 1.2), 1),
        tasks=TASKS if "array" in kind.name else 1,
        requeue=requeue,
        other=other if kind.name == "after" else -1,
        kind=kind.name,
    )  # fmt: skip


# --- what is done to them ---


def _disturbances(rng: Random, seconds: float, submitted: list[float]) -> Iterator[Event]:
    at = 0.0
    while True:
        at += rng.expovariate(1 / DISTURB_EVERY)
        if at >= seconds:
            return
        known = [k for k, when in enumerate(submitted) if when < at - 0.05]
        # Most of what is done is done to the newest jobs: those that wait or are being released.
        target = known[-1 - min(len(known) - 1, int(rng.expovariate(1 / 5)))] if known else -1
        make = rng.choices(list(DISTURBANCES), list(DISTURBANCES.values()))[0]
        for event in make(rng, at, target):
            if event.target >= 0 or event.verb in INFRASTRUCTURE:
                yield event


Maker = Callable[[Random, float, int], list[Event]]


def _cancel(rng: Random, at: float, target: int) -> list[Event]:
    task = str(rng.randrange(TASKS)) if rng.random() < 0.3 else ""
    return [Event(at, "cancel", target, (task,))]


def _hold(rng: Random, at: float, target: int) -> list[Event]:
    return [
        Event(at, "hold", target),
        Event(at + rng.uniform(1, 12), "release", target),
    ]


def _requeue(rng: Random, at: float, target: int) -> list[Event]:
    """Slurm lets a requeued job wait two minutes: `hasten` ends that."""
    if rng.random() < 0.3:
        after = at + rng.uniform(1, 6)
        return [
            Event(at, "requeuehold", target),
            Event(after, "release", target),
            Event(after + 0.5, "hasten", target),
        ]
    return [Event(at, "requeue", target), Event(at + rng.uniform(1.5, 6), "hasten", target)]


def _update(rng: Random, at: float, target: int) -> list[Event]:
    field = rng.choice((
        f"TimeLimit={rng.randint(3, 9)}", f"Nice={rng.choice((-50, 20, 100))}",
        f"ArrayTaskThrottle={rng.randint(1, 5)}", "Comment=changed by its user",
        f"StartTime=now+{rng.randint(1, 5)}", "ReqNodeList=", "Contiguous=0",
    ))  # fmt: skip
    return [Event(at, "update", target, (field,))]


def _node(rng: Random, at: float, _target: int) -> list[Event]:
    node, state = rng.choice(NODES), rng.choice(("DRAIN", "DRAIN", "DOWN"))
    return [
        Event(at, "node", args=(node, state)),
        Event(at + rng.uniform(3, 15), "node", args=(node, "RESUME")),
    ]


def _slurmd(rng: Random, at: float, _target: int) -> list[Event]:
    node = rng.choice(NODES)
    events = [Event(at, "slurmd-kill", args=(node,))]
    back = at + rng.uniform(2, 10)
    if rng.random() < 0.5:
        events.append(Event(at + rng.uniform(0.2, 1.5), "node", args=(node, "DOWN")))
    events.append(Event(back, "slurmd-start", args=(node,)))
    return [*events, Event(back + 1.0, "node", args=(node, "RESUME"))]


def _hetd_kill(_rng: Random, at: float, _target: int) -> list[Event]:
    return [Event(at, "hetd-kill")]


def _hetd_freeze(_rng: Random, at: float, _target: int) -> list[Event]:
    return [Event(at, "hetd-freeze")]


def _hetd_away(rng: Random, at: float, _target: int) -> list[Event]:
    return [Event(at, "hetd-stop"), Event(at + rng.uniform(12, 20), "hetd-start")]


def _bypass(rng: Random, at: float, _target: int) -> list[Event]:
    return [
        Event(at, "bypass", args=("on",)),
        Event(at + rng.uniform(3, 18), "bypass", args=("off",)),
    ]


def _restart(_rng: Random, at: float, _target: int) -> list[Event]:
    return [Event(at, "slurmctld-restart")]


def _reconfigure(_rng: Random, at: float, _target: int) -> list[Event]:
    return [Event(at, "reconfigure")]


def _partition(rng: Random, at: float, _target: int) -> list[Event]:
    """Another admin: a pool is closed for a while, or the gate opened by hand."""
    pool = rng.choice((*POOLS, "accel"))
    if pool == "accel":
        return [Event(at, "partition", args=(pool, "UP"))]
    return [
        Event(at, "partition", args=(pool, rng.choice(("DOWN", "DRAIN", "INACTIVE")))),
        Event(at + rng.uniform(2, 10), "partition", args=(pool, "UP")),
    ]


DISTURBANCES: dict[Maker, int] = {
    _cancel: 8, _hold: 5, _requeue: 5, _update: 8, _node: 5, _slurmd: 3, _hetd_kill: 4,
    _hetd_freeze: 1, _hetd_away: 1, _bypass: 2, _restart: 1, _reconfigure: 2, _partition: 2,
}  # fmt: skip
