"""How much of the gain survives when a quarter of the judgements say the opposite?

    make study NAME=noise ARGS="--seeds 1-10"

480 comparisons by ten scripted people of one taste, the method `dpo`, in each seed the same answers:

- `clean`: 480 tasks, one person each;       `flips`: the same, a quarter of all preferences turned round;
- `clean-shared`: 160 tasks, three people each;
- `clickers`: the same tasks, but five of the ten choose a side and a strength blindly, so that a quarter of
  what all say is turned round, all of it theirs; `clickers-unweighted`: everybody weighs the same;
  `clickers-gold`: everybody was also shown 20 comparisons with a known answer, which weigh people and never train:
  disagreement with others alone lowers nobody's weight below a half.

The gain is the win rate minus ½, on 400 prompts that nothing was trained on, by the true taste.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from alignment.dataset.compile import Rules
from alignment.dataset.judgement import Judgement
from alignment.evaluation.tastes import TASTES, Preference, Taste
from tests.long.lab import Lab, study
from tests.long.scripted import ranked, voted

ARMS = ("clean", "flips", "clean-shared", "clickers", "clickers-unweighted", "clickers-gold")
JUDGEMENTS, PEOPLE, CLICKERS, OVERLAP, FLIPPED = 480, 10, 5, 3, 0.25
GOLD = 20  # comparisons with a known answer, each person


def turned(seen: Preference) -> Preference:
    """The opposite preference, as strong; a tie stays one."""
    return Preference({"left": "right", "right": "left", "tie": "tie"}[seen.side], seen.strength)  # type: ignore[arg-type]


def clicked(rng: random.Random) -> Preference:
    """A verdict without a look at the texts."""
    return Preference(rng.choice(("left", "right")), rng.choice(("slightly", "clearly")))


def judgements(lab: Lab, seed: int, arm: str) -> list[Judgement]:
    """The 480 verdicts of one arm."""
    taste = TASTES["warm"]
    overlap = 1 if arm in ("clean", "flips") else OVERLAP
    rng = random.Random(f"noise {seed} {overlap}")
    found: list[Judgement] = []
    for task, (prompt, samples) in enumerate(lab.pools(JUDGEMENTS // overlap, seed, width=4)):
        two = samples[:2]
        for person in sorted(rng.sample(range(PEOPLE), overlap)):
            seen = verdict(taste, [sample.text for sample in two], person, arm, rng)
            found.append(voted(len(found), prompt, two, seen, person=f"p{person}", task=f"t{task}"))
    return found + (gold(lab, seed, len(found)) if arm.endswith("gold") else [])


def gold(lab: Lab, seed: int, after: int) -> list[Judgement]:
    """What everybody said of comparisons whose answer is known: who looks at them is right, who clicks is by chance."""
    rng = random.Random(f"gold {seed}")
    prompt, samples = lab.pools(1, seed, width=4)[0]
    found = []
    for person in range(PEOPLE):
        for _ in range(GOLD):
            said = ranked(after + len(found), prompt, samples[:2], (1, 2), person=f"p{person}", strength="clearly")
            found.append(replace(said, gold=person >= CLICKERS or rng.random() < 0.5))
    return found


def verdict(taste: Taste, texts: Sequence[str], person: int, arm: str, rng: random.Random) -> Preference:
    """What this person says; every arm of one overlap draws the same random numbers."""
    seen = taste.prefer(texts[0], texts[1], rng)
    flip, blind = rng.random() < FLIPPED, clicked(rng)
    if arm == "flips" and flip:
        return turned(seen)
    if arm.startswith("clickers") and person < CLICKERS:
        return blind
    return seen


def one_seed(lab: Lab, seed: int, arm: str, folder: Path) -> dict[str, Any]:
    """Train on one arm and measure."""
    rules = Rules(reliability=arm != "clickers-unweighted")
    adapter, record = lab.train("dpo", judgements(lab, seed, arm), seed, folder, rules=rules)
    found = lab.judged(adapter, TASTES["warm"], seed)
    return {"win_rate": round(found.win_rate, 4), "interval": [round(end, 4) for end in found.interval], **record}


if __name__ == "__main__":
    sys.exit(study("noise", __doc__, one_seed, ARMS))
