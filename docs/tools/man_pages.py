"""The manual pages and shell completions that packages ship: `./dev man DIR`.

They are made from the commands themselves, by click-man and click. DIR/man1 belongs to
/usr/share/man/man1, DIR/bash to /usr/share/bash-completion/completions, DIR/zsh to
/usr/share/zsh/vendor-completions, DIR/fish to /usr/share/fish/vendor_completions.d.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

import click
from click.shell_completion import get_completion_class
from click_man.core import write_man_pages

from slurm_het.cli.admin import cli
from slurm_het.cli.sinfo import sinfo
from slurm_het.cli.squeue import squeue
from slurm_het.daemon.app import main as hetd
from slurm_het.telemetry.exporter import main as het_exporter

COMMANDS: Mapping[str, click.Command] = {
    "slurm-het": cli, "het-squeue": squeue, "het-sinfo": sinfo, "hetd": hetd,
    "het-exporter": het_exporter,
}  # fmt: skip
"""By the name of a program, its command."""
COMPLETIONS = {"bash": "bash/{}", "zsh": "zsh/_{}", "fish": "fish/{}.fish"}
SUMMARY = 200


def write_all(directory: Path) -> None:
    """Write the manual pages and completions of all programs below a directory."""
    manual = directory / "man1"
    manual.mkdir(parents=True, exist_ok=True)
    for name, command in COMMANDS.items():
        as_roff(command)
        write_man_pages(name, command, version=version("slurm-het"), target_dir=str(manual))
        for shell, place in COMPLETIONS.items():
            path = directory / place.format(name)
            path.parent.mkdir(exist_ok=True)
            path.write_text(completion(shell, name, command))


def completion(shell: str, name: str, command: click.Command) -> str:
    """What a shell reads to complete a program's options."""
    kind = get_completion_class(shell)
    if kind is None:
        raise ValueError(f"click knows no {shell}")
    return kind(command, {}, name, f"_{name.replace('-', '_').upper()}_COMPLETE").source()


def as_roff(command: click.Command) -> None:
    """Put the help of a command and of those below it as click-man copies it into a page.

    (click-man knows neither epilogs nor click's mark of lines to be left alone, and of commands
    only those that are loaded.)
    """
    command.short_help = command.get_short_help_str(SUMMARY)
    texts = filter(None, (command.help, command.epilog))
    command.help = "\n\n".join(roff(inspect.cleandoc(text)) for text in texts)
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            if below := command.get_command(context, name):
                command.add_command(below, name)
                as_roff(below)


def roff(text: str) -> str:
    """Help in click's words as roff: a paragraph that begins with \\b keeps its lines."""
    return "\n\n".join(_paragraph(part.strip("\n")) for part in text.split("\n\n"))


def _paragraph(text: str) -> str:
    lines = [_harmless(line) for line in text.split("\n")]
    if lines[0].strip() != "\b":
        return "\n".join(lines)
    return "\n".join([".nf", *lines[1:], ".fi"])


def _harmless(line: str) -> str:
    line = line.replace("\\", "\\e")
    return f"\\&{line}" if line.startswith((".", "'")) else line


if __name__ == "__main__":
    write_all(Path(sys.argv[1]))
