"""How late a plan can be: plan() against its deadline, on instances that no solver finishes.

    ./dev bench deadline [--seconds 0.25,0.5,1,2] [--nodes 1250] [--tasks 500] [--no-record]

The instances are those of `scale` (10,000 devices, the forecast known) and a small cluster whose
model, a variable per device, is as hard as they come; the solver is hetd's, in its worker. Timed is
plan(): problem, solver, Slurm's picks, checks and reasons. The goal is at most 1.10 of the
deadline. Where building the whole problem takes too long for that, the last tasks are left out.
"""

from __future__ import annotations

import argparse
import gc
import time

from bench.results import head, publish, recorded, table
from bench.scale import CASES, expected, policy, snapshot
from slurm_het.core.cluster.inventory import take_inventory
from slurm_het.core.jobs.task_pools import fill_task_pools
from slurm_het.core.model import Snapshot, Task
from slurm_het.core.planner.build_problem import build
from slurm_het.core.planner.plan import plan, select
from slurm_het.core.worth.forecast import Forecast
from slurm_het.daemon.tidying import THRESHOLD
from slurm_het.solve import Deadline
from slurm_het.solve.worker import WorkerSolver

COLUMNS = (
    "instance", "deadline, s", "plan() ÷ deadline, most", "building alone ÷ deadline", "status",
    "left out",
)  # fmt: skip
REPEAT = 5


def instances(args: argparse.Namespace) -> dict[str, tuple[Snapshot, tuple[Task, ...], Forecast]]:
    """Slurm's records, who waits and what is expected, by name."""
    found = {}
    sizes = [(case, args.nodes, args.tasks) for case in CASES] + [(CASES[4], 28, 200)]
    for case, nodes, tasks in sizes:
        given = snapshot(case, nodes, tasks, 1)
        inventory = take_inventory(given, policy())
        queue = fill_task_pools(given, inventory, policy(), limit=10_000)
        name = f"{case.name}, {nodes * 8} devices"
        found[name] = given, queue.tasks, expected(inventory, queue.tasks)
    return found


def main() -> None:
    """Print the table, and put it into RESULTS.md."""
    args = parse()
    gc.set_threshold(*THRESHOLD)
    worker, rules = WorkerSolver(), policy()
    worker.warm()
    rows = []
    for name, (given, waiting, outlook) in instances(args).items():
        for limit in map(float, args.seconds.split(",")):
            gc.collect()
            took, statuses, left_out = [], set(), []
            for _ in range(REPEAT):
                inventory = take_inventory(given, rules)  # as each of hetd's cycles does
                window = select(inventory, waiting, 10_000)
                began = time.perf_counter()
                until = Deadline(worker, limit)
                made = plan(inventory, window, rules, until.solve, outlook, until.hurry)
                left_out.append(made.left_out)
                took.append(time.perf_counter() - began)
                statuses.add(made.status)
            began = time.perf_counter()
            build(inventory, window, rules, outlook)
            building = time.perf_counter() - began
            row = [
                name, f"{limit:g}", f"{max(took) / limit:.2f}", f"{building / limit:.2f}",
                ", ".join(sorted(statuses)), f"{min(left_out)}–{max(left_out)} of {len(window)}",
            ]  # fmt: skip
            print("  ".join(row), flush=True)
            rows.append(row)
    worker.close()
    command = f"./dev bench deadline --seconds {args.seconds} --nodes {args.nodes}"
    extra = f"{REPEAT} plans each"
    text = [*head("deadline", f"{command} --tasks {args.tasks}", extra), *table(COLUMNS, rows)]
    publish(text, args)


def parse() -> argparse.Namespace:
    """The command line."""
    parser = recorded(__doc__)
    parser.add_argument("--seconds", default="0.25,0.5,1,2", help="deadlines (0.25,0.5,1,2)")
    parser.add_argument("--nodes", type=int, default=1250, help="of 8 devices each (1250)")
    parser.add_argument("--tasks", type=int, default=500, help="that wait (500)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
