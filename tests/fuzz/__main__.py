"""Coverage-guided fuzzing (atheris) of everything that reads what others wrote.

    ./dev fuzz [--inputs 1000000] [--seed 1] [--target gres] [--seconds 10]

Each target runs in a process of its own. An input that raises what its target does not expect, or
takes longer than `--seconds`, is kept as tests/fuzz/corpus/TARGET/crash-… or timeout-…; fix it and
leave the file: the ordinary tests run all of them.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CORPUS = Path(__file__).resolve().parent / "corpus"
LONGEST = 4096
"""Bytes of an input; the sockets' own limits have tests of their own."""


def fuzz_one(name: str, arguments: list[str]) -> None:
    """Run one target until its number of inputs is used up; ends this process."""
    import atheris

    with atheris.instrument_imports(include=["slurm_het"]):
        from tests.fuzz.targets import TARGETS
    atheris.Setup([name, *arguments], TARGETS[name].run)
    atheris.Fuzz()


def run(name: str, inputs: int, seed: int, seconds: int) -> tuple[bool, int, float, str]:
    """Whether a target held, how many inputs it saw in how many seconds, and what was said."""
    from tests.fuzz.targets import TARGETS

    target = TARGETS[name]
    kept = CORPUS / name
    kept.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="het-fuzz-") as temp:
        found, words = Path(temp, "found"), Path(temp, "words")
        found.mkdir()
        for number, data in enumerate(target.seeds):
            Path(temp, "found", f"seed-{number}").write_bytes(data)
        words.write_text("".join(f'"{_escaped(word)}"\n' for word in target.words))
        command = [sys.executable, "-m", "tests.fuzz", "--one", name]
        command += [f"-runs={inputs}", f"-seed={seed}", f"-timeout={seconds}", f"-dict={words}"]
        command += [f"-artifact_prefix={kept}/", f"-max_len={LONGEST}", "-print_final_stats=1"]
        command += [str(found), str(kept)]
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", check=False
        )
    said = done.stderr + done.stdout
    count = re.search(r"stat::number_of_executed_units:\s*(\d+)", said)
    if not any(kept.iterdir()):
        kept.rmdir()
    return done.returncode == 0, int(count[1]) if count else 0, time.monotonic() - began, said


def _escaped(word: str) -> str:
    return "".join(
        chr(b) if b < 128 and chr(b).isalnum() else f"\\x{b:02x}"
        for b in word.encode("utf-8", "replace")
    )


def main() -> None:
    """Fuzz every target in turn; exit code 1 if one does not hold."""
    from tests.fuzz.targets import TARGETS

    parser = argparse.ArgumentParser(
        prog="./dev fuzz", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--inputs", type=int, default=1_000_000, help="in all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--target", choices=list(TARGETS), action="append", help="only these")
    parser.add_argument("--seconds", type=int, default=10, help="that one input may take")
    options = parser.parse_args()
    chosen = {n: t for n, t in TARGETS.items() if not options.target or n in options.target}
    shares = sum(target.share for target in chosen.values())
    failed, total, began = [], 0, time.monotonic()
    for name, target in chosen.items():
        inputs = int(options.inputs * target.share / shares) + 1
        held, count, took, said = run(name, inputs, options.seed, options.seconds)
        total += count
        print(
            f"{name:<15} {count:>9,} inputs {took:7.1f} s  {'ok' if held else 'FOUND'}", flush=True
        )
        if not held:
            failed.append(name)
            lines = said.splitlines()
            print("\n".join(line[:300] for line in lines[-40:] if not line.startswith("#")))
    print(f"{total:,} inputs in {time.monotonic() - began:.0f} s, seed {options.seed}")
    if failed:
        raise SystemExit(f"not as promised: {', '.join(failed)}; see tests/fuzz/corpus")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        fuzz_one(sys.argv[2], sys.argv[3:])
    else:
        main()
