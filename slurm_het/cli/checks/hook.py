"""Whether the hook's files are there and heard, and hetd alive."""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator
from pathlib import Path

from slurm_het.cli.checks.site import ControllerHost, Finding, Installation
from slurm_het.cli.hetd_status import idle
from slurm_het.sizes import needed_mib
from slurm_het.slurm.versions import parse_version
from slurm_het.templating import hook_config

MAIN = "job_submit.lua"
CHAIN = "het_chain.lua"
CONFIG = "het_hook_config.lua"
EVENT = "het_event.lua"
PARTS = ("het_protocol.lua", "het_transport.lua", CONFIG)
OURS = (MAIN, CHAIN, EVENT, *PARTS)
HEAD = "--- Slurm's job-submit hook of slurm-het"
"""So each job_submit.lua of ours begins. A site's own may have our names anywhere else in it: it
calls us, or speaks of Slurm's het_job_offset."""
_EPILOG = re.compile(r"^\s*EpilogSlurmctld\s*=\s*(\S+)", re.IGNORECASE | re.MULTILINE)
_COMMENT = re.compile(r"--\[\[.*?\]\]|--[^\n]*", re.DOTALL)


def files(site: Installation) -> Iterator[Finding]:
    """Files of the hook that are missing."""
    host = site.controller
    if not host:
        return
    homes = homes_of(host)
    if not homes:
        yield Finding(
            str(host.conf_dir / MAIN),
            "is not there, nor the hook in a directory beside it" if not _main(host) else
            "is the site's own, and the hook is in no directory beside it",
            "install the files of job_submit/ (docs/install.md, step 4)",
        )  # fmt: skip
    for home in homes:
        for name in (MAIN, *PARTS):
            if home / name not in host.lua:
                yield Finding(
                    str(home / name), "is missing: the hook is not active, all jobs pass",
                    f"slurm-het hook-config > {home / name}" if name == CONFIG else
                    f"install it from job_submit/, and touch {host.conf_dir / MAIN}",
                )  # fmt: skip


def not_called(site: Installation) -> Iterator[Finding]:
    """A site's own job_submit.lua that has nothing of ours."""
    host = site.controller
    if not host or not (text := _main(host)) or host.conf_dir in homes_of(host):
        return
    code = _COMMENT.sub("", text)
    homes = homes_of(host)
    names = [home.name for home in homes] or ["slurm-het", "slurm_het", "het_"]
    place, line = str(host.conf_dir / MAIN), f'dofile("{host.conf_dir}/{names[0]}/{CHAIN}")'
    if not any(name in code for name in names):
        yield Finding(
            place, "is the site's own and does not call the hook: no job is placed",
            f"have as its last line before `return`: {line} (docs/install.md, step 4)",
        )  # fmt: skip
    elif CHAIN in code and code.rfind(CHAIN) < code.rfind("function slurm_job_"):
        yield Finding(
            place, f"calls {CHAIN} before the site's own functions, which then take the place of"
            " the hook's",
            f"have as its last line before `return`: {line}",
        )  # fmt: skip
    for home in homes if CHAIN in code else ():
        if home / CHAIN not in host.lua:
            yield Finding(
                str(home / CHAIN), "is missing: slurmctld does not start without it",
                "install it from job_submit/",
            )  # fmt: skip


def events(site: Installation) -> Iterator[Finding]:
    """hetd learns that a job ended only at its next look."""
    host = site.controller
    if host and not any(path.name == EVENT or EVENT in text for path, text in host.epilogs.items()):
        home = (homes_of(host) or [host.conf_dir])[0]
        lines = _EPILOG.findall(host.slurm_conf)
        if len(lines) > len(host.epilogs) and any(EVENT in line for line in lines):
            yield Finding(
                "slurm.conf, EpilogSlurmctld",
                f"is on {len(lines)} lines, and this Slurm takes one of them, which is not ours",
                f"one line, with a script that ends with a call of {home / EVENT}",
            )  # fmt: skip
            return
        have = ", ".join(map(str, host.epilogs))
        yield Finding(
            "slurm.conf, EpilogSlurmctld",
            f"is {have}, which does not call {EVENT}" if have else "is not set",
            f"call {home / EVENT} there, or set EpilogSlurmctld={home / EVENT}: else hetd learns"
            f" that a job ended after up to planner.poll_seconds"
            f" ({site.settings.planner.poll_seconds:g} s)",
            remark=True,
        )  # fmt: skip


def daemon(site: Installation) -> Iterator[Finding]:
    """hetd, and who restarts it."""
    host = site.controller
    if host and host.hetd_silence:
        yield Finding(
            "hetd", f"{host.hetd_silence}: nothing is planned, and plain Slurm schedules once the"
            " gate is open",
            "systemctl start hetd (docs/install.md, step 3); its log says why it ended",
        )  # fmt: skip
    elif host and not host.supervised:
        yield Finding(
            "hetd", "runs without systemd or slurm_het.supervise: if it hangs or dies, nobody opens"
            " the gate",
            "start it by its systemd unit or its supervisor (docs/install.md, step 3)",
        )  # fmt: skip


def troubles(site: Installation) -> Iterator[Finding]:
    """What does not work at present, in hetd's own words."""
    host, intake = site.controller, site.intake()
    if not host:
        return
    for sentence in host.troubles:
        yield Finding("hetd", sentence, "see hetd's log (journalctl -u hetd)")
    if intake and (sentence := idle(intake.name, intake.state, host.hetd_gate)):
        yield Finding("hetd", sentence, "look again in a minute; slurm-het bypass on opens it")


def memory(site: Installation) -> Iterator[Finding]:
    """Less memory for hetd than reading the jobs may take."""
    allowed = site.controller.memory_max_mib if site.controller else None
    if not allowed:
        return
    version = parse_version(f"slurm {site.conf.get('SLURM_VERSION', '')}").tuple
    here, most = len(site.snapshot.jobs), int(site.conf.get("MaxJobCount", "0") or 0)
    for jobs, what in ((here, f"{here} jobs that are there"), (most, f"MaxJobCount={most} jobs")):
        if (needed := needed_mib(jobs, version, site.settings.readers)) > allowed:
            yield Finding(
                "hetd.service, MemoryMax",
                f"is {allowed} MiB, and reading the {what} may take {needed} MiB",
                f"slurm-het systemd-unit --jobs {max(here, most)}",
                remark=jobs == most,
            )
            return


def stale(site: Installation) -> Iterator[Finding]:
    """A hook that reads something else than this configuration."""
    for path, text in (site.controller.lua if site.controller else {}).items():
        if path.name == CONFIG and text != hook_config(site.settings):
            # It still is of the time before the first pool was in plan: jobs pass, as they did.
            before = text == hook_config(site.settings, shadow=True)
            what = "is not what this configuration says"
            if before:
                what = "says on_failure: pass, as before a pool was in plan; het.yaml's is "
                what += site.settings.hook.on_failure
            yield Finding(
                str(path), what,
                f"slurm-het hook-config > {path}.new, rename that, and touch job_submit.lua",
                remark=before,
            )  # fmt: skip


def open_files(site: Installation) -> Iterator[Finding]:
    """Files that slurmctld and hetd obey, and directories of theirs, that others may write."""
    for path, mode in site.modes.items():
        if mode & (stat.S_IWGRP | stat.S_IWOTH):
            yield Finding(
                str(path), f"is {stat.filemode(mode)}: who can write it decides what jobs become",
                f"chmod go-w {path}",
            )  # fmt: skip


def strangers(site: Installation) -> Iterator[Finding]:
    """Names that may give orders to hetd, and are nobody's."""
    for name in site.controller.strangers if site.controller else ():
        yield Finding(
            "operators", f"this host has no user {name!r}, who may give hetd orders",
            "names of users, each exactly as `id` knows it; there is no name for everybody",
            remark=True,
        )  # fmt: skip


def is_hook(text: str) -> bool:
    """Whether a job_submit.lua is slurm-het's, of whatever version, and not a site's own."""
    return text.startswith(HEAD)


def homes_of(host: ControllerHost) -> list[Path]:
    """The directories that have the hook, or parts of it; slurm.conf's own first."""
    homes = {
        path.parent for path, text in host.lua.items()
        if path.name in PARTS or (path.name == MAIN and is_hook(text))
    }  # fmt: skip
    return sorted(homes)


def _main(host: ControllerHost) -> str:
    return host.lua.get(host.conf_dir / MAIN, "")


CHECKS = (files, not_called, events, daemon, troubles, memory, stale, open_files, strangers)
