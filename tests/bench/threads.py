"""What it costs that threads wait for each other by spinning or asleep, beside other work on the same cores.

    python -m tests.bench.threads [--busy N] [--rounds N] [--json FILE]

One pass of a batch through matrices of SmolLM2-135M's sizes (ten layers) is timed in a process of its own: with one
thread, with a thread a core that spins while it waits, as OpenMP does by itself, and with a thread a core that sleeps.
`--busy` processes (by default one a core) compute beside it all the while; 0 is a quiet machine. The ways take turns;
a figure is the median of the rounds, in milliseconds, a ratio that of the rounds' own ratios over one thread.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.long.lines import provenance

ROWS = (1, 32)
TYPES = ("float32", "bfloat16")
SECONDS = 2.0
WAYS = {"one": None, "spinning": "ACTIVE", "sleeping": "PASSIVE"}


def time_here(threads: int) -> dict[str, float]:
    """Milliseconds of a pass, by type and rows: the mean over `SECONDS`, which is what people wait for."""
    import time

    import torch

    torch.set_num_threads(threads)
    found = {}
    for dtype in TYPES:
        shapes = [(960, 576), (576, 576), (3072, 576), (576, 1536)] * 10
        weights = [torch.randn(shape).to(getattr(torch, dtype)) for shape in shapes]
        for rows in ROWS:
            inputs = {width: torch.randn(rows, width).to(weights[0].dtype) for width in (576, 1536)}
            passes, began = -1, time.perf_counter()
            while time.perf_counter() - began < SECONDS or passes < 1:
                for weight in weights:
                    torch.nn.functional.linear(inputs[weight.shape[1]], weight)
                passes += 1
                if not passes:  # the first pass is not timed
                    began = time.perf_counter()
            found[f"{dtype}, {rows} rows"] = 1000 * (time.perf_counter() - began) / passes
    return found


def time_way(way: str, cores: int) -> dict[str, float]:
    """The same in a process of its own, because OpenMP reads how to wait once."""
    policy = WAYS[way]
    environment = {**os.environ, **({"OMP_WAIT_POLICY": policy} if policy else {})}
    words = [sys.executable, "-m", "tests.bench.threads", "--here", str(cores if policy else 1)]
    said = subprocess.run(words, env=environment, stdout=subprocess.PIPE, check=True).stdout
    found: dict[str, float] = json.loads(said.splitlines()[-1])
    return found


def bench(rounds: int, busy: int) -> dict[str, Any]:
    """All ways in turns, beside `busy` other processes."""
    cores = len(os.sched_getaffinity(0))
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(busy)]
    try:
        measured = [{way: time_way(way, cores) for way in WAYS} for _ in range(rounds)]
    finally:
        for other in others:
            other.kill()
            other.wait()
    cases = list(measured[0]["one"])
    return {
        **provenance(),
        "cores": cores,
        "busy": busy,
        "load_average": os.getloadavg()[0],
        "rounds": rounds,
        "ms": {way: {case: round(middle([each[way][case] for each in measured]), 2) for case in cases} for way in WAYS},
        "over one thread": {
            way: {case: round(middle([each[way][case] / each["one"][case] for each in measured]), 2) for case in cases}
            for way in WAYS
        },
    }


def middle(numbers: Sequence[float]) -> float:
    """The median."""
    return statistics.median(numbers)


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--here", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--busy", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if options.here:
        print(json.dumps(time_here(options.here)))
        return 0
    result = bench(options.rounds, options.busy)
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
