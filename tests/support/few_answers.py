"""Slurm's programs as scripts that have few answers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

DATA = Path(__file__).parents[1] / "data"
ANSWERS = {
    "node": (DATA / "nodes-24.11.txt").read_text(),
    "partition": (DATA / "partitions-24.11.txt").read_text(),
    "reservation": "No reservations in the system\n",
    "topology": "",
}
"""What `scontrol show` prints of the sandbox, by what is asked for."""


CONF = "SelectTypeParameters = CR_CORE_MEMORY"


def programs(
    base: Path,
    answers: Mapping[str, str] = ANSWERS,
    version: str = "slurm 24.11.5",
    conf: str = CONF,
) -> Path:
    """scontrol and squeue in that directory; no job is there. The file `asked` in it has a line for
    each time that something was to be shown."""
    for what, text in answers.items():
        (base / what).write_text(text)
    (base / "scontrol").write_text(
        f"""#!/bin/sh
case "$*" in
--version) echo {version} ;;
"show config") echo "{conf}" ;;
"show assoc_mgr "*) echo assoc_mgr >>{base}/asked; cat {base}/assoc_mgr ;;
*"show "*) for last; do :; done; echo $last >>{base}/asked; cat {base}/$last ;;
esac
"""
    )
    (base / "squeue").write_text("#!/bin/sh\ncase \"$*\" in *json*) echo '{}' ;; esac\n")
    for name in ("scontrol", "squeue"):
        (base / name).chmod(0o755)
    return base
