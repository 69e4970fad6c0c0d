"""The files of a package, laid out as they are installed.

/opt/slurm-het is a virtual environment without pip: its `lib/pythonX.Y/site-packages` hold what is
compiled for that Python, and lead by a .pth file to `lib/any`, which is the same for all. So one
package serves several distributions, and outlives a new python3 of the distribution.
"""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

from package.wheels import fetch_wheels, is_pure, licence_of, unpack
from slurm_het.templating import exporter_unit, packaged_unit

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
HOME = "opt/slurm-het"
HIGHS = "lib/libhighs.so.1"
CONFIG = "etc/slurm-het"
COMPLETIONS = {
    "bash": "usr/share/bash-completion/completions",
    "zsh": "usr/share/zsh/vendor-completions",
    "fish": "usr/share/fish/vendor_completions.d",
}


def make_tree(root: Path, epoch: int) -> None:
    """Write all files of the package below `root`, as old as `epoch`."""
    wheels = fetch_wheels()
    _python(root / HOME, wheels)
    _own_code(root / HOME / "lib" / "any")
    _programs(root)
    _manuals(root, epoch)
    _papers(root, [wheel for paths in wheels.values() for wheel in paths])
    (root / CONFIG).mkdir(parents=True)
    units = root / "usr/lib/systemd/system"
    units.mkdir(parents=True)
    (units / "hetd.service").write_text(packaged_unit(f"/{HOME}/bin/python"))
    (units / "het-exporter.service").write_text(exporter_unit(":9788", f"/{HOME}/bin/python"))
    _even(root, epoch)


def _python(home: Path, wheels: dict[str, list[Path]]) -> None:
    (home / "bin").mkdir(parents=True)
    (home / "pyvenv.cfg").write_text("home = /usr/bin\ninclude-system-site-packages = false\n")
    (home / "bin" / "python").symlink_to("/usr/bin/python3")
    for python, paths in wheels.items():
        site = home / "lib" / f"python{python}" / "site-packages"
        for wheel in paths:
            if wheel.name.startswith("highspy-"):
                # python-mip calls its library alone, which is one file for each Python; highspy
                # itself would want numpy.
                unpack(wheel, home / "lib" / "highs", r"highspy/libhighs\.so\.1$")
            else:
                unpack(wheel, home / "lib" / "any" if is_pure(wheel) else site)
        tell = f"os.environ.setdefault('PMIP_HIGHS_LIBRARY', '/{HOME}/{HIGHS}')"
        (site / "slurm-het.pth").write_text(f"../../any\nimport os; {tell}\n")
    (home / "lib" / "highs" / "highspy" / "libhighs.so.1").rename(home / HIGHS)
    shutil.rmtree(home / "lib" / "highs")


def _own_code(library: Path) -> None:
    """What git knows, as a wheel would have it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    included = project["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    for source, target in {"slurm_het": "slurm_het", **included}.items():
        for name in _git("ls-files", "-z", "--", source).split("\0")[:-1]:
            path = library / target / Path(name).relative_to(source)
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, path)
    info = library / f"slurm_het-{PROJECT['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: slurm-het\nVersion: {PROJECT['version']}\n"
        f"Summary: {PROJECT['description']}\nLicense: {PROJECT['license']['text']}\n"
    )


def _git(*words: str) -> str:
    done = subprocess.run(
        ["git", *words], cwd=ROOT, capture_output=True, text=True, timeout=30, check=False
    )
    if done.returncode:
        raise SystemExit(f"package: a git checkout is needed: {done.stderr.strip()}")
    return done.stdout


def commit_time() -> int:
    """When the commit was made that is checked out."""
    return int(_git("log", "-1", "--format=%ct"))


def _programs(root: Path) -> None:
    links = root / "usr" / "bin"
    links.mkdir(parents=True)
    for name, entry in PROJECT["scripts"].items():
        module, _, function = entry.partition(":")
        script = root / HOME / "bin" / name
        # -I: what a user's modules put into PYTHONPATH is for other programs.
        script.write_text(
            f"#!/{HOME}/bin/python -I\nimport sys\n\nfrom {module} import {function}\n\n"
            f"sys.exit({function}())\n"
        )
        script.chmod(0o755)
        (links / name).symlink_to(f"/{HOME}/bin/{name}")
    step = root / HOME / "libexec" / "package-step"
    step.parent.mkdir()
    shutil.copy(Path(__file__).with_name("package-step"), step)
    step.chmod(0o755)


def _manuals(root: Path, epoch: int) -> None:
    made = root / "made"
    subprocess.run(
        [sys.executable, "-m", "docs.tools.man_pages", str(made)],
        cwd=ROOT, env=os.environ | {"SOURCE_DATE_EPOCH": str(epoch), "PYTHONPATH": str(ROOT)},
        timeout=120, check=True,
    )  # fmt: skip
    pages = root / "usr/share/man/man1"
    pages.mkdir(parents=True)
    for page in (made / "man1").iterdir():
        with (pages / f"{page.name}.gz").open("wb") as file:
            file.write(gzip.compress(page.read_bytes(), 9, mtime=0))
    for shell, place in COMPLETIONS.items():
        shutil.copytree(made / shell, root / place)
    shutil.rmtree(made)


def _papers(root: Path, wheels: list[Path]) -> None:
    """What is read: documents, schemas, examples, licences. The Lua files lie with these."""
    share, doc = root / "usr/share/slurm-het", root / "usr/share/doc/slurm-het"
    share.mkdir(parents=True)
    for name in ("job_submit", "examples", "templates"):
        (share / name).symlink_to(f"/{HOME}/lib/any/slurm_het/{name}")
    papers = ("README.md", "docs/*.md", "docs/schemas/*.json")
    for name in _git("ls-files", "-z", "--", *papers).split("\0")[:-1]:
        (doc / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, doc / name)
    parts = [f"slurm-het {PROJECT['version']}\n\n{(ROOT / 'LICENSE').read_text().strip()}"]
    for name, version, licence, text in sorted({licence_of(wheel) for wheel in wheels}):
        head = f"{name} {version}, below /{HOME}: {licence}"
        parts.append(f"{head}\nIts source: that release on the Python Package Index.\n\n{text}")
    (doc / "copyright").write_text(f"\n\n{'-' * 78}\n\n".join(parts) + "\n")


def _even(root: Path, epoch: int) -> None:
    """Nothing depends on who builds it, and when: modes, times."""
    for path in sorted(root.rglob("*"), reverse=True):
        if not path.is_symlink():
            runs = path.is_dir() or path.stat().st_mode & 0o100
            path.chmod(0o755 if runs else 0o644)
        os.utime(path, (epoch, epoch), follow_symlinks=False)
    os.utime(root, (epoch, epoch))
