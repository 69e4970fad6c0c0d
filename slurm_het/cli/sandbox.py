"""`slurm-het sandbox`: a real Slurm cluster with emulated accelerators on this machine."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from slurm_het.errors import HetError
from slurm_het.sandbox import root as slurm_root
from slurm_het.sandbox.cluster import Sandbox
from slurm_het.sandbox.daemons import SUPERVISOR
from slurm_het.sandbox.demo import run_demo
from slurm_het.sandbox.layout import default_dir

_dir_option = click.option(
    "--dir",
    "directory",
    type=click.Path(path_type=Path, file_okay=False),
    default=default_dir(),
    show_default=True,
    help="Where the sandbox keeps all its files.",
)


_root_option = click.option(
    "--root",
    type=click.Path(path_type=Path, file_okay=False, resolve_path=True),
    help="Use the Slurm of this Debian tree; `./dev root 24.11` makes one.",
)


class _InRoot(click.Command):
    """A command that goes on in another root when its sandbox is, or is to be, there."""

    def invoke(self, ctx: click.Context) -> object:
        with _errors():
            starts = "root" in ctx.params
            root = ctx.params["root"] if starts else Sandbox(ctx.params["directory"]).root
            if root and str(root) != slurm_root.current():
                arguments = [str(self.name), *ctx.obj]
                slurm_root.enter(Path(root), "slurm_het.cli.sandbox", arguments)
        return super().invoke(ctx)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.obj = list(args)
        return super().parse_args(ctx, args)


@contextmanager
def _errors() -> Iterator[None]:
    try:
        yield
    except HetError as error:
        raise click.ClickException(str(error)) from error


@click.group()
def sandbox() -> None:
    """A real Slurm cluster on this machine, with emulated nodes and accelerators.

    \b
    Example:
      slurm-het sandbox up
      slurm-het sandbox run -- sbatch --gres=gpu:1 --wrap hostname
      slurm-het sandbox down
    """


@sandbox.command(cls=_InRoot)
@click.option(
    "--topology",
    type=click.Path(path_type=Path, dir_okay=False),
    help="YAML: node groups, and a site's accounting.  [default: 14 accelerator nodes, 5 vendors]",
)
@_dir_option
@_root_option
@click.option("--accounting", is_flag=True, help="With slurmdbd, accounts, limits, fair share.")
@click.option("--no-hetd", is_flag=True, help="Do not start the scheduling daemon.")
@click.option("--no-hook", is_flag=True, help="Leave job_submit.lua out: plain Slurm.")
@click.option(
    "--slurm-user", default="root", show_default=True, help="As whom slurmctld and hetd run."
)
def up(
    topology: Path | None,
    directory: Path,
    root: Path | None,
    accounting: bool,
    no_hetd: bool,
    no_hook: bool,
    slurm_user: str,
) -> None:
    """Start the cluster and wait until its nodes are idle. Needs root.


    \b
    Example:
      slurm-het sandbox up --topology my-nodes.yaml --dir /tmp/sb1
      slurm-het sandbox up --accounting
      slurm-het sandbox up --root "$(./dev root 26.05)" --dir /tmp/sb2
    """
    del root  # we are in it
    with _errors():
        cluster = Sandbox.up(
            directory,
            topology,
            hetd=not no_hetd,
            hook=not no_hook,
            accounting=accounting,
            slurm_user=slurm_user,
            say=lambda line: click.echo(line, err=True),
        )
    click.echo(f"the sandbox is up in {cluster.dir}; try:", err=True)
    option = "" if directory == default_dir() else f"--dir {cluster.dir} "
    click.echo(f"  slurm-het sandbox run {option}-- sinfo", err=True)


@sandbox.command(cls=_InRoot, context_settings={"allow_interspersed_args": False})
@_dir_option
@click.option("--user", help="Run the command as this user (needs root).")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def run(directory: Path, user: str | None, command: tuple[str, ...]) -> None:
    """Run a command with SLURM_CONF, HET_CONFIG and PATH set for the sandbox.

    \b
    Example:
      slurm-het sandbox run --user nobody -- sbatch --gres=gpu:2 train.sh
    """
    with _errors():
        cluster = Sandbox(directory)
        cluster.require_running()
        try:
            done = cluster.run(
                command, user, stdout=None, stderr=None, timeout=None, text=False, cwd=None
            )
        except OSError as error:
            raise HetError(f"cannot run {command[0]}: {error.strerror}") from error
    sys.exit(done.returncode if done.returncode >= 0 else 128 - done.returncode)


@sandbox.command(cls=_InRoot)
@_dir_option
def status(directory: Path) -> None:
    """Show the sandbox's daemons and `sinfo`; exit code 1 if a daemon is dead.

    \b
    Example:
      slurm-het sandbox status
    """
    with _errors():
        cluster = Sandbox(directory)
        cluster.require_running()
        rows = [(d.name, str(d.pid), "yes" if d.alive else "NO") for d in cluster.daemons()]
        hetd = cluster.hetd_pid()
        if any(name == SUPERVISOR for name, _, _ in rows):
            rows.append(("hetd", str(hetd or "-"), "yes" if hetd else "NO"))
        for name, pid, alive in [("DAEMON", "PID", "ALIVE"), *rows]:
            click.echo(f"{name:<20} {pid:>8}  {alive}")
        click.echo()
        try:
            listed = cluster.run(["sinfo", "-o", "%12P %.5a %.6D %.8T %14N %G"], timeout=10)
        except subprocess.TimeoutExpired as error:
            raise HetError("sinfo did not answer within 10 s", "see log/slurmctld.log") from error
        click.echo(listed.stdout + listed.stderr, nl=False)
    sys.exit(1 if any(alive == "NO" for _, _, alive in rows) else 0)


@sandbox.command()
@_dir_option
@click.option("--keep-logs", is_flag=True, help="Leave DIR/log in place.")
def down(directory: Path, keep_logs: bool) -> None:
    """Stop every process of the sandbox and remove its files; harmless if there is none.

    \b
    Example:
      slurm-het sandbox down --dir /tmp/sb1 --keep-logs
    """
    with _errors():
        Sandbox(directory).down(keep_logs=keep_logs)


@sandbox.command(cls=_InRoot)
@_dir_option
@_root_option
@click.option("--keep", is_flag=True, help="Leave the sandbox up afterwards.")
def demo(directory: Path, root: Path | None, keep: bool) -> None:
    """Boot a cluster, submit the examples with plain sbatch, compare plan with truth, clean up.

    Exit code 1 if any job did not start where the plan said.

    \b
    Example:
      slurm-het sandbox demo
    """
    del root  # we are in it
    with _errors():
        cluster = Sandbox.up(directory, say=lambda line: click.echo(line, err=True))
        try:
            good = run_demo(cluster, click.echo)
        finally:
            if not keep:
                cluster.down()
                click.echo("the sandbox is down", err=True)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    sandbox()
