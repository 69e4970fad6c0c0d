"""Where a past and its site come from: Slurm's programs, or files with what they printed."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path

from slurm_het.config import parse_config
from slurm_het.core.catalog import Catalog
from slurm_het.core.model import NodeRecord, Partition, Snapshot
from slurm_het.errors import CannotRunError, HetError, SlurmError
from slurm_het.replay.filetxt import read_filetxt
from slurm_het.replay.moments import WallClock
from slurm_het.replay.past import PastJob, Tally
from slurm_het.replay.sacct import ENVIRONMENT, command, read_sacct
from slurm_het.replay.site import COMMAND, WORDS, ReplaySite, conf_of, site_of
from slurm_het.settings import Config, SlurmSettings
from slurm_het.setup.files import het_yaml
from slurm_het.setup.proposal import GresVendors, ProposedPartition, propose_site
from slurm_het.slurm.environment import environment
from slurm_het.slurm.records import parse_nodes, parse_partitions
from slurm_het.vendors import catalogue, load_vendors

SACCT_SECONDS = 1800.0
"""A month of a large site takes sacct minutes."""
MOST_SITE = 256 << 20


def read_past(lines: Iterable[str], clock: WallClock, tally: Tally) -> Iterator[PastJob]:
    """The records of a text of sacct's or jobcomp/filetxt's: the first line tells which it is."""
    rest = iter(lines)
    first = next(rest, "")
    read = read_filetxt if first.startswith("JobId=") else read_sacct
    return read(chain([first], rest) if first else (), clock, tally)


def lines_of(path: Path) -> Iterator[str]:
    """A file, line by line; what is no UTF-8 in it is replaced."""
    try:
        # Nothing else ends a line: users' words may have other line breaks.
        with path.open(encoding="utf-8", errors="replace", newline="\n") as file:
            yield from file
    except OSError as error:
        raise HetError(f"cannot read {path}: {error.strerror}") from error


def sacct_lines(since: float, until: float, settings: SlurmSettings) -> Iterator[str]:
    """What sacct says of that time, line by line."""
    words = command(_stamp(since), _stamp(until))
    if settings.bin_dir:
        words[0] = str(settings.bin_dir / words[0])
    env = environment(os.environ, settings) | ENVIRONMENT
    with tempfile.TemporaryFile() as errors:
        try:
            child = subprocess.Popen(
                words, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors,
                encoding="utf-8", errors="replace", bufsize=1 << 16,
            )  # fmt: skip
        except OSError as error:
            raise CannotRunError(
                f"cannot run {words[0]}: {error.strerror}",
                "give a file of its output instead; slurm-het replay --help has the command line",
            ) from error
        try:
            yield from _printed(child)
            status = child.wait(60)
        finally:
            if child.poll() is None:
                child.kill()
                child.wait(10)
        if status:
            errors.seek(0)
            said = errors.read(2000).decode("utf-8", "replace").strip()
            raise SlurmError(
                f"sacct: {said or f'ended with status {status}'}",
                "where there is no slurmdbd, give the file of jobcomp/filetxt",
            )


def _printed(child: subprocess.Popen[str]) -> Iterator[str]:
    assert child.stdout  # noqa: S101  # a pipe
    deadline = time.monotonic() + SACCT_SECONDS
    for line in child.stdout:
        if time.monotonic() > deadline:
            raise SlurmError(
                f"sacct took more than {SACCT_SECONDS / 60:g} minutes", "ask for a shorter time"
            )
        yield line


def _stamp(seconds: float) -> str:
    """sacct runs in UTC."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


def site_text(path: Path | None, settings: SlurmSettings) -> str:
    """What scontrol says of nodes, partitions and slurm.conf: now, or in a file."""
    if path:
        try:
            with path.open(encoding="utf-8", errors="replace") as file:
                return file.read(MOST_SITE)
        except OSError as error:
            raise HetError(
                f"cannot read {path}: {error.strerror}", f"make it by: {COMMAND} > {path}"
            ) from error
    return "\n".join(_scontrol(words.split(), settings) for words in WORDS)


def _scontrol(words: list[str], settings: SlurmSettings) -> str:
    program = str(settings.bin_dir / "scontrol") if settings.bin_dir else "scontrol"
    hint = f"or give a file by --site, made by: {COMMAND} > FILE"
    try:
        done = subprocess.run(
            [program, *words], env=environment(os.environ, settings), stdin=subprocess.DEVNULL,
            capture_output=True, encoding="utf-8", errors="replace", check=False,
            timeout=settings.timeout_seconds,
        )  # fmt: skip
    except OSError as error:
        raise CannotRunError(f"cannot run {program}: {error.strerror}", hint) from error
    except subprocess.TimeoutExpired as error:
        raise SlurmError(f"{program} did not answer in time", hint) from error
    if done.returncode:
        raise SlurmError(f"{program} {' '.join(words)}: {done.stderr.strip()[-500:]}", hint)
    return done.stdout


def read_site(text: str, config: Config | None) -> ReplaySite:
    """The site, with all its nodes up and idle. Without a configuration it is the one that
    `slurm-het init` proposes. Raises HetError."""
    nodes = tuple(_at_rest(n) for n in parse_nodes(text) if not n.future)
    partitions = parse_partitions(text)
    if not nodes or not partitions:
        what = "partition" if nodes else "node"
        raise HetError(f"there is no {what} in what scontrol printed", f"it is made by: {COMMAND}")
    snapshot = Snapshot(0.0, (), nodes, partitions)
    if config is None:
        config, snapshot = _proposed(snapshot)
    return site_of(snapshot, config, conf_of(text))


def _at_rest(node: NodeRecord) -> NodeRecord:
    return replace(node, state="IDLE", cpus_alloc=0, memory_alloc_mib=0, gres_stale=False)


def _proposed(snapshot: Snapshot) -> tuple[Config, Snapshot]:
    """What `slurm-het init` would write, and the partitions that it would have added."""
    vendors = load_vendors()
    names = GresVendors({"gpu": "", **{n: v.vendor for v in vendors.values() for n in v.gres}})
    proposal = propose_site(snapshot, Catalog(catalogue(vendors)), names)
    told = [proposal.intake, *(pool.partition for pool in proposal.pools)]
    if proposal.spanning:
        told.append(proposal.spanning)
    added = {p.name: _partition(p) for p in told if p.new}
    new = [p for p in told if p.new]
    nodes = tuple(
        replace(n, partitions=(*n.partitions, *(p.name for p in new if n.name in p.nodes)))
        for n in snapshot.nodes
    )
    partitions = (*snapshot.partitions, *added.values())
    return parse_config(het_yaml(proposal)), replace(snapshot, nodes=nodes, partitions=partitions)


def _partition(proposed: ProposedPartition) -> Partition:
    """With what `slurm-het init` takes over for it (`setup.files.LIMITS`): limits, no lists."""
    like = proposed.like or Partition(proposed.name)
    return Partition(
        proposed.name, nodes=",".join(proposed.nodes), max_minutes=like.max_minutes,
        default_minutes=like.default_minutes, max_nodes=like.max_nodes, min_nodes=like.min_nodes,
        max_cpus_per_node=like.max_cpus_per_node,
        max_memory_per_node_mib=like.max_memory_per_node_mib, exclusive=like.exclusive,
        tier=like.tier,
    )  # fmt: skip
