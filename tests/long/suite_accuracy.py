"""How much of a suite does a model answer, and by which way of asking? One JSON line a category and form of question.

    python -m tests.long.suite_accuracy --model FOLDER [--suite FILE] [--out FILE.jsonl] [--seconds 3600]
    python -m tests.long.suite_accuracy --summary

Nothing is sampled: the choice with the highest log-probability is the answer. Every question is put as one user turn
in the model's own template, and the assistant's turn begins with "Answer:". Four ways of asking:

- `label`: the choices are listed with letters in the question, and only the letters are compared;
- `first`: the question stands alone, and the first tokens of the choices' texts are compared;
- `sum`:   as `first`, but with the log-probability of the whole text;
- `mean`:  as `sum`, divided by the text's tokens.

Computed in float32 on one thread. What FILE holds of the same items and weights is not measured again, so the study
may be stopped at any time (`--seconds` stops it between two lines). All questions alone come before the listed ones.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from alignment.files import sha256_of_all
from alignment.stats import wilson_interval
from tests.long.lines import RESULTS, provenance, read_lines

SUITE = Path(__file__).resolve().parents[2] / "data" / "suites" / "general.jsonl"
LINES = RESULTS / "suite_accuracy.jsonl"
LABELS = "ABCD"
FORMS = {"alone": ("first", "sum", "mean"), "listed": ("label",)}  # the question's form, and what is read of it
WAYS = ("label", "first", "sum", "mean")
LEAD = "Answer:"
AT_ONCE = 16  # items


@dataclass(frozen=True)
class Item:
    """One multiple-choice question; `answer` is the index of the right choice."""

    id: str
    category: str
    question: str
    choices: tuple[str, ...]
    answer: int

    @property
    def listed(self) -> str:
        """The question with its choices under letters, as `label` asks it."""
        choices = (f"{label}. {choice}" for label, choice in zip(LABELS, self.choices, strict=False))
        return "\n".join((self.question, *choices, "Answer with the letter."))


def read_suite(path: Path) -> dict[str, list[Item]]:
    """The items of a file by category, in the file's order."""
    found: dict[str, list[Item]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        raw = json.loads(line)
        item = Item(raw["id"], raw["category"], raw["question"], tuple(raw["choices"]), raw["answer"])
        found.setdefault(item.category, []).append(item)
    return found


class Scorer:
    """A model that tells how probable continuations of questions are."""

    def __init__(self, folder: Path) -> None:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        torch.set_num_threads(1)
        self._tokenizer = AutoTokenizer.from_pretrained(folder)
        self._model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        # What the template puts before every question is read once. Its last token may merge with a question's first.
        self._opening = self._ids(self._asked("?").partition("?")[0])[:-1]
        with torch.inference_mode():
            self._opened = self._model(torch.tensor([self._opening]), use_cache=True).past_key_values

    def logprobs(self, asked: Sequence[tuple[str, Sequence[str]]]) -> list[list[list[float]]]:
        """The log-probability of each token of each continuation of each question after the lead, in nats.

        Raises `ValueError` where tokens reach over the end of what the template opens with, or of the prompt.
        """
        rows: list[list[int]] = []
        spots: list[list[list[tuple[int, int, int]]]] = []  # question, continuation, token: row, place before it, id
        for question, continuations in asked:
            prompt = self._asked(question) + LEAD
            before = self._ids(prompt)
            if before[: len(self._opening)] != self._opening:
                raise ValueError(f"the tokens of {question!r} cannot be told from the template's")
            bare, at = len(rows), len(before) - 1
            rows.append(before)
            spots.append([])
            for text in continuations:
                whole = self._ids(f"{prompt} {text}")
                if whole[: len(before)] != before:
                    raise ValueError(f"the tokens of {text!r} cannot be told from the prompt's")
                row = bare  # a single token is read off the prompt; more of them need a row of their own
                if len(whole) > len(before) + 1:
                    row = len(rows)
                    rows.append(whole[:-1])
                spots[-1].append([(row, at + step, token) for step, token in enumerate(whole[len(before) :])])
        flat = iter(self._read(rows, [spot for texts in spots for text in texts for spot in text]))
        return [[[next(flat) for _ in text] for text in texts] for texts in spots]

    def _read(self, rows: Sequence[Sequence[int]], spots: Sequence[tuple[int, int, int]]) -> list[float]:
        """The log-probability of an id after the token at a place of a row, for each (row, place, id)."""
        import torch

        skip, longest = len(self._opening), max(map(len, rows))
        # Padding stands behind the text, where a causal model's earlier tokens do not see it.
        ids = torch.tensor([list(row[skip:]) + [0] * (longest - len(row)) for row in rows])  # (rows, tokens)
        places = sorted({place for _, place, _ in spots})
        cache = deepcopy(self._opened)
        cache.batch_repeat_interleave(len(rows))
        with torch.inference_mode():
            logits = self._model(
                ids, past_key_values=cache, logits_to_keep=torch.tensor([place - skip for place in places])
            ).logits  # (rows, places, vocabulary)
            kept = torch.tensor([places.index(place) for _, place, _ in spots])
            picked = logits[torch.tensor([row for row, _, _ in spots]), kept].log_softmax(-1)
            found = picked[torch.arange(len(spots)), torch.tensor([token for _, _, token in spots])]
        return [float(value) for value in found]

    def _asked(self, question: str) -> str:
        messages = [{"role": "user", "content": question}]
        return str(self._tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))

    def _ids(self, text: str) -> list[int]:
        return list(self._tokenizer(text, add_special_tokens=False)["input_ids"])


def asked(item: Item, form: str) -> tuple[str, Sequence[str]]:
    """The question in this form, and the continuations to compare, in the order of the choices."""
    if form == "listed":
        return item.listed, LABELS[: len(item.choices)]
    return item.question, item.choices


def wins(scores: Sequence[float], answer: int) -> bool:
    """Whether the answer's score is above every other one: a tie is not an answer."""
    return all(scores[answer] > score for at, score in enumerate(scores) if at != answer)


def right(item: Item, form: str, found: Sequence[Sequence[float]]) -> dict[str, bool]:
    """Whether the right choice wins, by each way of reading the continuations' log-probabilities."""
    if form == "listed":
        scores = {"label": [tokens[0] for tokens in found]}
    else:
        scores = {
            "first": [tokens[0] for tokens in found],
            "sum": [sum(tokens) for tokens in found],
            "mean": [sum(tokens) / len(tokens) for tokens in found],
        }
    return {way: wins(each, item.answer) for way, each in scores.items()}


def measured(scorer: Scorer, items: Sequence[Item], form: str) -> dict[str, Any]:
    """How many items are answered rightly by each way, and how many a blind choice would get."""
    count = dict.fromkeys(FORMS[form], 0)
    for start in range(0, len(items), AT_ONCE):
        some = items[start : start + AT_ONCE]
        for item, found in zip(some, scorer.logprobs([asked(item, form) for item in some]), strict=True):
            for way, won in right(item, form, found).items():
                count[way] += won
    return {"items": len(items), "chance": round(sum(1 / len(item.choices) for item in items), 3), **count}


def identity(items: Sequence[Item]) -> str:
    """A short hash of the items: another wording is another measurement."""
    return hashlib.sha256(repr(list(items)).encode()).hexdigest()[:12]


def weights_of(folder: Path) -> str:
    """A short hash of a model folder's weights."""
    return sha256_of_all(sorted(folder.glob("*.safetensors")))[:12]


def above_chance(line: Mapping[str, Any], way: str) -> bool:
    """Whether the lower 95 % bound of the share of right answers lies above a blind choice's."""
    return wilson_interval(line[way], line["items"])[0] > line["chance"] / line["items"]


def summary(lines: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """A Markdown table: right answers in percent with Wilson's 95 % interval, `*` where that lies above chance."""
    yield "| category | items | chance | " + " | ".join(WAYS) + " |"
    yield "| --- | --- | --- |" + " --- |" * len(WAYS)
    rows: dict[str, dict[str, Any]] = {}
    for line in sorted(lines, key=lambda line: str(line["category"])):
        rows.setdefault(str(line["category"]), {}).update(line)
    keys = ("items", "chance", *(way for way in WAYS if all(way in row for row in rows.values())))
    total = {"category": "all", **{key: sum(row[key] for row in rows.values()) for key in keys}}
    for row in (*rows.values(), total):
        chance = 100 * row["chance"] / row["items"]
        cells = [_cell(row, way) if way in row else "" for way in WAYS]
        yield f"| {row['category']} | {row['items']} | {chance:.0f} | " + " | ".join(cells) + " |"


def _cell(row: Mapping[str, Any], way: str) -> str:
    low, high = (100 * end for end in wilson_interval(row[way], row["items"]))
    return f"{100 * row[way] / row['items']:.0f} ({low:.0f}–{high:.0f})" + ("*" if above_chance(row, way) else "")


def main(words: Sequence[str] | None = None) -> int:
    """The command line. Returns the exit code: 1 where the time was up before all was measured."""
    assert __doc__
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path)
    parser.add_argument("--suite", type=Path, default=SUITE)
    parser.add_argument("--out", type=Path, default=LINES)
    parser.add_argument("--seconds", type=float, default=3600.0)
    parser.add_argument("--summary", action="store_true")
    given = parser.parse_args(words)
    if not given.summary:
        if given.model is None:
            parser.error("--model is needed, or --summary")
        began, name = time.monotonic(), weights_of(given.model)
        done = {(line["model"], line["hash"], line["form"]) for line in read_lines(given.out)}
        scorer = Scorer(given.model)
        for form, (category, items) in product(FORMS, read_suite(given.suite).items()):
            if (name, identity(items), form) in done:
                continue
            if time.monotonic() - began > given.seconds:
                print(f"the time is up; {category} ({form}) and what follows are left", file=sys.stderr)
                return 1
            found = measured(scorer, items, form)
            line = {"category": category, "form": form, "model": name, "hash": identity(items), **found}
            with given.out.open("a", encoding="utf-8") as file:
                file.write(json.dumps({**line, **provenance()}) + "\n")
    current = {identity(items) for items in read_suite(given.suite).values()}
    lines = [line for line in read_lines(given.out) if line["hash"] in current]
    for model in dict.fromkeys(str(line["model"]) for line in lines):
        print(f"\nmodel {model}\n", *summary([line for line in lines if line["model"] == model]), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
