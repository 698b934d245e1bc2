"""Files of prompts as people have them: JSON lines, JSON, a table, or a text with a prompt a line.

A record has its prompt under `prompt` (or `messages`): a text, or messages of which the last is the user's; and
perhaps a `category`. A row that is no prompt is counted with its line and the reason, and never ends the reading. Pure:
values in, values out.
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

from alignment.dataset.judgement import Message
from alignment.dataset.left_out import IN_WORDS, Unusable
from alignment.dataset.reading.containers import Line, open_container
from alignment.dataset.row_files import messages
from alignment.errors import ReadingProblem
from alignment.files import made_of_lines, numbered_lines

COLUMN = "prompt"
KEYS = (COLUMN, "messages")  # where a record has its prompt; the first that is there
HELD_OUT_OF = 7  # one prompt of so many is held out


class PromptRecord(TypedDict, total=False):
    """A prompt as a line of a file: a text, or messages each with `role` and `content`."""

    prompt: str | list[dict[str, str]]
    category: str


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a model is asked: perhaps a system text, then turns that end with the user's; `category` may be empty."""

    messages: tuple[Message, ...]
    category: str = ""

    @property
    def asked(self) -> str:
        """The last turn, which is to be answered."""
        return self.messages[-1].content

    @property
    def earlier(self) -> tuple[Message, ...]:
        """What goes before the last turn."""
        return self.messages[:-1]

    @property
    def hash(self) -> str:
        """SHA-256 of its messages, in hex."""
        turns = [[message.role, message.content] for message in self.messages]
        return hashlib.sha256(json.dumps(turns, ensure_ascii=False).encode()).hexdigest()

    def to_record(self) -> PromptRecord:
        """As a line of a file; one turn of a user is a text."""
        turns = [{"role": message.role, "content": message.content} for message in self.messages]
        record: PromptRecord = {"prompt": self.asked if len(turns) == 1 else turns}
        return {**record, "category": self.category} if self.category else record


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that is no prompt: its line in the file, from 1, and why."""

    line: int
    reason: str


@dataclass(frozen=True, slots=True)
class PromptFile:
    """What a file held: its different prompts in their order, and the rows that are none."""

    prompts: tuple[Prompt, ...]
    bad: tuple[BadRow, ...] = ()


def plain(text: str) -> Prompt:
    """A prompt of one turn."""
    return Prompt((Message("user", text),))


def read_prompts(path: Path) -> PromptFile:
    """The prompts of a file. Raises `ReadingProblem` on one that cannot be read or holds none."""
    found: dict[tuple[Message, ...], Prompt] = {}
    bad: list[BadRow] = []
    for line in _lines(path):
        if line.record is None:
            bad.append(BadRow(line.number, line.problem))
            continue
        try:
            prompt = prompt_of(line.record)
        except ValueError as why:
            bad.append(BadRow(line.number, str(why)))
            continue
        if prompt.messages in found:
            bad.append(BadRow(line.number, "the same prompt as an earlier one"))
        found.setdefault(prompt.messages, prompt)
    if not found:
        first = f" Line {bad[0].line}: {bad[0].reason}." if bad else ""
        raise ReadingProblem(
            f"{path} holds no prompts.{first} "
            'Write JSON lines of {"prompt": …}, a table with a column prompt, or a prompt a line in a .txt file.'
        )
    return PromptFile(tuple(found.values()), tuple(bad))


def written_prompts(path: Path) -> tuple[Prompt, ...]:
    """The prompts of a file that this project wrote, in order. Raises `ReadingProblem` where it was damaged."""
    try:
        return tuple(prompt for _, prompt in made_of_lines(path, prompt_of))
    except (OSError, ValueError) as error:
        raise ReadingProblem(f"The prompts in {path} cannot be read: {error}.") from error


def prompt_of(record: Mapping[str, Any]) -> Prompt:
    """The prompt that a record holds. Raises `ValueError` with the reason why it holds none."""
    if not isinstance(record, Mapping):
        raise ValueError("not a JSON object")
    names = {str(key).strip().lower(): key for key in record}
    key = next((names[name] for name in KEYS if name in names), None)
    if key is None:
        raise ValueError(f'no "{COLUMN}"')
    try:
        turns = tuple(_known(message) for message in messages(_unwrapped(record[key])))
    except Unusable as why:
        raise ValueError(IN_WORDS.get(why.reason, why.reason) + (f" ({why.words})" if why.words else "")) from why
    _check(turns)
    category = record.get(names.get("category", "category"))
    return Prompt(turns, category.strip() if isinstance(category, str) else "")


def held_out(prompts: Sequence[Prompt]) -> tuple[tuple[Prompt, ...], tuple[Prompt, ...]]:
    """The prompts to train on, and one in `HELD_OUT_OF` that is held out, the latter in an order drawn by hash.

    A prompt's hash alone decides, so it stays on its side whatever else its file holds; only where one side would
    be empty does the prompt of the lowest (or highest) hash change it. Raises `ValueError` on fewer than two.
    """
    if len(prompts) < 2:
        raise ValueError("one prompt alone cannot be split")
    order = sorted(prompts, key=lambda prompt: prompt.hash)
    aside = {prompt.hash for prompt in order if int(prompt.hash[-8:], 16) % HELD_OUT_OF == 0} or {order[0].hash}
    if len(aside) == len(order):
        aside.discard(order[-1].hash)
    train = tuple(prompt for prompt in prompts if prompt.hash not in aside)
    return train, tuple(prompt for prompt in order if prompt.hash in aside)


def by_turns(prompts: Iterable[Prompt]) -> tuple[Prompt, ...]:
    """The same prompts, one of every category in turn, so that the first few are of all kinds."""
    groups: dict[str, list[Prompt]] = {}
    places = []
    for prompt in prompts:
        group = groups.setdefault(prompt.category, [])
        places.append((len(group), prompt))
        group.append(prompt)
    return tuple(prompt for _, prompt in sorted(places, key=lambda pair: pair[0]))


def behind(system: str, turns: Sequence[Message]) -> tuple[Message, ...]:
    """Turns behind a system text; a system text of their own comes after it, in the same turn."""
    if not system:
        return tuple(turns)
    own = [turn.content for turn in turns[:1] if turn.role == "system"]
    return (Message("system", "\n\n".join([system, *own])), *turns[len(own) :])


def _lines(path: Path) -> Iterator[Line]:
    if _one_column(path):
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.reader(file)
            next(rows)
            for row in rows:
                if row:
                    yield Line(rows.line_num, {COLUMN: row[0]})
        return
    if path.suffix.lower() == ".txt":
        try:
            for number, text in numbered_lines(path):
                yield Line(number, {COLUMN: text})
        except (OSError, UnicodeDecodeError) as error:
            raise ReadingProblem(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}.") from error
        return
    with open_container(path) as opened:
        yield from opened.lines


def _one_column(path: Path) -> bool:
    """Whether it is a table of this one column, which nothing separates from a text but its header."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            return file.readline(64).strip().strip('"').lower() == COLUMN
    except (OSError, UnicodeDecodeError):  # the container says what is wrong with it
        return False


def _unwrapped(value: Any) -> Any:
    """Messages that stand in a cell as JSON; any other value as it is."""
    if isinstance(value, str) and value.lstrip().startswith("[{"):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


def _known(message: Message) -> Message:
    """The message with its role as chat templates name it."""
    return Message("system", message.content) if message.role == "developer" else message


def _check(turns: Sequence[Message]) -> None:
    """Raise `ValueError` unless these are perhaps a system text, then user and assistant in turn to the user's."""
    said = turns[1:] if turns and turns[0].role == "system" else turns
    if not said or said[-1].role != "user":
        raise ValueError("the last message is not the user's")
    if any(turn.role != ("user", "assistant")[place % 2] for place, turn in enumerate(said)):
        raise ValueError("its messages are not user and assistant in turn")
    if not all(turn.content.strip() for turn in turns):
        raise ValueError("empty")
