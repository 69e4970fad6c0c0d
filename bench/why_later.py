"""What `slurm-het why` says of jobs long after their end, where another program has our place.

    ./dev bench why_later [--no-record]
    R=$(./dev root 24.11); sh templates/enter_root.sh $R python -m bench.why_later

Fifty jobs end on a sandbox with slurmdbd, each kind in its own way. Meanwhile another program, as
jobstats does, writes its own over the AdminComment of each within seconds after the end, by
sacctmgr; and, as slurmctld allows none of that after the end, over those of every second one by
scontrol while it runs. Slurm's records are kept aside. Then slurmctld forgets all jobs (MinJobAge),
hetd ends, its journal forgets what it would forget a day later, and hetd starts again. `why --json`
is asked of each job by root, who reads the journal, and by its owner, who asks hetd:

evidence    what in its script decided
placement   where it was planned: the nodes that it ran on; none of a job that never could start
wait        its parts sum up to Slurm's own; what was a dependency, a hold or a begin time is told
end         the state, exit code, nodes and times that Slurm had
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from bench.in_sandbox import job, ok, ours, state, submit, within
from bench.results import head, publish, recorded, table
from slurm_het.cli.why import why
from slurm_het.config import load_config
from slurm_het.core.jobs.waits import AT_ONCE_SECONDS
from slurm_het.core.records import FINISHED
from slurm_het.core.syntax import hostlist
from slurm_het.errors import HetError
from slurm_het.journal import Journal
from slurm_het.sandbox.cluster import Sandbox
from slurm_het.sandbox.layout import slurm_version
from slurm_het.slurm.records import parse_fields

OWNER = "mail"
THEIRS = "JS1:H4sIAAAAAAAAA"
"""What jobstats writes begins so."""
DAY = 86400
START_SECONDS, END_SECONDS, FORGET_SECONDS, OVERWRITTEN_SECONDS = 90.0, 300.0, 240.0, 60.0
HELD_SECONDS = 5.0
SAY = partial(print, flush=True)
Command = tuple[str, ...]


@dataclass(frozen=True)
class Kind:
    """Jobs that end in one way: how many, sbatch's options, the script's last line, the state.

    `before` waits for something else first; `does` are commands for each, once it runs if it is to
    start. `tasks` of an array count for themselves.
    """

    name: str
    jobs: int
    end: str
    last: str = "sleep 2"
    options: Command = ()
    exit_code: int = 0
    starts: bool = True
    before: bool = False
    does: tuple[Command, ...] = ()
    tasks: int = 0


CANCEL = (("scancel", "{job}"),)
KINDS = (
    Kind("completed", 6, "COMPLETED"),
    Kind("failed", 5, "FAILED", "exit 3", exit_code=3),
    Kind("by a signal", 2, "FAILED", "kill -SEGV $$"),
    Kind("cancelled", 5, "CANCELLED", "sleep 600", does=CANCEL),
    Kind("begin, cancelled", 2, "CANCELLED", options=("--begin=now+1hour",), starts=False,
         before=True, does=CANCEL),
    Kind("held, cancelled", 2, "CANCELLED", options=("-H",), starts=False, before=True,
         does=CANCEL),
    Kind("timed out", 3, "TIMEOUT", "sleep 600", options=("-t", "1")),
    Kind("dependency", 5, "COMPLETED", options=("--dependency=afterany:{first}",), before=True),
    Kind("held, released", 4, "COMPLETED", options=("-H",), before=True,
         does=(("scontrol", "release", "{job}"),)),
    Kind("tasks of an array", 2, "COMPLETED", tasks=4, options=("--array=0-3%2",)),
    Kind("shares", 5, "COMPLETED", options=("--gres=shard:8",)),
    Kind("requeued", 3, "COMPLETED", "[ -n \"$SLURM_RESTART_COUNT\" ] || sleep 600",
         options=("--requeue",), does=(("scontrol", "requeue", "{job}"),)),
)  # fmt: skip
HINTS = (
    ("module load cuda/12.4", "loads cuda"),
    ("module load rocm/6.2", "loads rocm"),
    ("module load cann/8.0", "loads cann"),
    ("module load dtk/24.04", "loads dtk"),
)
"""What a script loads, and what must be told of that."""


PARTS = {"evidence": "what", "placement": "planned", "wait": "waited", "end": "end"}
"""What is looked at, and by what key of the document."""


@dataclass
class Ended:
    """A job that ended: what must be told of it, and Slurm's record of its end."""

    kind: Kind
    key: str
    hint: str
    slurms: dict[str, str] = field(default_factory=dict)

    def wrong(self, told: dict[str, Any]) -> list[str]:
        """What a document of `why` lacks, or has otherwise."""
        checks = (
            ("evidence", self._evidence(told)), ("placement", self._placement(told)),
            ("wait", self._wait(told)), ("end", self._end(told)),
        )  # fmt: skip
        return [name for name, right in checks if not right]

    def _evidence(self, told: dict[str, Any]) -> bool:
        return any(self.hint in text for text in (told["what"] or {}).get("evidence", ()))

    def _placement(self, told: dict[str, Any]) -> bool:
        planned = told["planned"]
        if not self.kind.starts:
            return planned is None
        return bool(planned) and set(planned["nodes"]) == self._nodes

    def _wait(self, told: dict[str, Any]) -> bool:
        until = "StartTime" if self.kind.starts else "EndTime"
        waited = told["waited"]
        if not waited:
            return False
        total = waited["before"] + waited["queued"] + waited["pinned"]
        right: bool = total == self._time(until) - self._time("SubmitTime")
        return right and self._before(waited["before"])

    def _before(self, told: int) -> bool:
        """As Slurm's Submit and Eligible say, a moment apart; of who never was, all of it."""
        if not self.kind.starts:
            return told > 0
        before = self._time("EligibleTime") - self._time("SubmitTime")
        return abs(told - before) <= AT_ONCE_SECONDS and (told > 0 or not self.kind.before)

    def _end(self, told: dict[str, Any]) -> bool:
        end = told["end"]
        if not end:
            return False
        nodes = set(hostlist.expand(end["nodes"])) if end["nodes"] else set()
        code = f"{end['exit_code']}:{end['signal']}"
        return (
            end["state"] == self.kind.end
            and code == self.slurms["ExitCode"]
            and self.kind.exit_code in (0, end["exit_code"])
            and nodes == (self._nodes if self.kind.starts else set())
            and end["ended"] == self._time("EndTime")
        )

    @property
    def _nodes(self) -> set[str]:
        return set(hostlist.expand(self.slurms["NodeList"]))

    def _time(self, name: str) -> int:
        return int(self.slurms[name])


class AnotherProgram:
    """Writes its own over the AdminComment of each job as soon as it sees that it has ended; over
    that of `early` ones as soon as they run, too."""

    def __init__(self, box: Sandbox) -> None:
        self.box = box
        self.early: set[str] = set()
        self.before: set[str] = set()
        self.after: set[str] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """It is, meanwhile."""
        self._thread.start()
        try:
            yield
        finally:
            self._stop.set()
            self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(1.0):
            with suppress(HetError):
                self._look()

    def _look(self) -> None:
        listed = ok(self.box, "squeue", "-a", "-r", "-h", "--states=all", "-o", "%i %T")
        for key, now in map(str.split, listed.splitlines()):
            if now in FINISHED and key not in self.after:
                modify = "sacctmgr", "-i", "modify", "job", "where", f"jobid={key}", "set"
                self._write(key, self.after, *modify)
            elif now == "RUNNING" and key in self.early - self.before:
                self._write(key, self.before, "scontrol", "update", f"JobId={key}")

    def _write(self, key: str, written: set[str], *argv: str) -> None:
        done = self.box.run([*argv, f"AdminComment={THEIRS}"])
        if done.returncode == 0 and "Nothing modified" not in done.stdout:
            written.add(key)


def submit_all(box: Sandbox) -> list[Ended]:
    """Submit the jobs of all kinds; what is to be told of each."""
    made: list[Ended] = []
    first = submit(box, "--gres=gpu:1", "-t", "5", script="#!/bin/sh\nmodule load cuda\nsleep 8\n",
                   user=OWNER)  # fmt: skip
    for number, kind in enumerate(chain.from_iterable([kind] * kind.jobs for kind in KINDS)):
        share = "shard" in " ".join(kind.options)
        load, hint = HINTS[0 if share else number % len(HINTS)]
        script = f"#!/bin/bash\n{load}\n{kind.last}\n"
        options = [word.format(first=first) for word in kind.options]
        key = submit(box, "-t", "5", "--gres=gpu:1", *options, script=script, user=OWNER)
        keys = [f"{key}_{n}" for n in range(kind.tasks)] or [key]
        made += [Ended(kind, one, hint) for one in keys]
    return made


def let_end(box: Sandbox, jobs: list[Ended]) -> None:
    """Do to each what its kind asks for, and wait for the ends. Raises HetError if one does not."""
    time.sleep(HELD_SECONDS)
    for one in (one for one in jobs if one.kind.does):
        if one.kind.starts and not one.kind.before:
            _wait(f"job {one.key} starts", START_SECONDS, partial(_is, box, one, "RUNNING"))
            _wait(f"hetd has seen {one.key} run", START_SECONDS, partial(_seen, box, one.key))
        for words in one.kind.does:
            ok(box, *(word.format(job=one.key) for word in words))
    for one in jobs:
        _wait(f"job {one.key} ends", END_SECONDS, partial(_is, box, one, one.kind.end))
        argv = ("env", "SLURM_TIME_FORMAT=%s", "scontrol", "-o", "show", "job", one.key)
        one.slurms = parse_fields(" ".join(ok(box, *argv).splitlines()))


def _is(box: Sandbox, one: Ended, wanted: str) -> bool:
    return state(box, one.key) == wanted


def _seen(box: Sandbox, key: str) -> bool:
    journal = Journal(load_config(box.config_path).paths.journal, read_only=True)
    try:
        return any(event == "started" for _, event, _ in journal.outcomes_of(key))
    finally:
        journal.close()


def _wait(what: str, seconds: float, true: Callable[[], bool]) -> None:
    if not within(seconds, true):
        raise HetError(f"not within {seconds:g} s: {what}")


def forget(box: Sandbox, jobs: list[Ended]) -> None:
    """Have slurmctld forget them by its own clock: MinJobAge is a second now."""
    conf = box.layout.slurm_conf
    conf.write_text(conf.read_text().replace("MinJobAge=300", "MinJobAge=1"))
    ok(box, "scontrol", "reconfigure")
    _wait("Slurm forgets them", FORGET_SECONDS, lambda: not any(job(box, j.key) for j in jobs))


def a_day_later(box: Sandbox) -> None:
    """hetd ends, the journal forgets as it would a day from now, and hetd starts again."""
    box.stop_hetd()
    settings = load_config(box.config_path)
    journal = Journal(settings.paths.journal)
    try:
        while journal.prune(time.time() + DAY, keep_days=settings.planner.keep_days):
            pass
    finally:
        journal.close()
    box.start_hetd()


def theirs(box: Sandbox, keys: set[str]) -> int:
    """Of how many of these jobs slurmdbd has what the other program wrote."""
    listed = ok(
        box, "sacct", "-a", "-X", "-n", "-P", "-S", "1970-01-01", "-o", "jobid,admincomment"
    )
    rows = (line.partition("|") for line in listed.splitlines())
    return sum(key in keys and text.lower() == THEIRS.lower() for key, _, text in rows)


def told_to_owner(box: Sandbox, key: str) -> dict[str, Any]:
    """What `why` tells its owner, who asks hetd."""
    argv = [sys.executable, "-m", "slurm_het.cli.admin", "why", "--json", key]
    done = box.run(argv, user=OWNER)
    if done.returncode:
        raise HetError(f"why {key}: {done.stderr.strip()}")
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def run(box: Sandbox, say: Callable[[str], None]) -> list[list[str]]:
    """Run it all; the rows of the table."""
    other = AnotherProgram(box)
    with other.at_work():
        jobs = submit_all(box)
        keys = {one.key for one in jobs}
        other.early = {one.key for one in jobs[::2] if one.kind.name != "requeued"}
        let_end(box, jobs)
        _wait("all are overwritten", OVERWRITTEN_SECONDS, lambda: keys <= other.after)
    say(
        f"{len(jobs)} jobs have ended; another program has its own over the AdminComment of"
        f" {len(other.before & keys)} while they ran, and in slurmdbd of {theirs(box, keys)}"
    )
    forget(box, jobs)
    a_day_later(box)
    right: dict[str, Counter[str]] = {"root": Counter(), "owner": Counter()}
    for one in jobs:
        answers = {"root": json.loads(ours(box, why, "--json", one.key)),
                   "owner": told_to_owner(box, one.key)}  # fmt: skip
        for who, told in answers.items():
            wrong = one.wrong(told)
            right[who][one.kind.name] += not wrong
            if wrong:
                parts = {name: told[PARTS[name]] for name in wrong}
                say(
                    f"{one.kind.name} {one.key}, told to {who}: wrong: {parts}; Slurm: {one.slurms}"
                )
    many = Counter(one.kind.name for one in jobs)
    rows = [[n, str(m), str(right["root"][n]), str(right["owner"][n])] for n, m in many.items()]
    total = ["all", str(len(jobs)), *(str(right[who].total()) for who in ("root", "owner"))]
    return [*rows, total]


def main() -> None:
    """Print the table, and put it into RESULTS.md; fails if anything told is not right."""
    parser = recorded(__doc__)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="het-bench-") as temp:
        base = Path(temp)
        base.chmod(0o755)  # munged wants its socket reachable for all
        with Sandbox.up(base / "box", accounting=True) as box:
            rows = run(box, SAY)
    extra = f"Slurm {slurm_version().text}, load {os.getloadavg()[1]:.0f}"
    text = head("why_later", "./dev bench why_later", extra)
    text += table(("ended", "jobs", "right, root", "right, its owner"), rows)
    publish(text, options)
    sys.exit(len(set(rows[-1][1:])) > 1)


if __name__ == "__main__":
    main()
