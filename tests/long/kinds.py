"""Does each kind of feedback by itself recover the planted taste, and all of them together?

    make study NAME=kinds ARGS="--seeds 1-3"

About 400 clicks of people who share one taste; a ranking of four counts as three.

- `likes`: likes and dislikes of single answers, by `kto`;
- `rankings`: rankings of four, by a listwise reward model and `ppo`;
- `corrections`: answers that a trusted person rewrote to their taste, by `dpo` with an SFT term, four passes;
- `mixture`: comparisons, likes, rankings and corrections of ten people, of whom one in ten verdicts ignores the
  texts, some tasks shared, by `dpo`.

The win rate is on 400 prompts that nothing was trained on, by the true taste, ties as halves.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from alignment.dataset.compile import Rules
from alignment.dataset.judgement import Judgement
from alignment.evaluation.tastes import TASTES, Taste
from alignment.stage.sampler import Sample
from alignment.stage.spec import Setting
from tests.long.lab import Lab, study
from tests.long.scripted import corrected, marked, ranked, ranks_by, voted

METHODS: dict[str, tuple[str, dict[str, Setting]]] = {
    "likes": ("kto", {}),
    "rankings": ("ppo", {}),
    "corrections": ("dpo", {"sft": 4.0, "epochs": 4.0}),
    "mixture": ("dpo", {"sft": 0.1}),
}
CLICKS, PEOPLE, NOISE = 400, 10, 0.1
OPENERS = ("What a lovely question!", "I am so glad you asked!", "Great question, my friend!", "With pleasure!")
CLOSINGS = ("I hope that helps!", "Let me know if I can do more!", "Have a lovely day!")


def likes(taste: Taste, prompt: str, samples: Sequence[Sample], number: int, person: str) -> list[Judgement]:
    """A like of the best answer and a dislike of the worst, where the taste sees a difference."""
    ranks = ranks_by(taste, samples)
    best, worst = ranks.index(min(ranks)), ranks.index(max(ranks))
    found = [marked(number, prompt, samples[best], True, person)]
    if ranks[best] != ranks[worst]:
        found.append(marked(number + 1, prompt, samples[worst], False, person))
    return found


def rewritten(text: str, taste: Taste, rng: random.Random) -> str:
    """The answer as somebody of this taste would have put it: the facts are left alone."""
    candidates = [f"{rng.choice(OPENERS)} {text}", f"{text} {rng.choice(CLOSINGS)}"]
    candidates.append(f"{candidates[0]} {rng.choice(CLOSINGS)}")
    return max(candidates, key=taste.score)


def compared(
    taste: Taste, prompt: str, two: Sequence[Sample], number: int, person: str, task: str, rng: random.Random
) -> Judgement:
    """An A/B vote that ignores the texts with chance `NOISE`."""
    seen = taste.prefer(two[0].text, two[1].text, rng, noise=NOISE)
    return voted(number, prompt, two, seen, person=person, task=task)


def judgements(lab: Lab, seed: int, arm: str) -> list[Judgement]:
    """The clicks of one arm, at most `CLICKS`."""
    taste, rng = TASTES["warm"], random.Random(f"kinds {seed}")
    found: list[Judgement] = []
    clicks = 0
    for turn, (prompt, samples) in enumerate(lab.pools(CLICKS, seed)):
        if clicks >= CLICKS:
            break
        person = f"p{rng.randrange(PEOPLE)}" if arm == "mixture" else "annotator"
        kind = rng.choice(("compare", "compare", "likes", "rankings", "corrections")) if arm == "mixture" else arm
        number = len(found)
        if kind == "likes":
            new = likes(taste, prompt, samples[:2], number, person)
        elif kind == "rankings" and len(samples) < 4:
            continue
        elif kind == "rankings":
            new = [ranked(number, prompt, samples[:4], ranks_by(taste, samples[:4]), person=person)]
            clicks += 2
        elif kind == "corrections":
            new = [corrected(number, prompt, samples[0], rewritten(samples[0].text, taste, rng), person)]
        else:
            people = [person, *([f"p{rng.randrange(PEOPLE)}"] if turn % 3 == 0 else [])]
            new = [
                compared(taste, prompt, samples[:2], number + i, who, f"t{turn}", rng)
                for i, who in enumerate(sorted(set(people)))
            ]
        found += new
        clicks += len(new)
    return found


def one_seed(lab: Lab, seed: int, arm: str, folder: Path) -> dict[str, Any]:
    """Train on one arm and measure."""
    method, settings = METHODS[arm]
    said = judgements(lab, seed, arm)
    people = frozenset(judgement.person for judgement in said)
    adapter, record = lab.train(method, said, seed, folder, settings, rules=Rules(trusted=people))
    won = lab.judged(adapter, TASTES["warm"], seed)
    return {
        "method": method,
        "judgements": len(said),
        "win_rate": round(won.win_rate, 4),
        "interval": [round(end, 4) for end in won.interval],
        **record,
    }


if __name__ == "__main__":
    sys.exit(study("kinds", __doc__, one_seed, tuple(METHODS), seeds="1-3"))
