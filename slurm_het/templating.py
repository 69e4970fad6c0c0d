"""Renders the files in templates/; the hook's configuration comes from the checked Config."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import jinja2
import yaml

from slurm_het.config import DEFAULT_PATH
from slurm_het.errors import LACKING
from slurm_het.resources import data_dir
from slurm_het.settings import Config, Paths
from slurm_het.sizes import JOBS, needed_mib


def render(template: str, folder: Path | None = None, /, **values: object) -> str:
    """A template, or one of a folder's, with its values; an undefined one is an error."""
    environment = _environment(keep_trailing_newline=True)
    if folder:
        environment.loader = jinja2.FileSystemLoader(folder)
    environment.filters["lua"] = lua_literal
    environment.filters["unit"] = unit_words
    environment.filters["yaml"] = yaml_word
    return environment.get_template(template).render(values)


def render_html(template: str, **values: object) -> str:
    """A template of HTML: every value is escaped."""
    environment = _environment(lstrip_blocks=True, autoescape=True)
    return environment.get_template(template).render(values)


def _environment(
    *, autoescape: bool = False, keep_trailing_newline: bool = False, lstrip_blocks: bool = False
) -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(data_dir("templates")),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=lstrip_blocks,
        keep_trailing_newline=keep_trailing_newline,
        autoescape=autoescape,  # noqa: S701 - off for configuration files, on for HTML
    )


def lua_literal(value: str | Sequence[str]) -> str:
    """A string or a list of strings as Lua source."""
    if isinstance(value, str):
        return json.dumps(value)
    return "{" + ", ".join(json.dumps(item) for item in value) + "}"


def yaml_word(value: str) -> str:
    """A string as YAML: as it is where that is read as the same string (not so: no, 1e3, a: b)."""
    simple = re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.-]*", value) and yaml.safe_load(value) == value
    return value if simple else json.dumps(value)


def unit_words(value: str | Sequence[str]) -> str:
    """A word or several as they stand in a systemd unit: quoted, no specifier, no variable."""
    if not isinstance(value, str):
        return " ".join(map(unit_words, value))
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return escaped if re.fullmatch(r"[A-Za-z0-9_./:=@+-]+", value) else f'"{escaped}"'


def systemd_unit(config: Config, user: str, group: str, jobs: int = JOBS) -> str:
    """hetd.service for this configuration and so many jobs, run by the Python that runs this."""
    paths = config.paths
    writes = {paths.state_dir, paths.journal.parent}
    writes |= {p.parent for p in (paths.hook_socket, paths.control_socket, paths.event_socket)}
    writes |= {Path(config.page.dir)} if config.page.dir else set()
    own = {Path("/run/slurm-het"), Path("/var/lib/slurm-het")}  # systemd makes these
    bin_dir = config.slurm.bin_dir
    scontrol = bin_dir / "scontrol" if bin_dir else shutil.which("scontrol") or "/usr/bin/scontrol"
    return render(
        "hetd.service.j2",
        user=user,
        group=group,
        python=sys.executable,
        config=str(config.source.absolute() if config.source else DEFAULT_PATH),
        slurm_conf=str(config.slurm.conf or ""),
        scontrol=str(scontrol),
        partition=config.policy.intake_partition,
        writes=[str(path) for path in sorted(writes - own)],
        mounts=sorted({str(paths.state_dir), str(paths.journal.parent)}),
        jobs=jobs,
        memory_mib=needed_mib(jobs, readers=config.readers),
        in_home=_in_home(sys.executable),
    )


def _in_home(python: str) -> bool:
    """Whether a unit has to see users' homes, to find that Python."""
    return python.startswith(("/home/", "/root/"))


def packaged_unit(python: str) -> str:
    """hetd.service for paths that are the defaults, and any intake, run by that Python."""
    state = str(Paths().state_dir)
    return render(
        "hetd.service.j2",
        user="slurm",
        group="slurm",
        python=python,
        config=str(DEFAULT_PATH),
        slurm_conf="",
        scontrol="scontrol",
        partition="",
        writes=[],
        mounts=[state],
        jobs=JOBS,
        memory_mib=needed_mib(JOBS, readers=2),
        in_home=False,
    )


def exporter_unit(listen: str, python: str = sys.executable) -> str:
    """het-exporter.service, run by the Python that runs this, or another."""
    port = listen.rpartition(":")[2]
    return render(
        "het-exporter.service.j2",
        python=python,
        listen=listen,
        lacking=LACKING,
        privileged=port.isdigit() and int(port) < 1024,
        in_home=_in_home(python),
    )


def hook_config(config: Config, *, shadow: bool = False) -> str:
    """het_hook_config.lua, which lies beside job_submit.lua; with `shadow`, as if no pool were in
    plan: then jobs pass while hetd does not answer."""
    hook = config.hook
    return render(
        "het_hook_config.lua.j2",
        socket=str(config.paths.hook_socket),
        event_socket=str(config.paths.event_socket),
        deadline_ms=hook.deadline_ms,
        intake=config.policy.intake_partition,
        gres_names=list(config.policy.gres),
        pools=[pool.partition for pool in config.policy.pools],
        on_failure=hook.on_failure if config.plans and not shadow else "pass",
        breaker_failures=hook.breaker_failures,
        breaker_seconds=hook.breaker_seconds,
        max_script_bytes=hook.max_script_bytes,
    )


def gres_aliases(config: Config) -> str:
    """het_gres_aliases.lua, which lies beside cli_filter.lua."""
    names = {name: gres.alias_of for name, gres in config.policy.gres.items() if gres.alias_of}
    return render("het_gres_aliases.lua.j2", aliases=names)
