"""How many clicks does it take to a win rate of 80 %?

    make study NAME=labels ARGS="--seeds 1-10"

For each arm and seed the smallest number of clicks on the grid 20, 40 … 1,280 that gets there, found by halving (more
clicks are taken to be no worse); a ranking of four costs three clicks. Arms, each with its own defaults:

- `plain`: TRL's way: `dpo` on pairs, a fixed number of passes, everybody's click the same;
- `dpo`: our default on the same pairs;       `dpo-rankings`: our default on rankings of four;
- `online`: a reward model from the pairs, then `online-dpo`;       `online-rankings`: the same from rankings.

One annotator of known taste; one in ten verdicts ignores the texts. The win rate is on 400 prompts that nothing was
trained on, by the true taste, ties as halves. 2,560 stands for "not on the grid".
"""

from __future__ import annotations

import random
import sys
import tempfile
from pathlib import Path
from typing import Any

from alignment.dataset.compile import Rules
from alignment.dataset.judgement import Judgement
from alignment.errors import StageError
from alignment.evaluation.tastes import TASTES
from alignment.methods.dpo.settings import DpoSettings
from tests.alignment.compiled import compile_rows
from tests.long.lab import Lab, study
from tests.long.scripted import ranked, ranks_by

GRID = [20 * 2**k for k in range(7)]
BEYOND = 2 * GRID[-1]
TARGET, NOISE = 0.8, 0.1
ARMS = ("plain", "dpo", "dpo-rankings", "online", "online-rankings")


def judgements(lab: Lab, seed: int, arm: str, clicks: int) -> list[Judgement]:
    """So many clicks: a smaller number's are the first ones of a larger's."""
    taste, rng = TASTES["warm"], random.Random(f"labels {seed}")
    width = 4 if arm.endswith("rankings") else 2
    found: list[Judgement] = []
    for prompt, samples in lab.pools(GRID[-1], seed, width=6) if width == 2 else _wide(lab, seed):
        if len(found) * (width - 1) >= clicks:
            break
        some = samples[:width]
        ranks = ranks_by(taste, some)
        if rng.random() < NOISE:
            rng.shuffle(ranks)
        found.append(ranked(len(found), prompt, some, ranks, strength="clearly" if len(set(ranks)) > 1 else None))
    return found


def _wide(lab: Lab, seed: int) -> list[tuple[str, list[Any]]]:
    return [(prompt, samples) for prompt, samples in lab.pools(GRID[-1], seed, width=6) if len(samples) >= 4]


def win_rate(lab: Lab, seed: int, arm: str, clicks: int) -> float:
    """What so many clicks come to; ½ where they are too few to train on."""
    said = judgements(lab, seed, arm, clicks)
    method = "dpo" if arm == "plain" or arm.startswith("dpo") else "online-dpo"
    rules, settings = Rules(), {}
    if arm == "plain":
        rows = compile_rows(said, seed=seed).counts["rows"]["pairs"]["train"]
        rules, settings = Rules(reliability=False), {"epochs": DpoSettings().epochs_for(rows)}
    with tempfile.TemporaryDirectory(prefix="alignloop-labels-") as folder:
        try:
            adapter, _ = lab.train(method, said, seed, Path(folder), settings, rules=rules)
        except StageError:
            return 0.5
        return lab.judged(adapter, TASTES["warm"], seed).win_rate


def one_seed(lab: Lab, seed: int, arm: str, folder: Path) -> dict[str, Any]:
    """The smallest number of clicks on the grid."""
    rates: dict[int, float] = {}
    low, high = -1, len(GRID)  # GRID[low] is too few, GRID[high] enough
    while high - low > 1:
        middle = (low + high) // 2
        rates[GRID[middle]] = round(win_rate(lab, seed, arm, GRID[middle]), 4)
        low, high = (low, middle) if rates[GRID[middle]] >= TARGET else (middle, high)
    return {"clicks": GRID[high] if high < len(GRID) else BEYOND, "win_rates": rates}


if __name__ == "__main__":
    sys.exit(study("labels", __doc__, one_seed, ARMS))
