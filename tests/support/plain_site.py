"""A host with systemd and a plain Slurm, as a site has it that has not heard of slurm-het yet.

slurmctld and a slurmd for each node run there by units; the site has a job_submit.lua of its own.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from slurm_het.slurm.records import parse_fields
from tests.support.systemd_host import CannotBootError, Machine, SystemdHost

NAME = "site"
ACCELERATED = {"a100": [f"g{n}" for n in range(1, 9)], "l40s": ["g9"]}
PLAIN = "d1"
ADDRESS = "10.77.0.1"
NETWORK = (
    "link set lo up", "link add eth0 type veth peer name cable", "link set cable up",
    f"addr add {ADDRESS}/24 dev eth0", "link set eth0 up",
)  # fmt: skip
"""A cable to nowhere: glibc resolves no name on a host whose only address is the loopback's."""
LOGS = "[Service]\nStandardOutput=append:/var/log/%n.log\nStandardError=inherit\n"
SLURMD = """\
[Unit]
After=munge.service slurmctld.service
[Service]
ExecStart=/usr/sbin/slurmd -D -N %i
KillMode=process
Delegate=yes
"""
CONF = """\
ClusterName=site
SlurmctldHost=site
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
SlurmUser=slurm
AuthType=auth/munge
StateSaveLocation=/var/spool/slurmctld
SlurmdSpoolDir=/var/spool/slurmd-%n
SlurmctldPidFile=/run/slurmctld.pid
SlurmdPidFile=/run/slurmd-%n.pid
SlurmctldLogFile=/var/log/slurm/slurmctld.log
SlurmdLogFile=/var/log/slurm/slurmd-%n.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
MailProg=/bin/true
MinJobAge=3600
ReturnToService=2
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU=1000
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=5
GresTypes=gpu
JobSubmitPlugins=lua
{nodes}
PartitionName=gpu Nodes=g[1-9] MaxTime=2-0 DefaultTime=60 State=UP
PartitionName=debug Nodes=d1 Default=YES MaxTime=60 State=UP
"""
OWN_HOOK = """\
-- The site's own.
function slurm_job_submit(job, part_list, uid)
  if job.name == "forbidden" then
    slurm.log_user("no such name here")
    return slurm.ERROR
  end
  return slurm.SUCCESS
end

function slurm_job_modify(job, record, part_list, uid)
  return slurm.SUCCESS
end

return slurm.SUCCESS
"""


class PlainSite:
    """Make it with `PlainSite(base, binds)`; `ok` runs commands there; `stop` ends it.

    Its files are those of the Slurm under test, below an overlay. Raises CannotBootError.
    """

    def __init__(self, base: Path, binds: dict[Path, str]) -> None:
        tree = Path(os.environ.get("SLURM_HET_ROOT", "/"))
        for path in ("usr/sbin/slurmctld", "usr/sbin/munged", "usr/bin/python3"):
            if not (tree / path).exists():
                raise CannotBootError(f"there is no /{path} in {tree}")
        units = {"service.d/log.conf": LOGS, "slurmd@.service": SLURMD}
        self.nodes = [*(name for names in ACCELERATED.values() for name in names), PLAIN]
        self.host = SystemdHost(base, Machine(units, binds, NAME, (tree,)))
        try:
            self._set_up()
            self._start()
        except BaseException:
            self.stop()
            raise

    def _set_up(self) -> None:
        inside = f"nsenter -t {self.host.pid} -n ip".split()
        for words in NETWORK:
            subprocess.run([*inside, *words.split()], check=True, timeout=10)
        self.host.run("systemd-tmpfiles", "--create")  # as its boot would
        devices = [f"/srv/dev/nvidia{n}" for n in range(4)]
        owned = ("/var/spool/slurmctld", "/var/log/slurm")
        self.ok("mkdir", "-p", "/srv/dev", "/etc/slurm", *owned)
        self.ok("mkdir", "-p", *(f"/var/spool/slurmd-{name}" for name in self.nodes))
        self.ok("chown", "slurm:", *owned)
        self.ok("touch", *devices)
        usual = f"NodeHostname={NAME} CPUs=32 RealMemory=64000 State=UNKNOWN"
        gres = {n: f" Gres=gpu:{kind}:4" for kind, names in ACCELERATED.items() for n in names}
        nodes = (
            f"NodeName={name} Port={17001 + n}{gres.get(name, '')} {usual}"
            for n, name in enumerate(self.nodes)
        )
        self.write("/etc/hosts", f"127.0.0.1 localhost\n{ADDRESS} {NAME}\n")
        self.write("/etc/slurm/slurm.conf", CONF.format(nodes="\n".join(nodes)))
        self.write("/etc/slurm/gres.conf", "".join(
            f"NodeName={','.join(names)} Name=gpu Type={kind} File=/srv/dev/nvidia[0-3]\n"
            for kind, names in ACCELERATED.items()
        ))  # fmt: skip
        disabled = "22.05" not in self.ok("slurmctld", "-V")
        plugin = "disabled" if disabled else "cgroup/v1"  # neither is used: proctrack/linuxproc
        self.write("/etc/slurm/cgroup.conf", f"CgroupPlugin={plugin}\n")
        self.write("/etc/slurm/job_submit.lua", OWN_HOOK)

    def _start(self) -> None:
        self.ok("systemctl", "start", "munge", "slurmctld")
        self.ok("systemctl", "start", *(f"slurmd@{name}" for name in self.nodes))
        self.wait("all nodes are idle", self._all_idle)

    def _all_idle(self) -> bool:
        shown = set(self.run("sinfo", "-h", "-N", "-o", "%N %t").stdout.splitlines())
        return shown == {f"{name} idle" for name in self.nodes}

    def restart_slurm(self) -> None:
        """Have Slurm read a new slurm.conf."""
        self.ok("systemctl", "restart", "slurmctld")
        self.ok("systemctl", "restart", *(f"slurmd@{name}" for name in self.nodes))
        self.wait("all nodes are idle", self._all_idle)

    def path(self, name: str) -> Path:
        """Where a file of the host is, seen from out here."""
        return Path(f"/proc/{self.host.pid}/root{name}")

    def write(self, name: str, text: str) -> None:
        """Make a file on the host."""
        self.path(name).write_text(text)

    def run(self, *argv: str, seconds: float = 60) -> subprocess.CompletedProcess[str]:
        """Run a command there, as root."""
        return self.host.run(*argv, seconds=seconds)

    def ok(self, *argv: str, seconds: float = 300) -> str:
        """Run a command that must succeed; all that it said."""
        done = self.run(*argv, seconds=seconds)
        assert done.returncode == 0, f"{argv}: {done.stdout}{done.stderr}\n{self.logs()}"
        return done.stdout + done.stderr

    def logs(self) -> str:
        """The ends of the logs of its services."""
        show = "tail -n 30 -v /var/log/hetd.service.log /var/log/slurmctld.service.log"
        return self.run("sh", "-c", show).stdout

    def wait(self, what: str, true: Callable[[], object], seconds: float = 60) -> None:
        """Poll until it is true."""
        deadline = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}\n{self.logs()}"
            time.sleep(0.2)

    def sbatch(self, script: str, *options: str, times: int = 1) -> list[str]:
        """Submit a script as an ordinary user so many times; the jobs' ids."""
        self.write("/srv/job.sh", script)
        again = 'n=$1; shift; while [ $n -gt 0 ]; do "$@" || exit; n=$((n - 1)); done'
        argv = ["runuser", "-u", "daemon", "--", "sh", "-c", again, "sh", str(times)]
        argv += ["sbatch", "--parsable", "-D", "/tmp", "-o", "/dev/null", *options, "/srv/job.sh"]
        done = self.run(*argv, seconds=300)
        assert done.returncode == 0, f"{options}: {done.stdout}{done.stderr}"
        return done.stdout.split()

    def gate(self) -> str:
        """The state of the partition in which jobs wait."""
        shown = self.ok("scontrol", "-o", "show", "partition", "gpu")
        return parse_fields(shown)["State"]

    def jobs(self) -> dict[str, dict[str, str]]:
        """What Slurm says of each job."""
        shown = self.ok("scontrol", "-o", "show", "job").splitlines()
        records = [parse_fields(line) for line in shown if "JobId=" in line]
        return {record["JobId"]: record for record in records}

    def in_queue(self, *states: str) -> set[str]:
        """The jobs that are in one of these states, or have not ended."""
        words = ("-t", ",".join(states)) if states else ()
        return set(self.ok("squeue", "-h", "-o", "%i", *words).split())

    def stop(self) -> None:
        """End the host."""
        self.host.stop()
