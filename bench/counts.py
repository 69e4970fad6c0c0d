"""Do the head and the totals of het-squeue agree with Slurm while jobs come and go?

    ./dev bench counts [--snapshots 30] [--seed 1]

Each snapshot follows a burst of submissions and cancellations on a sandbox. What `squeue -r` and
the nodes' GresUsed say is read before and after: where it is the same, nothing changed meanwhile,
and the head on a terminal, `--totals` and `slurm-het status` must say it too. Of shares Slurm tells
in its jobs alone (scontrol -d show job). On another version of Slurm:

    sh templates/enter_root.sh ROOT python -m bench.counts
"""

from __future__ import annotations

import argparse
import json
import os
import pty
import random
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from slurm_het.config import load_config
from slurm_het.core.policy import Policy
from slurm_het.core.syntax import hostlist
from slurm_het.core.syntax.gres import Gres, parse
from slurm_het.sandbox.cluster import Sandbox
from slurm_het.slurm.records import parse_fields

USERS = ("daemon", "mail", "games")
SHARE_GIB = 12
REQUESTS = (
    ("--gres=gpu:1",),
    ("--gres=gpu:3",),
    ("--gres=gpu:8",),
    ("--gpus-per-node=8", "-N2"),
    ("--gres=gpu:2", "--array=0-5%3"),
    ("--gres=npu:4",),
    ("--gres=gpu:1", "-H"),
    (f"--gres=shard:{SHARE_GIB}",),
    (f"--gres=shard:{SHARE_GIB}",),
)
SCRIPTS = ("sleep 600", "sleep 600", "sleep 5", "trap '' TERM; sleep 600")
"""Those that cannot be ended politely are COMPLETING for a while."""
HEAD = re.compile(
    r"(?P<running>\d+) run, (?P<waiting>\d+) wait.*?"
    r"(?P<devices>\d+)/\d+ devices, (?P<gib>\d+)/\d+ GiB: (?P<pools>[^\r\n]*)",
    re.DOTALL,
)
TRIES = 40
"""So often a snapshot is tried until nothing changed while it was taken."""
Device = tuple[str, int]


@dataclass(frozen=True)
class Counts:
    """What runs and waits, by user too; what is in use: devices, by pool too, and GiB. Each share
    of a device is one of the `holdings`, and each device that is held whole."""

    running: int
    waiting: int
    devices: int
    gib: int
    holdings: int
    pools: dict[str, int]
    runs: dict[str, int]
    waits: dict[str, int]


def slurms(box: Sandbox, policy: Policy) -> Counts | None:
    """Slurm's own; None where it does not tell of a share, as its job is just ending."""
    rows = [
        line.split()
        for line in box.run(["squeue", "-a", "-r", "-h", "-o", "%T %u"]).stdout.splitlines()
    ]
    whole, types, pool_of = _whole(box, policy)
    shares = list(_shares(box))
    if None in shares:
        return None
    shared = [share for share in shares if share]
    busy = {*whole, *shared}
    gib = sum(policy.types[types[node]].memory_gib for node, _ in whole) + SHARE_GIB * len(shared)
    return Counts(
        sum(state == "RUNNING" for state, _ in rows),
        sum(state == "PENDING" for state, _ in rows),
        len(busy), gib, len(whole) + len(shared),
        dict(Counter(pool_of[node] for node, _ in busy)),
        dict(Counter(user for state, user in rows if state == "RUNNING")),
        dict(Counter(user for state, user in rows if state == "PENDING")),
    )  # fmt: skip


def _whole(box: Sandbox, policy: Policy) -> tuple[list[Device], dict[str, str], dict[str, str]]:
    """The devices that are held whole by GresUsed; by node their type, and the pool."""
    pools = {pool.partition for pool in policy.pools}
    whole: list[Device] = []
    types, pool_of = {}, {}
    for line in box.run(["scontrol", "-o", "-d", "show", "node"]).stdout.splitlines():
        fields = parse_fields(line)
        node = fields["NodeName"]
        for there in (g for g in parse(fields.get("Gres", "")) if g.name == "gpu"):
            types[node] = str(there.type)
            pool_of[node] = next(p for p in fields["Partitions"].split(",") if p in pools)
        for used in (g for g in parse(fields.get("GresUsed", "")) if g.name == "gpu"):
            whole += [(node, index) for index in used.indexes or ()]
    return whole, types, pool_of


def _shares(box: Sandbox) -> Iterator[Device | None]:
    """The devices that jobs hold a share of, once for each; None for one that Slurm hides."""
    text = box.run(["scontrol", "-o", "-d", "show", "job"]).stdout
    for line in text.splitlines():
        fields = parse_fields(line)
        if fields.get("JobState") not in {"RUNNING", "COMPLETING"} or "shard" not in line:
            continue
        detail = re.search(r" Nodes=(\S+) CPU_IDs=\S+ Mem=\S+ GRES=(\S+)", line)
        if not detail:
            yield None
            continue
        for node in hostlist.expand(detail[1]):
            for gres in (g for g in parse(detail[2]) if g.name == "shard"):
                yield from ((node, index) for index in _indexes(gres))


def _indexes(gres: Gres) -> tuple[int, ...]:
    if gres.shares is None:
        return gres.indexes or ()
    return tuple(index for index, (used, _) in enumerate(gres.shares) if used)


_IN_BOTH = ("running", "running"), ("waiting", "waiting"), ("memory_gib", "gib")


def heads(box: Sandbox) -> Counts:
    """The head of het-squeue on a terminal, and what `--totals` says."""
    master, terminal = pty.openpty()
    env = box.env | {"COLUMNS": "250", "LINES": "50", "NO_COLOR": "1"}
    argv = [sys.executable, "-m", "slurm_het.cli.squeue"]
    try:
        box.run([*argv, "-j", "99999999"], stdin=terminal, stdout=terminal, stderr=-1, env=env)
        text = os.read(master, 1 << 16).decode("utf-8", "replace")
    finally:
        os.close(master)
        os.close(terminal)
    head = HEAD.search(text)
    if head is None:
        raise SystemExit(f"no head: {text[:500]}")
    pools = re.findall(r"(\S+) (\d+)/\d+", head["pools"])
    totals = json.loads(box.run([*argv, "--json", "--totals"]).stdout)["totals"]
    every, users = totals["all"], totals["users"]
    sums = [
        sum(user[key] for user in users) == every[key]
        for key in ("running", "waiting", "devices", "memory_gib")
    ]
    if not all(sums):
        raise SystemExit(f"the totals do not add up: {totals}")
    if any(every[key] != int(head[name]) for key, name in _IN_BOTH):
        return Counts(-1, -1, 0, 0, 0, {}, {}, {})  # wrong, unless something changed between them
    return Counts(
        every["running"], every["waiting"], int(head["devices"]), every["memory_gib"],
        every["devices"], {pool: int(used) for pool, used in pools if int(used)},
        {user["user"]: user["running"] for user in users if user["running"]},
        {user["user"]: user["waiting"] for user in users if user["waiting"]},
    )  # fmt: skip


def burst(box: Sandbox, rng: random.Random) -> None:
    """A few submissions and cancellations."""
    for _ in range(rng.randint(1, 4)):
        options = ["-o", "/dev/null", "-t", "30", *rng.choice(REQUESTS)]
        script = f"#!/bin/sh\n# module load cuda\n{rng.choice(SCRIPTS)}\n"
        box.run(["sbatch", "-Q", *options], user=rng.choice(USERS), input=script)
    queued = box.run(["squeue", "-a", "-r", "-h", "-o", "%i"]).stdout.split()
    gone = rng.sample(queued, min(len(queued), rng.randint(0, 1 + len(queued) // 8)))
    if gone:
        box.run(["scancel", *gone])


def snapshot(box: Sandbox, policy: Policy) -> tuple[Counts, Counts, int]:
    """What Slurm says of a moment at which nothing changed, what we say of it, and how many others
    were tried before."""
    for torn in range(TRIES):
        before, shown = slurms(box, policy), heads(box)
        if before and before == slurms(box, policy):
            return before, shown, torn
    raise SystemExit("the cluster does not come to rest")


def main() -> None:
    """Run and print each snapshot, what differs, and how many agree."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--snapshots", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    rng, same, all_torn = random.Random(options.seed), 0, 0
    with tempfile.TemporaryDirectory(prefix="het-") as temp:
        base = Path(temp)
        base.chmod(0o755)  # munged wants its socket reachable for all
        with Sandbox.up(base / "box") as box:
            policy = load_config(box.config_path).policy
            version = box.run(["scontrol", "--version"]).stdout.strip()
            for number in range(options.snapshots):
                burst(box, rng)
                time.sleep(rng.uniform(0.0, 2.0))
                there, shown, torn = snapshot(box, policy)
                all_torn += torn
                same += there == shown
                print(f"{number}: {'equal' if there == shown else 'differs'}: {there}", flush=True)
                for key, value in asdict(there).items():
                    if asdict(shown)[key] != value:
                        print(f"   {key}: Slurm {value}, we {asdict(shown)[key]}")
    print(f"{version}: {same} of {options.snapshots} equal; {all_torn} more changed meanwhile")
    sys.exit(same != options.snapshots)


if __name__ == "__main__":
    main()
