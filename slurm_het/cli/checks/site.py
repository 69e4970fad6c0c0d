"""What `slurm-het check` looks at, read before, and what it finds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from slurm_het.core.model import Partition, Snapshot
from slurm_het.settings import Config
from slurm_het.slurm.records import conf_words


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong, or only worth a look (`remark`): where, what, and what to do."""

    place: str
    what: str
    remedy: str
    remark: bool = False


@dataclass(frozen=True, slots=True)
class ControllerHost:
    """What only a host of slurmctld has.

    `conf_dir` is the directory of slurm.conf, `lua` the Lua files there and one directory deeper,
    with their text. `slurm_conf` is slurm.conf with what it includes, '' where it cannot be read.
    `epilogs` are the scripts of EpilogSlurmctld with their text. `hetd_silence` says why hetd gives
    no answer, '' if it does; `supervised` is whether somebody restarts it; `hetd_gate` is the
    gate's state to it if it leads, and `troubles` are its sentences on what does not work now,
    `memory_max_mib` is what systemd allows it (None: no limit). `strangers` are `operators:` that
    this host has no user of. `hetd_user` is as whom hetd runs, `hetd_config` the het.yaml that it
    goes by, if that is not this one. `closed` is what keeps slurmctld from the hook's files, with
    its mode; `shipped` has the text of the files in `shipped_in`, by name; `hook_complaint` is why
    slurmctld's log says last that the hook is not active. `local_state` is the file system of
    `paths.state_dir`, if this host alone has it. `prologs` are the scripts of PrologSlurmctld.
    """

    conf_dir: Path
    lua: Mapping[Path, str] = field(default_factory=dict)
    slurm_conf: str = ""
    epilogs: Mapping[Path, str] = field(default_factory=dict)
    hetd_silence: str = ""
    supervised: bool = True
    hetd_gate: str = ""
    troubles: tuple[str, ...] = ()
    memory_max_mib: int | None = None
    strangers: tuple[str, ...] = ()
    hetd_user: str = ""
    hetd_config: str = ""
    closed: Mapping[Path, str] = field(default_factory=dict)
    shipped: Mapping[str, str] = field(default_factory=dict)
    shipped_in: Path = Path("job_submit")
    hook_complaint: str = ""
    local_state: str = ""
    prologs: Mapping[Path, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AssociationKey:
    """An association of slurmdbd; `partition` is '' where it holds in all of them."""

    account: str
    user: str
    partition: str = ""


@dataclass(frozen=True, slots=True)
class Installation:
    """A configuration and the Slurm that it is for.

    `conf` is what `scontrol show config` says, `partition_words` what `show partition` says of
    each. `associations` are those of users, where Slurm asks for one. `modes` are those of the
    files that slurmctld and hetd obey, and of their directories. `by_prolog` are the vendors whose
    variables Slurm does not set. `controller` is None elsewhere.
    """

    settings: Config
    snapshot: Snapshot
    conf: Mapping[str, str] = field(default_factory=dict)
    partition_words: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    associations: tuple[AssociationKey, ...] = ()
    modes: Mapping[Path, int] = field(default_factory=dict)
    by_prolog: frozenset[str] = frozenset()
    controller: ControllerHost | None = None

    @property
    def slurm_user(self) -> str:
        """As whom slurmctld runs."""
        return slurm_user(self.conf)

    @property
    def controllers(self) -> list[str]:
        """The hosts on which slurmctld may run."""
        named = (value for key, value in self.conf.items() if key.startswith("SlurmctldHost"))
        return [value.partition("(")[0] for value in named]

    def intake(self) -> Partition | None:
        """Slurm's record of the intake."""
        return self._partition(self.settings.policy.intake_partition)

    def pools(self) -> list[Partition]:
        """Slurm's records of the pools that it has."""
        found = (self._partition(pool.partition) for pool in self.settings.policy.pools)
        return [record for record in found if record]

    def ours(self) -> list[Partition]:
        """The intake and the pools."""
        intake = self.intake()
        return ([intake] if intake else []) + self.pools()

    def spanning(self) -> Partition | None:
        """Slurm's record of the spanning partition."""
        return self._partition(self.settings.policy.spanning_partition)

    def _partition(self, name: str) -> Partition | None:
        return next((p for p in self.snapshot.partitions if p.name == name), None)

    def words(self, key: str) -> list[str]:
        """The words of a key of slurm.conf that is a list."""
        return conf_words(self.conf, key)


def slurm_user(conf: Mapping[str, str]) -> str:
    """As whom slurmctld runs, by what `scontrol show config` says: `slurm(64030)`."""
    return conf.get("SlurmUser", "root").partition("(")[0]


Check = Callable[[Installation], Iterator[Finding]]
