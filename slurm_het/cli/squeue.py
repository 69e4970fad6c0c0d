"""het-squeue: squeue in terms of devices, memory and pools, with why each job waits."""

from __future__ import annotations

import asyncio
import json
import math
import os
import shutil
import sys
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version as package_version
from pathlib import Path
from typing import Any

import click

from slurm_het.cli.columns import (
    COLUMNS,
    EXPECTED,
    LONG,
    STARTS,
    Column,
    format_lines,
    named,
    parse_format,
    sorted_by,
)
from slurm_het.cli.filters import MAX_TASKS, Filters, choose, choose_devices, each_task
from slurm_het.cli.health import header_lines, verdict_on
from slurm_het.cli.hetd_client import slurm_of
from slurm_het.cli.hetd_status import HetdStatus, ask_hetd
from slurm_het.cli.live import Live, Screen, patience, print_once, show_again
from slurm_het.cli.options import ITERATE, VIEW_CONFIG
from slurm_het.cli.program import hidden_told, result_of, run_program, warnings_told
from slurm_het.cli.screen import (
    coloured,
    in_blocks,
    job_lines,
    node_lines,
    pool_lines,
)
from slurm_het.cli.total_lines import total_lines
from slurm_het.cli.wording import load_wording, reworded
from slurm_het.cli.would import with_would
from slurm_het.config import load_config
from slurm_het.core.model import Snapshot
from slurm_het.core.views.free import free_by_node, free_by_pool, shut_pools
from slurm_het.core.views.job_rows import Counted, JobRow, View, count_jobs, make_view
from slurm_het.core.views.starts import with_starts
from slurm_het.core.views.totals import summary_of, totals_of
from slurm_het.settings import Config
from slurm_het.slurm.cli import CliSlurm
from slurm_het.times import local_time

PROGRAM = "het-squeue"


@dataclass(frozen=True, slots=True)
class Options:
    """What to print and how; `jobs`: those chosen, beside what is free (`free`, `nodes`)."""

    choice: Filters
    format: str | None
    header: bool
    as_json: bool
    why: bool
    start: bool
    free: bool
    nodes: bool
    jobs: bool
    long: bool = False
    sort: str = ""
    array: bool = False
    totals: bool = False

    @property
    def sums(self) -> bool:
        """Whether nothing but sums is shown."""
        return self.totals and not (self.as_json or self.free or self.nodes)

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns of the job table; none are the default ones, fitted to the terminal."""
        if self.format and "%" in self.format:
            return tuple(field.column for field in parse_format(self.format) if field.column)
        usual = STARTS if self.start else LONG if self.long else ()
        return named(self.format or ",".join(usual))

    @property
    def with_starts(self) -> bool:
        """Whether it is to be worked out when the waiting jobs start."""
        sorts = {word.strip().lstrip("+-") for word in self.sort.split(",")}
        wanted = {c.name for c in self.columns} | sorts
        return self.jobs and (self.start or not wanted.isdisjoint({*EXPECTED, "S", "Y"}))


def _columns_help() -> str:
    lines = ["\b", "Columns for -o, with squeue's letter where it has one:"]
    names = [f"%{c.letter} {c.name}" if c.letter else c.name for c in COLUMNS]
    line = " "
    for name in names:
        if len(line) + len(name) > 74:
            lines.append(line)
            line = " "
        line += f" {name},"
    return "\n".join([*lines, line.rstrip(",")])


_EPILOG = f"""\b
Examples:
  het-squeue -u alice --why            her jobs, and why each was classified so
  het-squeue -p accel                  what waits in the gate, and for what
  het-squeue --free                    what is free, by pool and type
  het-squeue --start                   when and where what waits starts at the latest
  het-squeue -w nv1 -o id,user,devices who is on nv1
  het-squeue -o '%.10i %.8u %.20{{devices}} %R' -i 5

\b
GIB is device memory: of devices held whole all of it, of shared ones the part
held. While a job waits, (24) is what it asks; (512+) at least that much, by
type. DEVICES is node:indexes; (2x8) asks for two nodes with eight each.
POOL is the partition, or `gate` while the job waits for its plan.

{_columns_help()}

\b
A width cuts and pads as in squeue: %.8i, %20{{devices}}.

\b
--json prints {{"jobs": [...], "gate": {{...}}, "source": {{...}}}}; with --free and
--nodes it prints "free" and "nodes" in place of "jobs", and "jobs" too where
other options ask for jobs. Keys are only ever added; docs/schemas/het-squeue.json
is the JSON schema. A job has the keys
id job_id array_job_id user account qos name partition pool scenario types
devices memory_gib asks state seconds time_limit_minutes priority submit_time
start_time reason slurm_reason evidence readable expected_start expected_nodes
waited_seconds reason_code action expected_cause likely_start. The wait is
squeue's PendingTime; what is expected is null and [] unless --start asks for
it. Then expected_start is the latest time, likely_start the one if jobs end as
they usually do, expected_cause says why there is none, and "told" how good the
last told times were. What is free by pool: pool
scenario types memory_gib free total unusable best_node best shared best_gib.
By node: pool node types free total free_gib shared state note devices
(index given_gib used_gib ails, of those that tell of themselves).
"""


@click.command(context_settings={"help_option_names": ["--help"]}, epilog=_EPILOG)
@click.option("-u", "--user", "users", default="", help="Jobs of these users (a list).")
@click.option("--me", is_flag=True, help="My jobs.")
@click.option("-j", "--jobs", "--job", default="", help="These jobs: 11, 11_3, 11_[3-9].")
@click.option("-p", "--partition", default="", help="In these partitions (pools, the intake).")
@click.option("-t", "--states", "--state", default="", help="In these states, or all.")
@click.option("-w", "--nodelist", default="", help="Holding any of these nodes: nv[1-2],amd1.")
@click.option("-A", "--account", default="", help="Of these accounts.")
@click.option("-n", "--name", default="", help="Of these names.")
@click.option("-q", "--qos", default="", help="Of these QOS.")
@click.option("-r", "--array", is_flag=True, help="A line for each task of an array.")
@click.option("-S", "--sort", default="", help="By columns, as squeue: -p,i or wait,-priority.")
@click.option("-l", "--long", is_flag=True, help="More columns: account, limit, node count.")
@click.option("-o", "--format", "fmt", help="Columns: id,user,devices or '%.8i %u %{devices}'.")
@click.option("-h", "--noheader", is_flag=True, help="No heading.")
@ITERATE
@click.option("--why", is_flag=True, help="Below each job, the evidence for its classification.")
@click.option("--start", is_flag=True, help="When and where the waiting jobs start.")
@click.option("--totals", is_flag=True, help="Sums by user and account, in place of jobs.")
@click.option("--free", is_flag=True, help="What is free by pool and type, in place of jobs.")
@click.option("--nodes", is_flag=True, help="What is free by node, in place of jobs.")
@click.option("--json", "as_json", is_flag=True, help="The same as JSON with stable keys.")
@VIEW_CONFIG
@click.version_option(package_version("slurm-het"), "-V", "--version", prog_name="het-squeue")
def squeue(config: Path | None, iterate: int | None, **given: Any) -> None:
    """Show jobs by the accelerators they hold or wait for, and why they wait.

    Works without hetd: everything comes from Slurm itself; hetd adds the gate's
    state and what it remembers of jobs that Slurm would not start.
    """
    options = _options(given)
    settings = load_config(config)
    slurm = slurm_of(settings)
    with asyncio.Runner() as runner:

        def make() -> Screen:
            return show(settings, slurm, runner, options)

        if iterate is None:
            print_once(PROGRAM, make())
            return
        slurm.spare(patience(iterate))
        title = " ".join([PROGRAM, *sys.argv[1:]])
        show_again(Live(PROGRAM, iterate, "" if options.as_json else title), make)


def _options(given: Mapping[str, Any]) -> Options:
    users = str(os.getuid()) if given["me"] else given["users"]
    for_jobs = {"-u": users, "-j": given["jobs"], "-t": given["states"], "-o": given["fmt"],
                "--why": given["why"], "--start": given["start"], "-A": given["account"],
                "-n": given["name"], "-q": given["qos"], "-r": given["array"],
                "-S": given["sort"], "-l": given["long"]}  # fmt: skip
    asked = [name for name, value in for_jobs.items() if value]
    free, nodes, as_json = given["free"], given["nodes"], given["as_json"]
    if (free or nodes) and asked and not as_json:
        said = ", ".join(asked)
        raise click.UsageError(
            f"--free and --nodes show no jobs, which {said} is for; -p and -w choose pools and"
            f" nodes; with --json, {said} adds the jobs"
        )
    choice = Filters(
        users, given["jobs"], given["partition"], given["states"], given["nodelist"],
        given["account"], given["name"], given["qos"],
    )  # fmt: skip
    return Options(
        choice, given["fmt"], not given["noheader"], as_json, given["why"], given["start"],
        free, nodes, bool(asked) or not (free or nodes), given["long"], given["sort"],
        given["array"], given["totals"],
    )  # fmt: skip


def show(settings: Config, slurm: CliSlurm, runner: asyncio.Runner, options: Options) -> Screen:
    """Read Slurm and hetd once: what was chosen, as it is to be shown."""
    snapshot = result_of(runner.run, slurm.snapshot())
    hidden = runner.run(slurm.hidden())
    gate = ask_hetd(settings.paths.control_socket, hidden=hidden)
    snapshot = gate.with_devices(snapshot)
    if options.sums:
        return _sums_shown(settings, options, gate, snapshot, hidden)
    memory, limits = gate.remembers(settings, hidden), settings.planner.limits
    view = make_view(snapshot, settings.policy, limits, memory, local_time)
    view = with_would(reworded(view, load_wording(settings.paths.reasons)), gate.shadow.would)
    if options.with_starts:
        view = with_starts(view, memory.likely)
    rows, cut = _chosen(view, options, snapshot)
    warnings = [*cut, *view.warnings]
    notes = [*warnings_told(warnings), *hidden_told(hidden), *_good_so_far(gate, options)]
    head = _header(settings, options, gate, view)
    notes += [] if head else _gate_note(settings, gate, view)
    shown = choose_devices(view.inventory, options.choice, snapshot)
    shut = shut_pools(snapshot.partitions, settings.policy)
    by_pool = free_by_pool(shown, settings.policy, shut) if options.free else ()
    by_node = free_by_node(shown, settings.policy, shut) if options.nodes else ()
    if options.as_json:
        document: dict[str, Any] = {}
        if options.jobs:
            document["jobs"] = [row_json(r) for r in rows]
        document |= {"told": gate.accuracy and asdict(gate.accuracy)} if options.start else {}
        document |= {"totals": asdict(totals_of(rows))} if options.totals else {}
        document |= {"free": list(map(asdict, by_pool))} if options.free else {}
        document |= {"nodes": list(map(asdict, by_node))} if options.nodes else {}
        document["gate"] = gate.as_json(settings.policy.intake_partition, view.intake)
        document["source"] = {
            "time": int(snapshot.time),
            "slurm": runner.run(slurm.version()).text,
            "config": str(settings.source),
            "warnings": warnings,
        }
        return Screen(notes, [json.dumps(document)])
    blocks = [pool_lines(by_pool, header=options.header)] if options.free else []
    if options.nodes:
        blocks.append(node_lines(by_node, header=options.header))
    if options.totals:
        blocks.append(total_lines(totals_of(rows), header=options.header))
    blocks = [head, *(blocks or [_job_table(rows, options)])]
    return Screen(notes, in_blocks(blocks))


def _sums_shown(
    settings: Config,
    options: Options,
    gate: HetdStatus,
    snapshot: Snapshot,
    hidden: Collection[str],
) -> Screen:
    """Sums alone, for which no reasons are worked out."""
    counted = count_jobs(snapshot, settings.policy, settings.planner.limits)
    head = _header(settings, options, gate, counted)
    notes = [*warnings_told(counted.warnings), *hidden_told(hidden)]
    notes += [] if head else _gate_note(settings, gate, counted)
    rows = choose(counted.rows, options.choice, counted.snapshot)
    return Screen(notes, in_blocks([head, total_lines(totals_of(rows), header=options.header)]))


def _gate_note(settings: Config, gate: HetdStatus, view: View | Counted) -> list[str]:
    note = gate.note(settings.policy.intake_partition, view.intake)
    return [note] if note else []


def _good_so_far(gate: HetdStatus, options: Options) -> list[str]:
    """How good the start times were that were told before."""
    asked = options.start and options.header and not options.as_json
    return [f"start times: {gate.accuracy}"] if asked and gate.accuracy else []


def _header(
    settings: Config, options: Options, gate: HetdStatus, view: View | Counted
) -> list[str]:
    """The three lines above the jobs, on a terminal."""
    plain = options.as_json or options.format or options.free or options.nodes
    if plain or not (options.header and sys.stdout.isatty()):
        return []
    summary = summary_of(view.snapshot, view.inventory, settings.policy)
    verdict = verdict_on(gate, view.intake, settings.paths, view.snapshot.time)
    return header_lines(verdict, summary, shutil.get_terminal_size().columns)


def _chosen(view: View, options: Options, snapshot: Snapshot) -> tuple[list[JobRow], list[str]]:
    """The rows that were asked for, in the order that was asked for; what is to be said of them."""
    rows = choose(view.rows, options.choice, snapshot)
    if options.start:
        rows = sorted((r for r in rows if r.waits), key=_by_start)
    rows = sorted_by(options.sort, rows)
    if not options.array:
        return rows, []
    rows, left = each_task(rows, options.choice)
    cut = f"{left} waiting tasks of arrays are left out: of these {MAX_TASKS} are shown at most"
    return rows, [f"{cut}; -j 11_[0-99] chooses some"] if left else []


def _job_table(rows: list[JobRow], options: Options) -> list[str]:
    terminal = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    if options.format and "%" in options.format:
        lines = format_lines(parse_format(options.format), rows, header=True)
        return coloured(lines, rows)[0 if options.header else 1 :]
    columns = options.columns or None
    return job_lines(rows, columns, header=options.header, why=options.why, terminal=terminal)


def _by_start(row: JobRow) -> float:
    """Those of which it is not known come last."""
    return row.expected.start if row.expected else math.inf


def row_json(row: JobRow) -> dict[str, Any]:
    """A job's documented keys; texts are as Slurm has them (JSON escapes controls itself)."""
    job, ask, expected = row.job, row.ask, row.expected
    asks = asdict(ask) if ask else None
    return {
        "id": row.id, "job_id": job.id, "array_job_id": job.array_job_id or None,
        "user": job.user, "account": job.account, "qos": job.qos, "name": job.name,
        "partition": job.partition, "pool": row.pool, "scenario": row.scenario,
        "types": row.types, "devices": [asdict(h) for h in row.held],
        "memory_gib": row.memory_gib, "asks": asks, "state": job.state, "seconds": row.seconds,
        "time_limit_minutes": job.time_limit_minutes, "priority": job.priority,
        "submit_time": job.submit_time, "start_time": job.start_time, "reason": row.reason,
        "slurm_reason": job.reason, "evidence": row.evidence, "readable": not row.unreadable,
        "expected_start": int(expected.start) if expected else None,
        "expected_nodes": sorted(expected.nodes) if expected else [],
        "waited_seconds": row.waited, "reason_code": row.code or None, "action": row.action,
        "expected_cause": row.untold or None,
        "likely_start": int(expected.likely) if expected and expected.likely else None,
    }  # fmt: skip


def main() -> None:
    """Entry point: errors of ours are messages, not tracebacks."""
    run_program(PROGRAM, squeue)


if __name__ == "__main__":
    main()
