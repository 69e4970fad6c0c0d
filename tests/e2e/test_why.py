"""slurm-het why on real Slurm: of jobs that ended, before and after Slurm has forgotten them."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator

import pytest

from slurm_het.sandbox import procs
from slurm_het.sandbox.cluster import Sandbox
from tests.support.cluster import AMPLE, Cluster, own_sandbox

pytestmark = [pytest.mark.slurm, pytest.mark.in_turn("24.11")]
ANN, BOB = "nobody", "daemon"
CUDA = "module load cuda\n"


@pytest.fixture(scope="module")
def own_box() -> Iterator[Sandbox]:
    """A sandbox of its own, for its Slurm forgets all jobs. hetd is SlurmUser's: users ask it."""
    with own_sandbox(overrides=AMPLE, slurm_user="slurm") as sandbox:
        yield sandbox


@pytest.fixture
def cluster(own_box: Sandbox) -> Iterator[Cluster]:
    it = Cluster(own_box)
    yield it
    it.clear()


def forget(cluster: Cluster) -> None:
    """Have Slurm forget all jobs now: by itself it takes a minute more than MinJobAge."""
    box = cluster.box
    procs.end([p for p in box.daemons() if p.name == "slurmctld"], 60.0)
    for path in (box.dir / "state" / "slurmctld").glob("job_state*"):
        path.unlink()
    box.restart_slurmctld()
    cluster.wait("hetd closed the gate", lambda: cluster.gate() == "DOWN")


def why(cluster: Cluster, key: str, user: str = ANN) -> list[str]:
    """What a user is told of a job, without what is the plan's; every time of day is `T`."""
    argv = [sys.executable, "-m", "slurm_het.cli.admin", "why", key]
    done = cluster.box.run(argv, user=user)
    text = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "T", done.stdout + done.stderr)
    print(text)
    return re.sub(r" after \d:\d\d:\d\d( to \d:\d\d:\d\d)?", "", text).splitlines()


WHAT = [
    "  classified: training; vendors nvidia; types any; memory per device any",
    "    because vendors nvidia: line 2 loads cuda",
    "    because training: the site's default_scenario",
]
ASKED = "  asked for: tres_per_node=gpu:1"


def test_what_ended_while_no_hetd_ran_is_learned_at_its_start(cluster: Cluster) -> None:
    """Or said to be unknown, where Slurm has forgotten it by then."""
    keys = [cluster.sbatch("--gres=gpu:1", script=CUDA + "sleep 600") for _ in range(2)]
    known, unknown = keys
    cluster.wait("they run", lambda: all("started" in cluster.outcomes(key) for key in keys))
    cluster.box.stop_hetd()
    cluster.ok("scancel", unknown)
    cluster.wait_state(unknown, "CANCELLED")
    conf = cluster.box.layout.slurm_conf
    before = conf.read_text()
    conf.write_text(before.replace("MinJobAge=300", "MinJobAge=1"))
    try:
        cluster.ok("scontrol", "reconfigure")
        cluster.wait(
            "Slurm has forgotten it",
            lambda: cluster.box.run(["scontrol", "show", "job", unknown]).returncode,
            seconds=150,
        )
    finally:
        conf.write_text(before)
        cluster.ok("scontrol", "reconfigure")
    cluster.ok("scancel", known)
    cluster.wait_state(known, "CANCELLED")
    cluster.box.start_hetd()
    cluster.wait("hetd knows how it ended", lambda: cluster.end(known))
    end = cluster.end(known)
    assert end
    assert (end.state, end.nodes) == ("CANCELLED", cluster.job(known)["NodeList"])
    assert why(cluster, unknown, user="root")[-1] == (
        "  how it ended is not known: hetd did not see it end, and Slurm has forgotten it"
    )


def test_the_wait_is_split_where_another_program_has_our_place(cluster: Cluster) -> None:
    """jobstats has AdminComment for itself, seconds after the end; here it has it while it runs."""
    first = cluster.sbatch("--gres=gpu:1", script=CUDA + "sleep 4", user=ANN)
    key = cluster.sbatch(
        "--gres=gpu:1", f"--dependency=afterany:{first}", script=CUDA + "sleep 5", user=ANN
    )
    cluster.wait_state(key, "RUNNING")
    cluster.wait("hetd has seen it run", lambda: "started" in cluster.outcomes(key))
    cluster.ok("scontrol", "update", f"JobId={key}", "AdminComment=JS1:H4sIAAAAAAAAA")
    cluster.wait_state(key, "COMPLETED")
    cluster.wait("hetd knows how it ended", lambda: cluster.end(key))
    assert cluster.job(key)["AdminComment"].startswith("JS1:")
    told = why(cluster, key)
    assert told[1:5] == [*WHAT, ASKED]
    (waited,) = (line for line in told if line.startswith("  waited"))
    assert "for a dependency, a hold or its begin time" in waited
    assert told[-1].startswith("  ended T: COMPLETED")


def test_jobs_that_ended_keep_their_story(cluster: Cluster) -> None:
    """The last test of this module: afterwards job ids start anew."""

    def submit(script: str, *options: str) -> str:
        return cluster.sbatch("--gres=gpu:1", *options, script=CUDA + script, user=ANN)

    good, bad, long = submit("sleep 1"), submit("exit 3"), submit("sleep 600")
    never = submit("sleep 600", "--begin=now+1hour")
    array = submit("sleep 1; exit $((SLURM_ARRAY_TASK_ID == 2 ? 5 : 0))", "--array=0-3")
    cluster.wait_state(long, "RUNNING")
    cluster.wait("hetd has seen it run", lambda: "started" in cluster.outcomes(long))
    cluster.wait_state(never, "PENDING")
    cluster.ok("scancel", long, never)
    tasks = [f"{array}_{n}" for n in range(4)]
    keys = [good, bad, long, never, *tasks]
    for key in keys:
        cluster.wait_state(key, "COMPLETED", "FAILED", "CANCELLED")
    cluster.wait("hetd knows how they ended", lambda: all(map(cluster.end, keys)))
    ends = {key: cluster.end(key) for key in keys}
    assert [(e.state, e.exit_code) for e in ends.values() if e] == [
        ("COMPLETED", 0), ("FAILED", 3), ("CANCELLED", 0), ("CANCELLED", 0),
        ("COMPLETED", 0), ("COMPLETED", 0), ("FAILED", 5), ("COMPLETED", 0),
    ]  # fmt: skip
    node = {key: end.nodes for key, end in ends.items() if end}
    last = {
        good: f"  ended T: COMPLETED on {node[good]}",
        bad: f"  ended T: FAILED with exit code 3 on {node[bad]}",
        long: f"  ended T: CANCELLED on {node[long]}",
        never: "  ended T: CANCELLED before the start",
        tasks[2]: f"  ended T: FAILED with exit code 5 on {node[tasks[2]]}",
    }
    for forgotten in (False, True):
        if forgotten:
            forget(cluster)
        for key, line in last.items():
            told = why(cluster, key)
            assert (told[0] == f"job {key} of {ANN} is not in Slurm's queue any more") is forgotten
            assert told[1:5] == [*WHAT, ASKED]
            assert told[-1] == line
            assert any("planned: train-nv" in text for text in told) is (key != never)
            assert any("T released: train-nv" in text for text in told) is (key != never)
        told = why(cluster, array)
        assert told[:5] == [
            f"job {array} of {ANN} is an array; 4 of its tasks are known", *WHAT, ASKED,
        ]  # fmt: skip
        assert [line.split(" on ")[0] for line in told[5:]] == [
            f"  {array}_[0-1,3]: COMPLETED", f"  {array}_2: FAILED with exit code 5",
        ]  # fmt: skip
        assert all(line.endswith(", as planned") for line in told[5:])
    for key in (good, array, tasks[2]):
        theirs = "\n".join(why(cluster, key, user=BOB))
        assert f"job {key} is not yours" in theirs
        assert "classified" not in theirs
        assert why(cluster, key, user="root")[1:5] == [*WHAT, ASKED]
