"""slurm-het: the admin's commands."""

from __future__ import annotations

import sys
from importlib import import_module

import click

from slurm_het.cli.program import tidy_seldom
from slurm_het.core.syntax.printable import clean_lines
from slurm_het.errors import HetError

COMMANDS = {
    "ask": "ask:ask", "bypass": "bypass:bypass", "check": "check:check",
    "devices": "devices:devices", "disable": "switch:disable", "enable": "switch:enable",
    "gres-conf": "node_files:gres_conf", "hook-config": "hook_config:hook_config",
    "init": "init:init", "journal": "journal:journal", "learned": "learned:learned",
    "metrics": "metrics:metrics", "page": "page:page", "plan": "plan:plan",
    "render": "rendered:rendered", "replay": "replay:replay", "report": "report:report",
    "sandbox": "sandbox:sandbox", "status": "status:status",
    "systemd-unit": "systemd_unit:systemd_unit", "task-prolog": "node_files:task_prolog",
    "try": "try_job:try_job", "why": "why:why",
}  # fmt: skip
"""By name, the module in this package and the command in it: only the one that is said is loaded,
since to load all of them takes a second."""


class Loaded(click.Group):
    """The commands, each loaded when it is wanted."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's
        """All names, as the help lists them."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002  # click's
        """The command of that name."""
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name].partition(":")
        found: click.Command = getattr(import_module(f"slurm_het.cli.{module}"), name)
        return found


@click.group(cls=Loaded, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="slurm-het")
def cli() -> None:
    """Schedules AI accelerators of many vendors on an unpatched Slurm.

    \b
    Examples:
      slurm-het init /etc/slurm-het    a first configuration, from the Slurm that runs here
      slurm-het status                 is all well now?
      slurm-het check                  is the configuration right for this cluster?
      slurm-het why 1234               why is this job where it is?
      slurm-het try -t 4:00:00 job.sh  would it start now, and if not, when?
      slurm-het ask 1234 vendors=amd   ask for something else of a queued job of yours
      slurm-het bypass on              let plain Slurm schedule everything
      slurm-het plan --dump-lp         what would be planned now, as the formula
      slurm-het learned                how long programs run, of their limits and by type
      slurm-het page --out /var/www/c  one HTML file of it all, for a web server
      slurm-het replay --out r.json    last month replayed: who would have waited less, who longer
      slurm-het devices                what this host's accelerators say of themselves
      slurm-het sandbox up             a whole emulated cluster on this machine
    """


def main() -> None:
    """Entry point: errors of ours are messages, not tracebacks."""
    tidy_seldom()
    try:
        cli(standalone_mode=True)
    except HetError as error:
        click.echo(clean_lines(f"slurm-het: {error}"), err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
