"""SIGHUP: which changes of het.yaml hetd takes while it runs, and which need a restart."""

from __future__ import annotations

from slurm_het.aside import Aside
from slurm_het.config import load_config
from slurm_het.errors import ConfigError, HetError
from slurm_het.settings import Config

READ_SECONDS = 5.0


async def read_again(old: Config, reading: Aside) -> Config:
    """The configuration as it is now. Raises HetError where it is wrong, or needs a restart."""
    try:
        new = await reading.run(lambda: load_config(old.source), READ_SECONDS)
    except TimeoutError as error:
        why = f"{old.source} did not answer for {READ_SECONDS:g} s"
        raise HetError(why, "see to its storage") from error
    if fixed := [name for name in _FIXED if _of(old, name) != _of(new, name)]:
        raise ConfigError(
            f"a change of {', '.join(fixed)} needs a restart", "systemctl restart hetd"
        )
    return new


_FIXED = ("paths", "slurm", "intake_partition")
"""Others have these too: the supervisor, the hook in slurmctld, those who hold the lead."""


def _of(config: Config, name: str) -> object:
    return getattr(config.policy if name == "intake_partition" else config, name)
