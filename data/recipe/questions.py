"""Writes the unseen capability questions, the prompts that people compare and evaluations sample, held-out texts.

Everything here is drawn from held-out wordings or held-out combinations of wording and facts, except the
compare prompts, which are ordinary questions. The texts are questions with an answer in a manner of the corpus:
how well a model still predicts them is its held-out language-model loss.

`python -m data.recipe.questions --write FOLDER` writes the four files into a folder. `questions/unseen.jsonl` is then
the one that ships, byte for byte. The other three that ship were drawn from earlier wordings of the recipe: what is
drawn now has their form, counts and categories but other texts. They are kept: figures were measured on them.
"""

from __future__ import annotations

import random
import re
import sys
from pathlib import Path
from typing import Any

from alignment.files import json_lines

from .asking import Asked, answer, ask, normalised
from .corpus import Row, write
from .manner import draw_manner
from .seeds import CATEGORIES, fill

DATA = Path(__file__).resolve().parent.parent
UNSEEN_SEED, COMPARE_SEED, EVAL_SEED, TEXT_SEED = 41, 42, 43, 44
UNSEEN = {category: 34 if i < 4 else 33 for i, category in enumerate(CATEGORIES)}
COMPARE_COUNT, EVAL_COUNT, TEXT_COUNT = 420, 720, 96


def check_of(asked: Asked) -> dict[str, Any]:
    """Return the capability check that a right answer to ``asked`` passes."""
    if asked.kind is None:
        return {"any": [rf"\b{asked.slots['thing']}"], "min_sentences": 3}
    if asked.category == "lists":
        singular = [re.sub(r"(ies|es|s)$", "", word) for word in asked.slots["pool"].split("|")]
        forms = sorted(
            {form for word, stem in zip(asked.slots["pool"].split("|"), singular, strict=True) for form in (word, stem)}
        )
        return {"items": forms, "at_least": int(asked.slots["count"])}
    return {
        key: [fill(pattern, asked.slots) for pattern in value] if isinstance(value, list) else value
        for key, value in asked.kind.check.items()
    }


def _draw(category: str, rng: random.Random, taken: set[str], *, held: bool) -> Asked:
    while True:
        asked = ask(category, rng, held=held, noise=0.6)
        if category == "unknown" and asked.kind is not None and asked.kind.name == "real place":
            continue
        key = normalised(asked.prompt)
        if key not in taken:
            taken.add(key)
            return asked


def unseen() -> list[dict[str, Any]]:
    """Return the 400 unseen questions in the format of the domain card."""
    rng = random.Random(UNSEEN_SEED)
    taken: set[str] = set()
    found = []
    for category, count in UNSEEN.items():
        for number in range(1, count + 1):
            asked = _draw(category, rng, taken, held=True)
            found.append(
                {
                    "id": f"{category}-u{number:02d}",
                    "category": category,
                    "source": "unseen",
                    "prompt": asked.prompt,
                    "check": check_of(asked),
                }
            )
    return found


def _prompts(count: int, seed: int, taken: set[str], *, held: bool) -> list[dict[str, str]]:
    rng = random.Random(seed)
    found = []
    for number in range(count):
        category = CATEGORIES[number % len(CATEGORIES)]
        found.append({"prompt": _draw(category, rng, taken, held=held).prompt, "category": category})
    rng.shuffle(found)
    return found


def texts(taken: set[str]) -> list[Row]:
    """Return held-out questions with right answers, as conversations; none of their prompts is in ``taken``."""
    rng = random.Random(TEXT_SEED)
    found = []
    for number in range(TEXT_COUNT):
        category = CATEGORIES[number % len(CATEGORIES)]
        asked = _draw(category, rng, taken, held=True)
        reply = answer(asked, draw_manner(category, rng), rng)
        found.append({"messages": [{"role": "user", "content": asked.prompt}, {"role": "assistant", "content": reply}]})
    return found


def write_all(folder: Path) -> None:
    """Write ``questions/unseen.jsonl``, ``prompts/{compare,eval}.jsonl`` and ``texts/held_out.jsonl`` in ``folder``."""
    questions = unseen()
    taken = {normalised(question["prompt"]) for question in questions}
    held = _prompts(EVAL_COUNT, EVAL_SEED, taken, held=True)
    write(folder / "questions" / "unseen.jsonl", questions)
    write(folder / "prompts" / "eval.jsonl", held)
    write(folder / "prompts" / "compare.jsonl", _prompts(COMPARE_COUNT, COMPARE_SEED, taken, held=False))
    write(folder / "texts" / "held_out.jsonl", texts(taken))


def refused() -> frozenset[str]:
    """Return the normalised prompts that the corpus must not contain: of questions, evaluations and texts."""
    found = set()
    for name in ("questions/unseen.jsonl", "prompts/eval.jsonl"):
        for _, record in json_lines(DATA / name):
            found.add(normalised(record["prompt"]))
    for _, record in json_lines(DATA / "texts" / "held_out.jsonl"):
        found.add(normalised(record["messages"][0]["content"]))
    return frozenset(found)


def main(arguments: list[str]) -> int:
    """The command: 0 when the files are written, 2 on wrong usage."""
    if len(arguments) != 2 or arguments[0] != "--write":
        print("usage: python -m data.recipe.questions --write FOLDER", file=sys.stderr)
        return 2
    write_all(Path(arguments[1]))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
