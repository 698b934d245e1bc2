"""Columns by name: which column holds the question, which the answers, and what a verdict's value means.

The language of `--map` and of the presets. `KEY=COLUMN,KEY=COLUMN,…`:

- two answers: `prompt`, `system`, `a`, `b`, and one of `winner` (with `a_wins`, `b_wins`, `tie`, `both_bad` as values),
  `a_wins_if`, `b_wins_if`, `tie_if`, `both_bad_if` (columns of true or false), `score_a` and `score_b` (higher is
  better); or `chosen` and `rejected`, which say it themselves;
- one answer: `answer`, and `label` with `good` and `bad` as values; without `label` it is a demonstration;
- several answers: `answers` (a list), and `rank` or `score` (of each of them, or a list beside them), and `text`;
- `rater` names who judged; `history` holds the turns before the question, `tools` what could be called.

A column is a name or a path of names and numbers with dots. `+` joins texts by a line break, and of several `winner`
columns each is a rater's. A value is literal, or `below:N` or `above:N`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from alignment.dataset.reading.verdicts import Rule, number, word
from alignment.errors import ReadingProblem

Path = tuple[str, ...]  # names of keys, and numbers of places in lists
Joined = tuple[Path, ...]
NO_RULE = Rule()

COLUMNS: tuple[str, ...] = (
    "prompt",
    "system",
    "history",
    "tools",
    "a",
    "b",
    "chosen",
    "rejected",
    "answer",
    "label",
    "rater",
)
COLUMNS += ("winner", "a_wins_if", "b_wins_if", "tie_if", "both_bad_if", "score_a", "score_b")
COLUMNS += ("answers", "rank", "score", "text")
VALUES = ("a_wins", "b_wins", "tie", "both_bad", "good", "bad")
_JOINED = ("prompt", "winner")
ASK = (
    "Write it as --map prompt=COLUMN,a=COLUMN,b=COLUMN,winner=COLUMN or --map prompt=COLUMN,answer=COLUMN,label=COLUMN."
)


@dataclass(frozen=True, slots=True)
class ColumnMap:
    """Where in a record each part of a feedback stands, and what a verdict's values mean. Empty: there is none.

    `rank`, `score` and `text` are looked for in each of `answers`, and else beside them. `turns`: every answer of this
    conversation that is meant to be learned is a demonstration.
    """

    prompt: Joined = ()
    system: Path = ()
    history: Path = ()
    tools: Path = ()
    chosen: Path = ()
    rejected: Path = ()
    a: Path = ()
    b: Path = ()
    winner: Joined = ()
    a_wins: Rule = NO_RULE
    b_wins: Rule = NO_RULE
    tie: Rule = NO_RULE
    both_bad: Rule = NO_RULE
    a_wins_if: Path = ()
    b_wins_if: Path = ()
    tie_if: Path = ()
    both_bad_if: Path = ()
    score_a: Path = ()
    score_b: Path = ()
    answer: Path = ()
    label: Path = ()
    good: Rule = NO_RULE
    bad: Rule = NO_RULE
    answers: Path = ()
    rank: Path = ()
    score: Path = ()
    text: Path = ()
    rater: Path = ()
    turns: Path = ()
    scores_beside: tuple[str, str] | None = None
    listed: bool = False

    def paths(self) -> dict[str, Joined]:
        """Every column that is named, by what it is named for; not those inside each of several answers."""
        named: dict[str, Joined] = {}
        for each in fields(self):
            value = getattr(self, each.name)
            if each.name in _JOINED and value:
                named[each.name] = value
            elif (
                each.name in (*COLUMNS, "turns")
                and value
                and not (self.answers and each.name in ("rank", "score", "text"))
            ):
                named[each.name] = (value,)
        return named


def worded(made: ColumnMap) -> str:
    """The columns that a map names, in the language of `--map`.

    >>> worded(parse(["prompt=ask+more,a=x,b=y.0,winner=who"]))
    'prompt=ask+more,a=x,b=y.0,winner=who'
    """
    inside = {"rank": made.rank, "score": made.score, "text": made.text} if made.answers else {}
    named = {**made.paths(), **{key: (path,) for key, path in inside.items() if path}}
    return ",".join(f"{key}={'+'.join('.'.join(path) for path in paths)}" for key, paths in named.items())


def parse(texts: Iterable[str]) -> ColumnMap:
    """The map that `--map` describes, given once or several times. Raises `ReadingProblem`."""
    found: dict[str, Any] = {}
    for text in texts:
        for part in text.split(","):
            if not part.strip():
                continue
            key, equals, column = (each.strip() for each in part.partition("="))
            if not equals or not column or key not in (*COLUMNS, *VALUES):
                known = ", ".join((*COLUMNS, *VALUES))
                raise ReadingProblem(f"--map does not know {part.strip()!r}. Its keys are {known}. {ASK}")
            if key in found:
                raise ReadingProblem(f"--map names {key} twice. Name it once.")
            if key in VALUES:
                found[key] = _rule(key, column)
            elif key in _JOINED:
                found[key] = tuple(path_of(each) for each in column.split("+"))
            else:
                found[key] = path_of(column)
    made = ColumnMap(**found, listed=True)
    _complete(made)
    return made


def path_of(text: str) -> Path:
    """A column's path, as `data.prompt` or `annotations.0.value`."""
    return tuple(text.strip().split("."))


def _rule(key: str, text: str) -> Rule:
    begin, colon, bound = text.partition(":")
    if colon and begin in ("below", "above"):
        limit = number(bound)
        if limit is None:
            raise ReadingProblem(f"--map {key}={text} needs a number after the colon, as {begin}:0.")
        return Rule(below=limit) if begin == "below" else Rule(above=limit)
    return Rule((word(text),))


def _complete(made: ColumnMap) -> None:
    """Raises `ReadingProblem` where no feedback could be made of what is named."""
    two = bool(made.a or made.b)
    pair = bool(made.chosen or made.rejected)
    if sum((two, pair, bool(made.answer), bool(made.answers))) != 1:
        raise ReadingProblem(f"--map names no answers, or several kinds of them. {ASK}")
    if two and not (made.a and made.b):
        raise ReadingProblem(f"--map names one of two answers. Name a and b. {ASK}")
    if pair and not (made.chosen and made.rejected):
        raise ReadingProblem("--map names one of chosen and rejected. Name both.")
    by_value, by_score = bool(made.winner), bool(made.score_a or made.score_b)
    by_flag = any((made.a_wins_if, made.b_wins_if, made.tie_if, made.both_bad_if))
    if two and by_value + by_score + by_flag != 1:
        raise ReadingProblem(
            "--map does not say which of two answers is better. Name one of winner, a_wins_if with b_wins_if, "
            "or score_a with score_b."
        )
    if by_score and not (made.score_a and made.score_b):
        raise ReadingProblem("--map names the score of one answer. Name score_a and score_b.")
    if two and by_value and bool(made.a_wins) != bool(made.b_wins):
        raise ReadingProblem("--map names the value for one of two answers. Name a_wins and b_wins.")
    if made.answers and bool(made.rank) == bool(made.score):
        raise ReadingProblem("--map names several answers. Name rank or score, one of them, beside answers.")


def found(record: Any, path: Path) -> Any:
    """What stands at a path; None where there is nothing. A whole name with dots comes before the path."""
    if len(path) == 1 and type(record) is dict and path[0] in record:  # as nearly all columns are
        return record[path[0]]
    if len(path) > 1 and isinstance(record, Mapping):
        whole = ".".join(path)
        if whole in record:
            return record[whole]
    for name in path:
        if isinstance(record, Mapping):
            record = record.get(name) if name in record else _folded(record, name)
        elif isinstance(record, (list, tuple)) and name.lstrip("-").isdigit():
            place = int(name)
            record = record[place] if -len(record) <= place < len(record) else None
        else:
            return None
    return record


def has(record: Any, path: Path) -> bool:
    """Whether there is such a column, empty or not."""
    if len(path) > 1 and isinstance(record, Mapping) and ".".join(path) in record:
        return True
    holder = found(record, path[:-1]) if len(path) > 1 else record
    if isinstance(holder, Mapping):
        return path[-1] in holder or any(str(key).casefold() == path[-1].casefold() for key in holder)
    return found(record, path) is not None


def _folded(record: Mapping[str, Any], name: str) -> Any:
    wanted = name.casefold()
    return next((value for key, value in record.items() if str(key).casefold() == wanted), None)


def must_be_there(made: ColumnMap, records: list[Any]) -> None:
    """Raises `ReadingProblem` where a column that is named is in none of these records, and says which are."""
    for key, paths in made.paths().items():
        for path in paths:
            if not any(has(record, path) for record in records):
                names = dict.fromkeys(name for record in records for name in _names(record, path))
                there = ", ".join(list(names)[:40]) or "none"
                raise ReadingProblem(
                    f"--map {key}={'.'.join(path)}: there is no such column in this file. Its columns: {there}."
                )


def _names(record: Any, path: Path) -> list[str]:
    """The columns at the depth to which a path leads, with what leads there."""
    for depth in range(len(path) - 1, -1, -1):
        holder = found(record, path[:depth]) if depth else record
        if isinstance(holder, Mapping):
            return [".".join((*path[:depth], str(key))) for key in holder]
    return []
