"""The columns of a record by their names, where no preset knows it.

All keys of a record are weighed. What it says is told in this order: a rejected answer makes it a pair, ranks or scores
a ranking, two answers and a verdict a vote, one answer and a label a mark; what is left is a demonstration. A key that
is called as verdicts are and is not understood makes no demonstration: it ends in a sentence.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from alignment.dataset.reading import names
from alignment.dataset.reading.cells import are_messages, filled, is_message, listed, opened
from alignment.dataset.reading.mapping import ColumnMap
from alignment.dataset.reading.messages import MEDIA_COLUMNS
from alignment.dataset.reading.transcripts import is_dialogue
from alignment.dataset.reading.verdicts import number, side
from alignment.errors import ReadingProblem

Record = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Plan:
    """How records like this one are read: the format's name, the map, and the columns that it does not read."""

    format: str
    columns: ColumnMap
    asks: bool = True  # whether there is a column for the question
    left: tuple[str, ...] = ()


@dataclass(slots=True)
class _Sight:
    """A record that is looked at, and the columns that were understood."""

    record: Record
    table: bool
    used: set[str] = field(default_factory=set)

    def first(self, known: tuple[str, ...]) -> str:
        return next((name for name in known if name in self.record), "")

    def take(self, name: str) -> tuple[str, ...]:
        self.used.add(name)
        return (name,) if name else ()


def plan_of(record: Record, table: bool = False) -> Plan:
    """How a record is read. Its keys are folded. Raises `ReadingProblem` where it cannot be told, or not all of it."""
    sight = _Sight(record, table)
    base = _beside(sight)
    for way in (_pair, _ranking, _vote, _mark, _demonstration):
        used = set(sight.used)
        found = way(sight, base)
        if found is not None:
            format, columns = found
            return _weighed(sight, format, columns)
        sight.used = used
    raise unknown(record)


def _beside(sight: _Sight) -> ColumnMap:
    """What any kind of record may have beside its answers."""
    tools = sight.first(names.TOOLS)
    rater = sight.first(names.RATERS)
    return ColumnMap(
        system=sight.take(sight.first(names.SYSTEMS)), tools=sight.take(tools), rater=sight.take(rater) if rater else ()
    )


def _asked(sight: _Sight, base: ColumnMap, *, conversation: bool = False) -> ColumnMap:
    """The question. With `conversation`, the messages come before every other column of it."""
    record = sight.record
    talk = sight.first(names.CONVERSATIONS)
    main = sight.first(names.QUESTIONS)
    if talk and (conversation or not main):
        return replace(base, prompt=(sight.take(talk),))
    added = [name for name in names.ADDED if name in record]
    before = sight.first(names.HISTORIES)
    if not main and not added and before:
        return replace(base, prompt=(sight.take(before),))
    columns = [main] if main else []
    for name in added:
        if _is_turns(record[name]) and (main or len(added) > 1) and not before:
            before = name
        else:
            columns.append(name)
    made = replace(base, prompt=tuple(sight.take(name) for name in columns))
    return replace(made, history=sight.take(before)) if before else made


def _is_turns(value: Any) -> bool:
    inner = opened(value) if isinstance(value, str) else value
    return isinstance(inner, list) and (are_messages(inner) or all(isinstance(each, list) for each in inner))


def _speaks(value: Any) -> bool:
    """Whether a value may be an answer: text, messages, or nothing at all."""
    return value is None or isinstance(value, (str, list, tuple, Mapping))


def _pair(sight: _Sight, base: ColumnMap) -> tuple[str, ColumnMap] | None:
    record = sight.record
    sides: dict[str, list[str]] = {"chosen": [], "rejected": []}
    for name in record:
        said = names.better_or_worse(name)
        if said and _speaks(record[name]):
            sides[said].append(name)
    if not sides["rejected"]:
        return None
    rejected = sides["rejected"][0]
    chosen = sides["chosen"][0] if sides["chosen"] else ""
    if not chosen:
        answer = sight.first(names.ANSWERS)
        if answer:
            chosen = answer
        elif not sight.first(names.CONVERSATIONS):
            return None
    made = _asked(sight, base, conversation=not chosen)
    columns = replace(
        made,
        rejected=sight.take(rejected),
        chosen=sight.take(chosen) if chosen else (),
        scores_beside=_scores_beside(record),
    )
    sight.used |= set(columns.scores_beside or ())
    if not columns.prompt and not columns.history:
        _must_not_invent(sight, columns)
    talk = sight.first(names.CONVERSATIONS)
    if talk and columns.prompt != ((talk,),) and not filled(record[talk]):
        sight.used.add(talk)
    first = columns.prompt[0][0] if columns.prompt else ""
    if sight.table:
        return "csv", columns
    if not columns.prompt and is_dialogue(record[chosen]):
        return "hh", columns
    if columns.scores_beside or "generations" in record:
        return "ultrafeedback", columns
    return ("llama-factory" if first in ("conversations", "instruction") else "trl"), columns


def _scores_beside(record: Record) -> tuple[str, str] | None:
    """The columns that score the two answers of a pair."""
    for name in record:
        if "chosen" in names.words(name) and names.holds_feedback(name) and not names.better_or_worse(name):
            other = name.replace("chosen", "rejected")
            if other in record:
                return name, other
    return None


def _must_not_invent(sight: _Sight, columns: ColumnMap) -> None:
    """Two texts without a question: what they have in common is one only where no column could hold it."""
    record = sight.record
    chosen = record[columns.chosen[0]] if columns.chosen else None
    if not isinstance(chosen, str) or is_dialogue(chosen) or are_messages(opened(chosen)):
        return
    texts = [
        name
        for name, value in record.items()
        if name not in sight.used
        and (isinstance(value, str) or _is_turns(value))
        and filled(value)
        and not names.describes(name)
        and not names.holds_feedback(name)
    ]
    if texts:
        raise ReadingProblem(
            f"Which column holds the question cannot be told from the keys ({_keys(record)}). If it is {texts[0]}, say "
            f"so: --map prompt={texts[0]},chosen={columns.chosen[0]},rejected={columns.rejected[0]}."
        )


def _ranking(sight: _Sight, base: ColumnMap) -> tuple[str, ColumnMap] | None:
    record = sight.record
    for name in names.LISTS:
        items = listed(record.get(name)) if name in record else None
        if not items:
            continue
        first = next((item for item in items if isinstance(item, Mapping)), None)
        columns = replace(base, answers=(name,))
        if first is not None and not is_message(first):
            text = next((key for key in names.TEXTS if key in first), "")
            rank = next(
                (key for key in names.RANKS if any(key in item for item in items if isinstance(item, Mapping))), ""
            )
            score = "" if rank else _score_key(items)
            if text and (rank or score):
                columns = replace(columns, text=(text,), rank=(rank,) if rank else (), score=(score,) if score else ())
                return _ranked(sight, name, columns)
            columns = replace(columns, text=(text,)) if text else columns
        rank = next((key for key in names.RANKS_BESIDE if listed(record.get(key)) is not None), "")
        score = "" if rank else next((key for key in names.SCORES_BESIDE if listed(record.get(key)) is not None), "")
        if rank or score:
            sight.used.add(rank or score)
            return _ranked(sight, name, replace(columns, rank=(rank,) if rank else (), score=(score,) if score else ()))
    return None


def _score_key(items: list[Any]) -> str:
    """The key under which answers have their score."""
    for key in names.SCORES:
        if any(isinstance(item, Mapping) and number(item.get(key)) is not None for item in items):
            return key
    return next((key for key in names.SCORES if any(isinstance(item, Mapping) and key in item for item in items)), "")


def _ranked(sight: _Sight, name: str, columns: ColumnMap) -> tuple[str, ColumnMap]:
    asked = _asked(sight, columns)
    sight.used.add(name)
    if name == "generations" or (name == "completions" and "instruction" in sight.record):
        return "ultrafeedback", asked
    return "ranked", asked


def sides_in(keys: list[str]) -> list[tuple[str, str]]:
    """Columns that hold two answers side by side, as `answer_a` and `answer_b`; the better named ones first."""
    found: dict[tuple[str, str], dict[int, str]] = {}
    for key in keys:
        told = names.side_of(key)
        if told is None or not names.names_answers(told[0]):
            continue
        stem, way, which = told
        found.setdefault((stem, way), {})[which] = key
        if way == "1" and which == 0:
            found.setdefault((stem, "0"), {})[1] = key
    pairs = [(each[0], each[1], stem) for (stem, _), each in found.items() if set(each) == {0, 1}]
    return [(a, b) for a, b, stem in sorted(pairs, key=lambda pair: pair[2] == "")]


def _vote(sight: _Sight, base: ColumnMap) -> tuple[str, ColumnMap] | None:
    record = sight.record
    for a, b in sides_in(list(record)):
        if not (_speaks(record[a]) and _speaks(record[b])):
            continue
        columns = replace(base, a=sight.take(a), b=sight.take(b))
        for name in names.VERDICTS:
            value = record.get(name)
            if name in record and isinstance(value, str) and (side(value, a, b) or value in (record[a], record[b])):
                return "two-answers", _asked(sight, replace(columns, winner=(sight.take(name),)))
        for first, second in _score_sides(record):
            sight.used |= {first, second}
            return "two-answers", _asked(sight, replace(columns, score_a=(first,), score_b=(second,)))
        if any(names.holds_feedback(name) or name in names.VERDICTS for name in record if filled(record[name])):
            raise _not_understood(sight, columns)
    return None


def _score_sides(record: Record) -> list[tuple[str, str]]:
    """Columns that score two answers side by side."""
    found: dict[tuple[str, str], dict[int, str]] = {}
    for key in record:
        told = names.side_of(key)
        if told is not None and told[0] in ("score", "rating", "reward") and number(record[key]) is not None:
            found.setdefault((told[0], told[1]), {})[told[2]] = key
            if told[1] == "1":
                found.setdefault((told[0], "0"), {})[1] = key
    return [(each[0], each[1]) for each in found.values() if set(each) == {0, 1}]


def _mark(sight: _Sight, base: ColumnMap) -> tuple[str, ColumnMap] | None:
    record = sight.record
    label = sight.first(names.LABELS)
    answer = sight.first(names.ANSWERS)
    talk = sight.first(names.CONVERSATIONS)
    if not label or not (answer or talk) or isinstance(record[label], (list, Mapping)):
        return None
    made = _asked(sight, replace(base, label=sight.take(label)), conversation=not answer)
    if answer and not made.prompt and not talk:
        return None
    made = replace(made, answer=sight.take(answer)) if answer else made
    plain = bool(answer) and label != "kto_tag" and "instruction" not in record
    return ("trl-unpaired" if plain else "llama-factory"), made


def _demonstration(sight: _Sight, base: ColumnMap) -> tuple[str, ColumnMap] | None:
    record = sight.record
    base = replace(base, rater=())  # whoever wrote an answer to imitate judged nobody's
    answer = sight.first(names.ANSWERS)
    talk = sight.first(names.CONVERSATIONS)
    if answer and (sight.first(names.QUESTIONS) or any(name in record for name in names.ADDED) or talk):
        made = replace(_asked(sight, base), answer=sight.take(answer))
        named = "llama-factory" if "instruction" in record and answer == "output" else "prompt-completion"
    elif talk and _talks(record[talk]):
        if talk == "messages":
            made, named = replace(base, turns=sight.take(talk)), "openai-chat"
        else:
            made, named = replace(base, prompt=(sight.take(talk),)), "llama-factory"
    else:
        return None
    if any(name not in sight.used and names.holds_feedback(name) and filled(value) for name, value in record.items()):
        raise _not_understood(sight, made)
    return named, made


def _talks(value: Any) -> bool:
    inner = opened(value) if isinstance(value, str) else value
    return value is None or isinstance(inner, (list, Mapping)) or is_dialogue(value)


def _weighed(sight: _Sight, format: str, columns: ColumnMap) -> Plan:
    left = tuple(
        name for name, value in sight.record.items() if name not in sight.used and filled(value) and not _known(name)
    )
    return Plan(format, columns, bool(columns.prompt or columns.history or columns.turns), left)


def _known(name: str) -> bool:
    return name in MEDIA_COLUMNS or (names.describes(name) and not names.holds_feedback(name))


def _not_understood(sight: _Sight, columns: ColumnMap) -> ReadingProblem:
    """The sentence that names a column of feedback, and the map that would read it."""
    record = sight.record
    unread = [name for name in record if name not in sight.used and filled(record[name])]
    verdict = next((name for name in unread if name in names.VERDICTS), "") or next(
        name for name in unread if names.holds_feedback(name)
    )
    question = "+".join(".".join(path) for path in _asked(sight, columns).prompt) or "COLUMN"
    value = str(record[verdict])[:40]
    if columns.a:
        values = "" if side(value, columns.a[0], columns.b[0]) else ",a_wins=VALUE,b_wins=VALUE"
        map_ = f"prompt={question},a={columns.a[0]},b={columns.b[0]},winner={verdict}{values}"
    else:
        answer = (columns.answer or columns.turns or columns.prompt[0])[0]
        asked = f"prompt={question}," if question != answer else ""
        marks = "good=1,bad=-1" if value in ("1", "-1") else "good=VALUE,bad=VALUE"
        marks = (
            "good=above:N,bad=below:N" if number(record[verdict]) is not None and value not in ("1", "-1") else marks
        )
        map_ = f"{asked}answer={answer},label={verdict},{marks}"
    return ReadingProblem(
        f"The column {verdict} holds feedback that is not understood ({value}). Say what it means: --map {map_}."
    )


def unknown(record: Record) -> ReadingProblem:
    """The sentence on a record that is none of ours."""
    return ReadingProblem(
        f"The format of this file cannot be told from its keys ({_keys(record)}). Name the columns, as in "
        "--map prompt=COLUMN,a=COLUMN,b=COLUMN,winner=COLUMN or --map prompt=COLUMN,answer=COLUMN, or name the format "
        "with --format."
    )


def _keys(record: Record) -> str:
    return ", ".join(sorted(map(str, record))[:40]) or "none"
