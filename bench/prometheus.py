"""A Prometheus server of one's own, and one that watches a sandbox by the delivered rules."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from slurm_het.errors import HetError
from slurm_het.sandbox.cluster import Sandbox
from slurm_het.sandbox.layout import free_ports

RULES = Path(__file__).parents[1] / "examples" / "prometheus" / "slurm-het.rules.yml"


@contextmanager
def prometheus(base: Path, conf: Mapping[str, object]) -> Iterator[str]:
    """Run a server by this configuration, its files in `base`; its URL. Raises HetError without
    one."""
    program = shutil.which("prometheus")
    if not program:
        raise HetError("not installed: prometheus", "./dev setup installs it")
    (port,) = free_ports(1)
    (base / "prometheus.yml").write_text(json.dumps(conf))
    argv = [program, f"--config.file={base / 'prometheus.yml'}", f"--storage.tsdb.path={base}/db"]
    argv += [f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn"]
    process = subprocess.Popen(argv)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)


@contextmanager
def watched(
    box: Sandbox, base: Path, scrape_seconds: int = 5, evaluate_seconds: int = 1
) -> Iterator[str]:
    """Have a server scrape `slurm-het metrics` of a sandbox, with our rules; its URL."""
    (told,) = free_ports(1)
    target = {"targets": [f"127.0.0.1:{told}"]}
    every = f"{scrape_seconds}s"
    scrape = {"job_name": "het", "scrape_interval": every, "scrape_timeout": every}
    conf = {
        "global": {"evaluation_interval": f"{evaluate_seconds}s"},
        "rule_files": [str(RULES)],
        "scrape_configs": [scrape | {"static_configs": [target]}],
    }
    argv = [sys.executable, "-m", "slurm_het.cli.admin", "metrics"]
    argv += ["--config", str(box.config_path), "--listen", f"127.0.0.1:{told}"]
    scraped = subprocess.Popen(argv, env=box.env)
    try:
        with prometheus(base, conf) as url:
            yield url
    finally:
        scraped.terminate()
        scraped.wait(20)


def ask(url: str, path: str, **words: str) -> Any:
    """What a server answers, as data; nothing while it starts."""
    try:
        where = f"{url}/api/v1/{path}?{urllib.parse.urlencode(words)}"
        with urllib.request.urlopen(where, timeout=10) as reply:  # noqa: S310 - http, loopback
            return json.load(reply)["data"]
    except urllib.error.URLError:
        return {"result": [], "alerts": []}
