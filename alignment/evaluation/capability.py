"""What a model can do: question files, and whether an answer passes a question's check.

A question file is JSON lines of ``{"id", "category", "source", "prompt", "check"}``. A check holds any of ``any``,
``all``, ``none`` (regular expressions, case-insensitive, searched in the whole answer), ``items`` with
``at_least`` (different whole words that must appear) and ``min_sentences``; all that are given must hold.
This module does not sample answers. Standard library only.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

from alignment.files import BrokenLine, made_of_lines

_SENTENCE = re.compile(r"[^.!?]*\w[^.!?]*[.!?]+")


class QuestionFileError(ValueError):
    """A question file cannot be read: the message names the file, the line and what is wrong."""


class Check(TypedDict, total=False):
    """What an answer must hold; every condition that is given counts.

    Regular expressions without regard to case: one of `any`, each of `all`, none of `none`. `at_least` so many of
    `items` as whole words, and so many sentences.
    """

    any: list[str]
    all: list[str]
    none: list[str]
    items: list[str]
    at_least: int
    min_sentences: int


@dataclass(frozen=True)
class Question:
    """One capability question; ``check`` decides whether an answer to ``prompt`` is right."""

    id: str
    category: str
    source: str
    prompt: str
    check: Check

    def right(self, answer: str) -> bool:
        """Whether the answer is right."""
        return check(answer, self.check)


def load_questions(path: Path) -> tuple[Question, ...]:
    """Return the questions of a file.

    Raises QuestionFileError on a broken line, an unknown check key, a bad regular expression or a repeated id.
    """
    found: list[Question] = []
    seen: set[str] = set()
    try:
        for number, question in made_of_lines(path, _question):
            if question.id in seen:
                raise QuestionFileError(f"{path.name}, line {number}: the id {question.id} is used twice")
            seen.add(question.id)
            found.append(question)
    except BrokenLine as error:
        raise QuestionFileError(f"{path.name}, line {error.number}: {error.why}") from error
    return tuple(found)


def _question(raw: Any) -> Question:
    question = Question(raw["id"], raw["category"], raw["source"], raw["prompt"], raw["check"])
    try:
        validate(question.check)
    except re.error as error:
        raise ValueError(str(error)) from error
    return question


def validate(check: Check) -> None:
    """Raise `ValueError` on a check that is none, and `re.error` on a pattern that is none."""
    unknown = sorted(set(check) - Check.__annotations__.keys())
    if unknown:
        raise ValueError(f"unknown check {', '.join(unknown)}")
    if not check:
        raise ValueError("a check that checks nothing")
    if ("items" in check) != ("at_least" in check):
        raise ValueError("items and at_least belong together")
    for pattern in (*check.get("any", ()), *check.get("all", ()), *check.get("none", ())):
        re.compile(pattern)


def sentences(text: str) -> int:
    """Return how many sentences ``text`` has: stretches of words that end in a full stop, ``!`` or ``?``."""
    return len(_SENTENCE.findall(text))


def check(answer: str, check: Check) -> bool:
    """Return whether ``answer`` passes ``check``; every condition that is given must hold."""

    def found(pattern: str) -> bool:
        return re.search(pattern, answer, re.IGNORECASE) is not None

    if "any" in check and not any(map(found, check["any"])):
        return False
    if not all(map(found, check.get("all", ()))):
        return False
    if any(map(found, check.get("none", ()))):
        return False
    if "items" in check:
        present = {item.lower() for item in check["items"] if found(rf"(?<!\w){re.escape(item)}(?!\w)")}
        if len(present) < check["at_least"]:
            return False
    return sentences(answer) >= int(check.get("min_sentences", 0))


@dataclass(frozen=True)
class CapabilityScore:
    """How many questions were answered rightly, in all and by category."""

    right: int
    total: int
    by_category: Mapping[str, tuple[int, int]]

    @property
    def share(self) -> float:
        """The share of right answers, between 0 and 1; 0 when nothing was asked."""
        return self.right / self.total if self.total else 0.0


def score(questions: Sequence[Question], answers: Sequence[str]) -> CapabilityScore:
    """Return the score of ``answers``, given in the order of ``questions``.

    Raises ValueError when their numbers differ.
    """
    if len(questions) != len(answers):
        raise ValueError(f"{len(questions)} questions but {len(answers)} answers")
    by_category: dict[str, tuple[int, int]] = {}
    for question, answer in zip(questions, answers, strict=True):
        right, total = by_category.get(question.category, (0, 0))
        by_category[question.category] = (right + check(answer, question.check), total + 1)
    return CapabilityScore(
        right=sum(right for right, _ in by_category.values()),
        total=sum(total for _, total in by_category.values()),
        by_category=by_category,
    )
