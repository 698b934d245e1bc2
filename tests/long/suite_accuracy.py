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
    """A model that tells how probable continuations of a question are."""

    def __init__(self, folder: Path) -> None:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        torch.set_num_threads(1)
        self._tokenizer = AutoTokenizer.from_pretrained(folder)
        self._model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        # What the template puts before every question is read once. The last token may merge with the question's first.
        self._opening = self._ids(self._asked("?").partition("?")[0])[:-1]
        self._opened = self._read(self._opening).past_key_values

    def logprobs(self, question: str, continuations: Sequence[str]) -> list[list[float]]:
        """The log-probability of each token of each continuation after the question and the lead, in nats.

        Raises `ValueError` where a continuation's first token swallows the end of the prompt.
        """
        import torch

        prompt = self._asked(question) + LEAD
        before = self._ids(prompt)
        tails = []
        for text in continuations:
            whole = self._ids(f"{prompt} {text}")
            if whole[: len(before)] != before:
                raise ValueError(f"the tokens of {text!r} cannot be told from the prompt's")
            tails.append(whole[len(before) :])
        begun = self._read_on(before)
        first = begun.logits[0, -1].log_softmax(-1)
        found = [[float(first[tail[0]])] for tail in tails]
        longest = max(map(len, tails))
        if longest == 1:
            return found
        cache = begun.past_key_values
        cache.batch_repeat_interleave(len(tails))
        # Padding stands behind the text, where a causal model's earlier tokens do not see it.
        rows = torch.tensor([tail[:-1] + [0] * (longest - len(tail)) for tail in tails])  # (choices, longest - 1)
        with torch.inference_mode():
            logits = self._model(rows, past_key_values=cache, use_cache=True).logits.log_softmax(-1)
        for at, tail in enumerate(tails):
            found[at] += [float(logits[at, place - 1, tail[place]]) for place in range(1, len(tail))]
        return found

    def _asked(self, question: str) -> str:
        messages = [{"role": "user", "content": question}]
        return str(self._tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))

    def _ids(self, text: str) -> list[int]:
        return list(self._tokenizer(text, add_special_tokens=False)["input_ids"])

    def _read(self, ids: Sequence[int], cache: Any = None) -> Any:
        import torch

        with torch.inference_mode():
            return self._model(torch.tensor([ids]), past_key_values=cache, use_cache=True, logits_to_keep=1)

    def _read_on(self, ids: Sequence[int]) -> Any:
        """As `_read`, without reading again what stands before every question."""
        shared = len(self._opening)
        if list(ids[:shared]) != self._opening:
            return self._read(ids)
        return self._read(ids[shared:], deepcopy(self._opened))


def wins(scores: Sequence[float], answer: int) -> bool:
    """Whether the answer's score is above every other one: a tie is not an answer."""
    return all(scores[answer] > score for at, score in enumerate(scores) if at != answer)


def answered(scorer: Scorer, item: Item, form: str) -> dict[str, bool]:
    """Whether the model takes the right choice, by each way of reading what this form of the question gives."""
    if form == "listed":
        labels = scorer.logprobs(item.listed, LABELS[: len(item.choices)])
        scores = {"label": [tokens[0] for tokens in labels]}
    else:
        texts = scorer.logprobs(item.question, item.choices)
        scores = {
            "first": [tokens[0] for tokens in texts],
            "sum": [sum(tokens) for tokens in texts],
            "mean": [sum(tokens) / len(tokens) for tokens in texts],
        }
    return {way: wins(found, item.answer) for way, found in scores.items()}


def measured(scorer: Scorer, items: Sequence[Item], form: str) -> dict[str, Any]:
    """How many items are answered rightly by each way, and how many a blind choice would get."""
    found = [answered(scorer, item, form) for item in items]
    right = {way: sum(each[way] for each in found) for way in FORMS[form]}
    return {"items": len(items), "chance": round(sum(1 / len(item.choices) for item in items), 3), **right}


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
    asked = parser.parse_args(words)
    if not asked.summary:
        if asked.model is None:
            parser.error("--model is needed, or --summary")
        began, name = time.monotonic(), weights_of(asked.model)
        done = {(line["model"], line["hash"], line["form"]) for line in read_lines(asked.out)}
        scorer = Scorer(asked.model)
        for form, (category, items) in product(FORMS, read_suite(asked.suite).items()):
            if (name, identity(items), form) in done:
                continue
            if time.monotonic() - began > asked.seconds:
                print(f"the time is up; {category} ({form}) and what follows are left", file=sys.stderr)
                return 1
            found = measured(scorer, items, form)
            line = {"category": category, "form": form, "model": name, "hash": identity(items), **found}
            with asked.out.open("a", encoding="utf-8") as file:
                file.write(json.dumps({**line, **provenance()}) + "\n")
    current = {identity(items) for items in read_suite(asked.suite).values()}
    lines = [line for line in read_lines(asked.out) if line["hash"] in current]
    for model in dict.fromkeys(str(line["model"]) for line in lines):
        print(f"\nmodel {model}\n", *summary([line for line in lines if line["model"] == model]), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
