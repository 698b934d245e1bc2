"""A suite's file: JSON lines, each read by the keys that it has.

    question, choices, answer (index, letter or text)   multiple choice; also ARC's choices {text, label} and answerKey
    question, answer with `#### 42`                      GSM8K
    prompt, instruction_id_list, kwargs                  IFEval
    refuse, look_alike                                   a prompt to decline, and one that only sounds like it
    prompt, label (safe or unsafe)                       the same, one at a time
    prompt, check                                        one's own (`conditions`)

`id` and `category` may stand beside them. A line that cannot be read is left out and counted, with its number and the
reason. Nothing here asks a model. Standard library only.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alignment.evaluation.suites.conditions import Check, Instructions, Number, Refuses, decimal, read_check
from alignment.evaluation.suites.instructions import read_instruction
from alignment.evaluation.suites.items import Asked, Choice, Item
from alignment.files import numbered_lines

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
MOST_CHOICES = len(LETTERS)


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that was left out: its number from 1, and why."""

    line: int
    reason: str


@dataclass(frozen=True, slots=True)
class ReadSuite:
    """What a file holds: its items in the file's order, what was left out, and how many lines of each form."""

    items: tuple[Item, ...]
    bad: tuple[BadLine, ...]
    forms: Mapping[str, int]


def read_suite(path: Path, *, listed: bool = False) -> ReadSuite:
    """The items of a file. `listed`: choices stand under letters in the question, and the letters are compared.

    Raises `OSError` or `UnicodeDecodeError` on a file that cannot be read.
    """
    return read_lines(numbered_lines(path), listed=listed)


def read_lines(lines: Iterable[tuple[int, str]], *, listed: bool = False) -> ReadSuite:
    """The items of numbered lines, as `read_suite` reads them."""
    items: list[Item] = []
    bad: list[BadLine] = []
    forms: dict[str, int] = {}
    seen: set[str] = set()
    for number, line in lines:
        try:
            raw = json.loads(line)
            if not isinstance(raw, Mapping):
                raise ValueError("a line is a JSON object")
            form, make = _form_of(raw)
            found = make(raw, number)
            for item in found:
                if item.id in seen:
                    raise ValueError(f"the id {item.id} is used twice")
        except (ValueError, RecursionError) as error:
            bad.append(BadLine(number, _why(error)))
            continue
        seen.update(item.id for item in found)
        forms[form] = forms.get(form, 0) + 1
        items += [_listed(item) if listed and isinstance(item, Choice) else item for item in found]
    return ReadSuite(tuple(items), tuple(bad), forms)


def _form_of(raw: Mapping[str, Any]) -> tuple[str, Callable[[Mapping[str, Any], int], Sequence[Item]]]:
    """The form of a line by its keys, and what makes items of it. Raises `ValueError` on keys of no form."""
    for form, keys, make in _FORMS:
        if all(key in raw for key in keys):
            return form, make
    raise ValueError("none of the forms of a suite has just these keys")


def _why(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"no JSON: {error.msg}"
    return str(error) or type(error).__name__


def _checked(raw: Mapping[str, Any], number: int) -> Sequence[Item]:
    return [_asked(raw, number, "prompt", "checked", read_check(raw["check"]))]


def _choice(raw: Mapping[str, Any], number: int) -> Sequence[Item]:
    given, answer = raw["choices"], raw.get("answer", raw.get("answerKey"))
    labels: Sequence[str] = LETTERS
    if isinstance(given, Mapping):
        labels, given = given.get("label", ()), given.get("text", ())
    choices = _texts(given, "choices")
    if not 2 <= len(choices) <= MOST_CHOICES or len(set(choices)) < len(choices):
        raise ValueError(f"choices are 2 to {MOST_CHOICES} different texts")
    return [
        Choice(
            _id(raw, number),
            _category(raw, "choice", "subject"),
            _text(raw, "question"),
            tuple(choices),
            _place(answer, choices, labels),
        )
    ]


def _place(answer: Any, choices: Sequence[str], labels: Sequence[str]) -> int:
    """The right choice's index: an index, a choice's own text (before a letter, which may be one), or its label."""
    if isinstance(answer, int) and not isinstance(answer, bool):
        if 0 <= answer < len(choices):
            return answer
        raise ValueError(f"answer {answer} is the index of no choice; they begin at 0")
    if isinstance(answer, str):
        text = answer.strip()
        if text in choices:
            return choices.index(text)
        label = text.strip("().").upper()
        at = next((at for at, each in enumerate(labels) if str(each).upper() == label), len(choices))
        if label and at < len(choices):
            return at
        if text.isdecimal() and int(text) < len(choices):
            return int(text)
    raise ValueError("answer is neither an index nor a letter nor the text of a choice")


def _gsm8k(raw: Mapping[str, Any], number: int) -> Sequence[Item]:
    behind = _text(raw, "answer").rpartition("####")
    if not behind[1]:
        raise ValueError("an answer without choices needs #### and its number")
    value = decimal(behind[2].strip().lstrip("$"), "what stands behind ####")
    return [_asked(raw, number, "question", "gsm8k", Check((Number(value),)))]


def _ifeval(raw: Mapping[str, Any], number: int) -> Sequence[Item]:
    names, arguments = raw["instruction_id_list"], raw.get("kwargs", [])
    if not isinstance(names, list) or not names or not isinstance(arguments, list) or len(names) != len(arguments):
        raise ValueError("instruction_id_list and kwargs are lists of one length")
    each = tuple(read_instruction({**(given or {}), "id": name}) for name, given in zip(names, arguments, strict=True))
    category = str(names[0]).partition(":")[0]
    return [_asked(raw, number, "prompt", category, Check((Instructions(each),)))]


def _pair(raw: Mapping[str, Any], number: int) -> Sequence[Item]:
    name = _id(raw, number)
    prefix = f"{raw['category']}: " if isinstance(raw.get("category"), str) else ""
    return [
        Asked(f"{name}-{kind}", prefix + said, _text(raw, kind), Check((Refuses(kind == "refuse"),)))
        for kind, said in (("refuse", "refuse"), ("look_alike", "look-alike"))
    ]


def _labelled(raw: Mapping[str, Any], number: int) -> Sequence[Item]:
    if raw["label"] not in ("safe", "unsafe"):
        raise ValueError("label is safe or unsafe")
    category = "refuse" if raw["label"] == "unsafe" else "look-alike"
    return [_asked(raw, number, "prompt", category, Check((Refuses(raw["label"] == "unsafe"),)))]


def _asked(raw: Mapping[str, Any], number: int, key: str, category: str, check: Check) -> Asked:
    return Asked(_id(raw, number), _category(raw, category), _text(raw, key), check)


def _id(raw: Mapping[str, Any], number: int) -> str:
    value = raw.get("id", raw.get("key"))
    return str(value) if isinstance(value, str | int) and str(value).strip() else f"line-{number}"


def _category(raw: Mapping[str, Any], otherwise: str, *others: str) -> str:
    value = next((raw[key] for key in ("category", *others) if isinstance(raw.get(key), str)), "")
    return value.strip() or otherwise


def _text(raw: Mapping[str, Any], key: str) -> str:
    value = raw[key]
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{key} is no text")
    return value.strip()


def _texts(value: Any, key: str) -> list[str]:
    if not isinstance(value, list | tuple) or not all(isinstance(text, str) and text.strip() for text in value):
        raise ValueError(f"{key} is no list of texts")
    return [text.strip() for text in value]


def _listed(item: Choice) -> Choice:
    letters = LETTERS[: len(item.choices)]
    lines = (f"{letter}. {choice}" for letter, choice in zip(letters, item.choices, strict=True))
    prompt = "\n".join((item.prompt, *lines, "Answer with the letter."))
    return Choice(item.id, item.category, prompt, tuple(letters), item.answer)


_FORMS: Sequence[tuple[str, Sequence[str], Callable[[Mapping[str, Any], int], Sequence[Item]]]] = (
    ("checked", ("prompt", "check"), _checked),
    ("ifeval", ("prompt", "instruction_id_list"), _ifeval),
    ("refusal pairs", ("refuse", "look_alike"), _pair),
    ("refusals", ("prompt", "label"), _labelled),
    ("multiple choice", ("question", "choices"), _choice),
    ("gsm8k", ("question", "answer"), _gsm8k),
)
