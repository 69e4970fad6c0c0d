"""slurm-het: the admin's commands."""

from __future__ import annotations

import sys

import click

from slurm_het.cli.ask import ask
from slurm_het.cli.bypass import bypass
from slurm_het.cli.check import check
from slurm_het.cli.devices import devices
from slurm_het.cli.hook_config import hook_config
from slurm_het.cli.init import init
from slurm_het.cli.journal import journal
from slurm_het.cli.learned import learned
from slurm_het.cli.metrics import metrics
from slurm_het.cli.node_files import gres_conf, task_prolog
from slurm_het.cli.page import page
from slurm_het.cli.plan import plan
from slurm_het.cli.program import tidy_seldom
from slurm_het.cli.rendered import rendered
from slurm_het.cli.replay import replay
from slurm_het.cli.report import report
from slurm_het.cli.sandbox import sandbox
from slurm_het.cli.status import status
from slurm_het.cli.switch import disable, enable
from slurm_het.cli.systemd_unit import systemd_unit
from slurm_het.cli.try_job import try_job
from slurm_het.cli.why import why
from slurm_het.core.syntax.printable import clean_lines
from slurm_het.errors import HetError


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
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


for command in (
    status,
    check, why, try_job, ask, plan, bypass, journal, hook_config, systemd_unit, sandbox, devices,
    gres_conf, task_prolog, init, rendered, metrics, learned, page, enable, disable,
    replay, report,
):  # fmt: skip
    cli.add_command(command)


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
