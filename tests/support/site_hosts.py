"""The machines of vagrant/hosts as systemd hosts in namespaces, each on one network by a cable.

Each is the Debian tree of the Slurm under test, with slurm-het in /opt as its wheel lays it out and
a checkout in /vagrant; all else comes from vagrant/provision.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import time
import tomllib
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.support.systemd_host import CannotBootError, Machine, SystemdHost

CHECKOUT = Path(__file__).resolve().parents[2]
LOGS = "[Service]\nStandardOutput=append:/var/log/%n.log\nStandardError=inherit\n"
SECONDS = 300
"""In which a host is provisioned; it takes a few, where others use the CPUs a hundred."""


class Site:
    """Make it with `Site(base)`, `boot` hosts, `provision` them; `stop` ends them all.

    Raises CannotBootError where the packages are missing, which no host can fetch.
    """

    def __init__(self, base: Path) -> None:
        self.base = base
        self.tree = Path(os.environ.get("SLURM_HET_ROOT", "/"))
        for path in ("usr/lib/systemd/system/mariadb.service", "usr/bin/mount", "usr/sbin/ip"):
            if not (self.tree / path).exists():
                raise CannotBootError(f"there is no /{path} in {self.tree}")
        lines = (CHECKOUT / "vagrant" / "hosts").read_text().splitlines()
        words = [line.split() for line in lines if line and not line.startswith("#")]
        self.addresses = {name: address for name, address, _ in words}
        self.roles = {name: role for name, _, role in words}
        self.hosts: dict[str, SystemdHost] = {}
        self.shared = base / "shared"
        self.shared.mkdir()
        _write_image(base / "image")
        self.switch = subprocess.Popen(["unshare", "--net", "sleep", "900"])

    def boot(self, *names: str) -> None:
        """Boot hosts, side by side, and plug them in. Raises CannotBootError."""
        self._have_switch()
        for name, host in zip(names, self._each(names, self._boot), strict=True):
            self._cabled(
                "link", "add", name, "type", "veth", "peer", "eth0", "netns", str(host.pid)
            )
            self._cabled("link", "set", name, "master", "switch", "up")
            inside = f"nsenter -t {host.pid} -n ip".split()
            address = f"{self.addresses[name]}/24"
            for words in ("link set lo up", f"addr add {address} dev eth0", "link set eth0 up"):
                subprocess.run([*inside, *words.split()], check=True, timeout=10)

    def provision(self, *names: str) -> None:
        """Run vagrant/provision on hosts, side by side, as Vagrant does."""
        self._each(names, self._provision)

    def plug(self, name: str, state: str) -> None:
        """`down` cuts a host off the network, `up` puts it back."""
        self._cabled("link", "set", name, state)

    def power_off(self, name: str) -> None:
        """All of it is gone at once; `boot` has a new machine of that name."""
        self.hosts.pop(name).stop()
        (self.base / name).rename(self.base / f"{name}.{time.monotonic_ns()}")

    def ok(self, name: str, *argv: str) -> str:
        """Run a command that must succeed on a host, as root; its output."""
        done = self.hosts[name].run(*argv)
        assert done.returncode == 0, f"{name}: {argv}: {done.stdout}{done.stderr}"
        return done.stdout

    def logs(self, name: str) -> str:
        """The ends of the logs of a host's services."""
        return self.hosts[name].run("sh", "-c", "tail -n 30 -v /var/log/*.service.log").stdout

    def stop(self) -> None:
        """End every host and the network."""
        for host in self.hosts.values():
            host.stop()
        self.switch.kill()
        self.switch.wait()

    def _each(self, names: Iterable[str], call: Callable[[str], SystemdHost]) -> list[SystemdHost]:
        with ThreadPoolExecutor(8) as pool:
            return list(pool.map(call, names))

    def _boot(self, name: str) -> SystemdHost:
        binds = {Path(sys.prefix): "/venv"}
        if self.roles[name] in {"database", "controller"}:
            binds[self.shared] = "/shared"
        layers = (self.base / "image", self.tree)
        units = {"service.d/log.conf": LOGS}
        host = SystemdHost(self.base / name, Machine(units, binds, name, layers))
        self.hosts[name] = host
        host.run("systemd-tmpfiles", "--create")  # as its boot would, but nothing is started there
        return host

    def _have_switch(self) -> None:
        ours = os.stat("/proc/self/ns/net")
        where = f"/proc/{self.switch.pid}/ns/net"
        _until("the switch has its network", lambda: not os.path.samestat(os.stat(where), ours))
        if self._ip("link", "show", "switch").returncode:
            self._cabled("link", "add", "switch", "type", "bridge")
            self._cabled("link", "set", "switch", "up")

    def _provision(self, name: str) -> SystemdHost:
        script = "/vagrant/vagrant/provision/host.sh"
        done = self.hosts[name].run("bash", script, name, seconds=SECONDS)
        assert done.returncode == 0, f"{name}: {done.stdout}{done.stderr}{self.logs(name)}"
        return self.hosts[name]

    def _ip(self, *words: str) -> subprocess.CompletedProcess[str]:
        argv = ["nsenter", "-t", str(self.switch.pid), "-n", "ip", *words]
        return subprocess.run(argv, capture_output=True, text=True, timeout=10, check=False)

    def _cabled(self, *words: str) -> None:
        done = self._ip(*words)
        assert done.returncode == 0, f"ip {' '.join(words)}: {done.stderr}"


def _write_image(image: Path) -> None:
    """What no script of ours makes: the checkout, and the package as pip installs its wheel.

    pip itself would have to reach the package index from inside. What slurm-het needs it has from
    the tests' own environment, in /venv.
    """
    checkout, opt = image / "vagrant", image / "opt" / "slurm-het"
    library = Path(sysconfig.get_path("purelib")).relative_to(sys.prefix)
    for name in ("vagrant", "job_submit"):
        shutil.copytree(CHECKOUT / name, checkout / name)
    secrets = checkout / "vagrant" / "secrets"
    secrets.mkdir(exist_ok=True)
    (secrets / "munge.key").write_bytes(os.urandom(1024))
    package = opt / library / "slurm_het"
    shutil.copytree(CHECKOUT / "slurm_het", package)
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())
    included = project["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    for what, where in included.items():
        shutil.copytree(CHECKOUT / what, package.parent / where)
    (package.parent / "needed.pth").write_text(f"/venv/{library}\n")
    (opt / "pyvenv.cfg").write_text("home = /usr/bin\n")
    programs = opt / "bin"
    programs.mkdir()
    (programs / "python").symlink_to("/usr/bin/python3")
    users = image / "usr" / "local" / "bin"
    users.mkdir(parents=True)
    for name, entry in project["project"]["scripts"].items():
        module, _, function = entry.partition(":")
        script = programs / name
        script.write_text(
            f"#!/opt/slurm-het/bin/python\nimport sys\nfrom {module} import {function}\n"
            f"sys.exit({function}())\n"
        )
        script.chmod(0o755)
        (users / name).symlink_to(f"/opt/slurm-het/bin/{name}")
    for folder in (image, *image.rglob("*")):
        if folder.is_dir() and not folder.is_symlink():
            folder.chmod(0o755)


def _until(what: str, true: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(0.05)
