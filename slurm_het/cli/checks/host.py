"""Whether what runs on the controller host belongs together: hetd, the hook, other programs."""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator

from slurm_het.cli.checks.hook import EVENT, MAIN, OURS, homes_of
from slurm_het.cli.checks.site import Finding, Installation

_WRITES_COMMENT = re.compile(r"admin_?comment", re.IGNORECASE)


def user(site: Installation) -> Iterator[Finding]:
    """A hetd that Slurm does not let change jobs."""
    host = site.controller
    if not host or host.hetd_user in {"", "root", site.slurm_user}:
        return
    hidden = "jobs" in {word.lower() for word in site.words("PrivateData")}
    unseen = "; by PrivateData it does not even see others' jobs" if hidden else ""
    yield Finding(
        "hetd", f"runs as {host.hetd_user}: only SlurmUser ({site.slurm_user}) may change others'"
        f" jobs and the intake{unseen}",
        f"slurm-het systemd-unit --user {site.slurm_user}; give its directories to"
        f" {site.slurm_user}, and restart hetd",
    )  # fmt: skip


def configuration(site: Installation) -> Iterator[Finding]:
    """A hetd that reads another het.yaml than this one."""
    host, mine = site.controller, site.settings.source
    if host and mine and host.hetd_config:
        yield Finding(
            "hetd", f"goes by {host.hetd_config}, and this is {mine.absolute()}: what is said here"
            " does not count",
            f"slurm-het check --config {host.hetd_config}; or start hetd with --config"
            f" {mine.absolute()}",
        )  # fmt: skip


def closed_files(site: Installation) -> Iterator[Finding]:
    """Files of the hook, or directories before them, that slurmctld cannot use."""
    for path, mode in site.controller.closed.items() if site.controller else ():
        yield Finding(
            str(path), f"is {mode}: slurmctld, which runs as {site.slurm_user}, cannot use it, so"
            " the hook is not active",
            f"chmod a+rX {path}",
        )  # fmt: skip


def closed_configuration(site: Installation) -> Iterator[Finding]:
    """A het.yaml that hetd, or users' commands, cannot read."""
    path = site.settings.source
    mode = site.modes.get(path) if path else None
    if path and mode is not None and not mode & stat.S_IROTH:
        yield Finding(
            str(path), f"is {stat.filemode(mode)}: hetd, as {site.slurm_user}, and het-squeue, as"
            " whoever calls it, read it",
            f"chmod a+r {path}",
        )  # fmt: skip


def old_files(site: Installation) -> Iterator[Finding]:
    """Files of the hook that came with another slurm-het."""
    host = site.controller
    if not host:
        return
    for home in homes_of(host):
        for name in OURS:
            text, shipped = host.lua.get(home / name), host.shipped.get(name)
            if text and shipped and text != shipped:  # '': who asks cannot read it
                yield Finding(
                    str(home / name), "is not the one of this slurm-het: it was changed, or came"
                    " with another version",
                    f"install it from {host.shipped_in} (slurm-het render writes them all), and"
                    f" touch {host.conf_dir / MAIN}",
                )  # fmt: skip


def not_active(site: Installation) -> Iterator[Finding]:
    """A hook that slurmctld could not load when it last tried."""
    if site.controller and (complaint := site.controller.hook_complaint):
        yield Finding(
            "slurmctld's log", f"says last of the hook that it is not active: {complaint}",
            "see to that (docs/install.md, When something is wrong), and touch"
            f" {site.controller.conf_dir / MAIN}",
        )  # fmt: skip


def unshared(site: Installation) -> Iterator[Finding]:
    """Several controller hosts whose hetds do not see each other's lease."""
    host = site.controller
    if host and host.local_state and len(site.controllers) > 1:
        state = site.settings.paths.state_dir
        yield Finding(
            "het.yaml, paths.state_dir",
            f"{state} is on {host.local_state}, which only this host has, and slurmctld may run on"
            f" {', '.join(site.controllers)}: the hetd of each would lead, and plan what the other"
            " plans",
            "put it on storage that they share, such as beside StateSaveLocation",
        )  # fmt: skip


def comment_writers(site: Installation) -> Iterator[Finding]:
    """Other programs that write where hetd keeps what it made of a job."""
    host = site.controller
    scripts = {**host.epilogs, **host.prologs} if host else {}
    for path, text in scripts.items():
        if path.name != EVENT and _WRITES_COMMENT.search(text):
            yield Finding(
                str(path), "writes AdminComment, where hetd keeps what it made of a job: sacct does"
                " not tell that any more; slurm-het why does, from hetd's journal",
                "nothing; or keep what is there, and append to it", remark=True,
            )  # fmt: skip


CHECKS = (
    user, configuration, closed_files, closed_configuration, old_files, not_active, unshared,
    comment_writers,
)  # fmt: skip
