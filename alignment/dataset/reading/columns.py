"""A record read by a map of its columns: the question, the answers, and what was said of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from alignment.dataset.judgement import Message
from alignment.dataset.reading.cells import empty, filled, listed, messages_in
from alignment.dataset.reading.feedback import (
    MOST_ANSWERS,
    Answer,
    Feedback,
    Skip,
    demonstration,
    mark,
    pair,
    ranking,
    same_prefix,
    whole,
)
from alignment.dataset.reading.mapping import ColumnMap, Path, found
from alignment.dataset.reading.messages import (
    HAS_IMAGES,
    answer,
    conversation,
    stands_alone,
    turns_of,
    with_system,
    without_images,
)
from alignment.dataset.reading.transcripts import is_dialogue, is_rendered
from alignment.dataset.reading.turns import with_tools
from alignment.dataset.reading.verdicts import is_true, number, side, word
from alignment.dataset.reading.ways import Ways
from alignment.errors import ReadingProblem

__all__ = ["HAS_IMAGES", "read_columns"]

Turns = tuple[Message, ...]
_STATUSES, _NO_VOTE = ("status", "response_status", "annotation_status"), ("discarded", "draft")
_RANKS = {"a": (1, 2), "b": (2, 1), "tie": (1, 1)}


def read_columns(record: Mapping[str, Any], columns: ColumnMap, ways: Ways) -> list[Feedback]:
    """The feedback of a record. Raises `Skip` with the reason where there is none."""
    _submitted(record, columns)
    record = without_images(record, ways)
    if columns.turns:
        return _learned(record, columns, ways)
    before = _prompt(record, columns, ways)
    if columns.rejected:
        read = [_pair(each, columns, list(before), ways) for each in _apart(record, columns)]
    elif columns.a:
        read = _two(record, columns, before, ways)
    elif columns.answers:
        read = [_several(record, columns, before, ways)]
    else:
        read = [_one(record, columns, before, ways)]
    if any(_opens(found(record, path)) for path in columns.prompt):
        read = [
            replace(each, answers=tuple(replace(a, text=a.text.removeprefix(" ")) for a in each.answers))
            for each in read
        ]
    rater = found(record, columns.rater) if columns.rater else None
    if filled(rater) and len(columns.winner) < 2:
        read = [replace(each, rater=str(rater)) for each in read]
    if not columns.system and not columns.tools:
        return read
    return [replace(each, prompt=_dressed(record, columns, each.prompt)) for each in read]


def _submitted(record: Mapping[str, Any], columns: ColumnMap) -> None:
    """Raises `Skip` where a record says of itself that it is no vote."""
    for name in _STATUSES:
        if (
            name in record
            and word(record[name]) in _NO_VOTE
            and not any((name,) in p for p in columns.paths().values())
        ):
            raise Skip("a response that was not submitted", record[name])


def _prompt(record: Mapping[str, Any], columns: ColumnMap, ways: Ways) -> list[Message]:
    """The turns that the columns of the question hold, texts side by side joined by a line break."""
    turns: list[Message] = []
    texts: list[str] = []
    if columns.history:
        turns += _history(found(record, columns.history), ways)
    for path in columns.prompt:
        value = found(record, path)
        if type(value) is str and len(columns.prompt) == 1 and stands_alone(value):
            turns.append(Message("user", value))
            continue
        value = messages_in(value) if isinstance(value, str) else value
        if isinstance(value, (int, float)) and not isinstance(value, bool) and filled(value):
            value = str(value)
        if empty(value):
            continue
        if isinstance(value, str) and len(columns.prompt) > 1:
            texts.append(value)
            continue
        found_turns = conversation(value, "user", ways, listed=columns.listed)
        turns += [Message("user", "\n".join(texts))] * bool(texts) + found_turns
        texts = []
    return turns + ([Message("user", "\n".join(texts))] if texts else [])


def _opens(value: Any) -> bool:
    """Whether a prompt is a transcript that ends where the answer begins, often with a blank between them."""
    return isinstance(value, str) and (is_dialogue(value) or is_rendered(value))


def _history(value: Any, ways: Ways) -> list[Message]:
    if empty(value):
        return []
    inner = listed(value)
    return conversation(inner if inner is not None else value, "user", ways)


def _dressed(record: Mapping[str, Any], columns: ColumnMap, turns: Sequence[Message]) -> Turns:
    """The turns after the system message and the tools that stand beside them."""
    if columns.system:
        turns = with_system(found(record, columns.system), turns)
    return with_tools(found(record, columns.tools), turns) if columns.tools else tuple(turns)


# --- two answers -----------------------------------------------------------------------------------------


def _apart(record: Mapping[str, Any], columns: ColumnMap) -> list[Mapping[str, Any]]:
    """One record for each better and each worse answer, where a column holds a list of several texts."""
    if columns.listed:
        return [record]
    sides = []
    for path in (columns.chosen, columns.rejected):
        value = found(record, path) if len(path) == 1 else None
        several = isinstance(value, list) and bool(value) and all(isinstance(each, str) for each in value)
        sides.append([(path, each) for each in value] if several and isinstance(value, list) else [])
    if not any(sides):
        return [record]
    if sum(len(side) or 1 for side in sides) > MOST_ANSWERS:
        raise Skip(f"more than {MOST_ANSWERS} answers")
    made = [record]
    for texts in filter(None, sides):
        made = [{**each, path[0]: text} for each in made for path, text in texts]
    return made


def _pair(record: Mapping[str, Any], columns: ColumnMap, before: list[Message], ways: Ways) -> Feedback:
    rejected = found(record, columns.rejected)
    if columns.chosen:
        chosen = found(record, columns.chosen)
        if not columns.prompt and isinstance(chosen, str) and isinstance(rejected, str) and not ways.asked:
            cut = _cut(chosen, rejected, ways)
            if cut is not None:
                return cut
        if chosen is None or rejected is None:
            raise Skip(f"no {'chosen' if chosen is None else 'rejected'} answer")
        if before and before[-1].role == "assistant":  # the whole conversation may stand beside the better answer
            before = _up_to(before, answer(chosen, ways, listed=columns.listed)[1])
        start, good = _split(before, chosen, ways, columns)
    else:  # the conversation ends in the better answer
        if rejected is None:
            raise Skip("no rejected answer")
        if not before or before[-1].role != "assistant":
            raise Skip("does not end in an answer")
        start, good = tuple(before[:-1]), before[-1].content
        before = before[:-1]
    other, bad = _split(before, rejected, ways, columns)
    made = pair(same_prefix(start, other), good, bad)
    if columns.scores_beside:
        scores = [number(record.get(key)) for key in columns.scores_beside]
        if scores[0] is not None and scores[0] == scores[1]:
            return replace(made, answers=(Answer(good, 1), Answer(bad, 1)))
        if scores[0] is not None and scores[1] is not None and scores[0] < scores[1]:
            ways.notice("In {n} rows the scores say the opposite of chosen and rejected, which were read.")
    return made


def _split(before: list[Message], value: Any, ways: Ways, columns: ColumnMap) -> tuple[Turns, str]:
    """What stands before an answer, and the answer, which may carry the conversation before it or a part of it."""
    if type(value) is str and before and stands_alone(value):
        return _continued(before, value)
    earlier, text = answer(value, ways, listed=columns.listed)
    if (
        columns.listed
        and before
        and earlier
        and all(turn.role == "assistant" for turn in (*earlier,))
        and _texts(value)
    ):
        return _woven(before, [*(turn.content for turn in earlier), text])
    if not before:
        return tuple(earlier), text
    if not earlier:
        return _continued(before, text)
    start = [turn for turn in before if turn.role != "system"] or before
    bare = [turn for turn in earlier if turn.role != "system"]
    if bare[: len(start)] == start or bare[-len(start) :] == start:
        kept = [turn for turn in before if turn.role == "system" and turn not in earlier]
        return (*kept, *earlier), text
    return (*before, *earlier), text


def _texts(value: Any) -> bool:
    inner = listed(value)
    return inner is not None and all(isinstance(each, str) for each in inner)


def _woven(before: list[Message], texts: list[str]) -> tuple[Turns, str]:
    """Questions of one list and answers of another, in turn."""
    asked = [turn for turn in before if turn.role == "user"]
    if len(asked) != len(texts):
        raise Skip("not as many answers as questions")
    turns = [turn for turn in before if turn.role == "system"]
    for question, text in zip(asked, texts, strict=True):
        turns += [question, Message("assistant", text)]
    return tuple(turns[:-1]), texts[-1]


def _continued(before: list[Message], text: str) -> tuple[Turns, str]:
    """An answer to these turns; where they end in its beginning, the two are one."""
    if before[-1].role == "assistant":
        return tuple(before[:-1]), before[-1].content + text
    return tuple(before), text


def _cut(chosen: str, rejected: str, ways: Ways) -> Feedback | None:
    """What two texts begin with is the question, as TRL cuts them; None where they are conversations."""
    if any(turn.role != "assistant" for text in (chosen, rejected) for turn in conversation(text, "assistant", ways)):
        return None
    pairs = enumerate(zip(chosen, rejected, strict=False))
    size = next((i for i, (a, b) in pairs if a != b), min(len(chosen), len(rejected)))
    if size and chosen[size - 1] == " ":
        size -= 1
    prompt = (Message("user", chosen[:size]),) if chosen[:size].strip() else ()
    return pair(prompt, chosen[size:], rejected[size:])


def _two(record: Mapping[str, Any], columns: ColumnMap, before: list[Message], ways: Ways) -> list[Feedback]:
    """Two answers as they were shown, one vote for each column of a verdict."""
    values = [found(record, path) for path in (columns.a, columns.b)]
    if any(value is None for value in values):
        raise Skip("one of two answers is missing")
    (left, first), (right, second) = (_split(before, value, ways, columns) for value in values)
    prompt = same_prefix(left, right)
    made, problem = [], None
    for rater, verdict in _verdicts(record, columns, (first, second)):
        if isinstance(verdict, Skip):
            problem = verdict
            continue
        ranks = _RANKS.get(verdict)
        said = [
            Answer(text, ranks[i] if ranks else None, None if ranks else False)
            for i, text in enumerate((first, second))
        ]
        made.append(Feedback(prompt, tuple(said), rater=rater))
    if not made:
        raise problem or Skip("no verdict")
    if problem is not None:
        ways.notice("{n} of several raters gave no verdict; the others' were read.")
    return made


def _verdicts(record: Mapping[str, Any], columns: ColumnMap, texts: tuple[str, str]) -> list[tuple[str, str | Skip]]:
    if columns.score_a:
        return [("", _by_score(record, columns))]
    if not columns.winner:
        return [("", _by_flag(record, columns))]
    several = len(columns.winner) > 1
    return [(".".join(path) if several else "", _by_value(record, path, columns, texts)) for path in columns.winner]


def _by_value(record: Mapping[str, Any], path: Path, columns: ColumnMap, texts: tuple[str, str]) -> str | Skip:
    value, name = found(record, path), ".".join(path)
    if not filled(value):
        return Skip(f"no verdict in {name}")
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    for meaning in ("a", "b", "tie", "both_bad"):
        rule = getattr(columns, meaning if meaning in ("tie", "both_bad") else f"{meaning}_wins")
        if rule and rule.fits(value):
            return meaning
    if columns.a_wins or columns.b_wins:
        return Skip(f"{name} is no verdict that a rule names", value)
    if number(value) is not None and word(value) not in (word(columns.a[-1]), word(columns.b[-1])):
        raise ReadingProblem(
            f"{name} holds numbers ({str(value)[:20]}), and which answer a number means is never guessed. Say it with "
            "--map …,a_wins=VALUE,b_wins=VALUE."
        )
    if isinstance(value, str) and value in texts:
        return "a" if value == texts[0] else "b"
    return side(value, columns.a[-1], columns.b[-1]) or Skip(f"{name} is no verdict that a rule names", value)


def _by_flag(record: Mapping[str, Any], columns: ColumnMap) -> str | Skip:
    """Exactly one of the columns of true and false is true."""
    said = []
    for meaning, path in (
        ("a", columns.a_wins_if),
        ("b", columns.b_wins_if),
        ("tie", columns.tie_if),
        ("both_bad", columns.both_bad_if),
    ):
        if path and is_true(found(record, path)):
            said.append(meaning)
    return said[0] if len(said) == 1 else Skip("no verdict" if not said else "more than one verdict")


def _by_score(record: Mapping[str, Any], columns: ColumnMap) -> str | Skip:
    first, second = number(found(record, columns.score_a)), number(found(record, columns.score_b))
    if first is None or second is None:
        return Skip("an answer without a score")
    return "tie" if first == second else "a" if first > second else "b"


# --- several answers -------------------------------------------------------------------------------------


def _several(record: Mapping[str, Any], columns: ColumnMap, before: list[Message], ways: Ways) -> Feedback:
    items = listed(found(record, columns.answers))
    if items is None:
        raise Skip("the answers are not a list")
    places = columns.rank or columns.score
    beside = listed(found(record, places))
    if beside is not None and len(beside) != len(items):
        raise Skip("not as many ranks as answers")
    texts, values, start = [], [], None
    for number_, item in enumerate(items):
        value = beside[number_] if beside is not None else found(item, places)
        said = found(item, columns.text) if columns.text and isinstance(item, Mapping) else item
        if not isinstance(said, (str, list, dict)):
            raise Skip("an answer without a text")
        if value is None or value == "" or (columns.score and number(value) is None):
            continue
        turns, text = _split(before, said, ways, columns)
        start = turns if start is None else same_prefix(start, turns)
        texts.append(text)
        values.append(value)
    if len(texts) < 2:
        raise Skip(
            "fewer than two answers" if len(items) < 2 else f"an answer without a {'rank' if columns.rank else 'score'}"
        )
    if len(texts) < len(items):
        ways.notice("Answers without a rank or score were left out of {n} rankings.")
    if columns.rank:
        ranks = [whole(value) for value in values]
    else:
        numbers = [number(value) or 0.0 for value in values]
        order = {score: place for place, score in enumerate(sorted(set(numbers), reverse=True), 1)}
        ranks = [order[score] for score in numbers]
    return ranking(start or (), texts, ranks)


# --- one answer ------------------------------------------------------------------------------------------


def _one(record: Mapping[str, Any], columns: ColumnMap, before: list[Message], ways: Ways) -> Feedback:
    """A mark, or without a label a demonstration; without a column of the answer it ends the conversation."""
    if columns.answer:
        value = found(record, columns.answer)
        if value is None:
            raise Skip("no answer")
        if isinstance(value, (int, float)):
            value = str(value)
        before = _up_to(before, value)
        prompt, text = _split(before, value, ways, columns)
    else:
        if not before or before[-1].role != "assistant":
            raise Skip("does not end in an answer")
        prompt, text = tuple(before[:-1]), before[-1].content
        if not columns.label and not turns_of(found(record, columns.prompt[-1]), "user", ways)[-1].learned:
            raise Skip("no answer that is meant to be learned")
    if not columns.label:
        return demonstration(prompt, text)
    value, name = found(record, columns.label), ".".join(columns.label)
    if columns.good or columns.bad:
        good = (
            True
            if columns.good and columns.good.fits(value)
            else False
            if columns.bad and columns.bad.fits(value)
            else None
        )
    else:
        good = is_true(value)
    if good is None:
        raise Skip(f"{name} is not true or false", value)
    return mark(prompt, text, good)


def _up_to(before: list[Message], value: Any) -> list[Message]:
    """The turns before an answer that a conversation, which ends in one, holds too."""
    if not before or before[-1].role != "assistant":
        return before
    places = [i for i, turn in enumerate(before) if turn.role == "assistant" and turn.content == value]
    return before[: places[-1]] if places and isinstance(value, str) else before


def _learned(record: Mapping[str, Any], columns: ColumnMap, ways: Ways) -> list[Feedback]:
    """A demonstration for each answer of a conversation that is meant to be learned."""
    turns = turns_of(found(record, columns.turns), "user", ways)
    if not any(turn.message.role == "assistant" for turn in turns):
        raise Skip("no answer")
    said = [turn.message for turn in turns]
    read = [
        demonstration(_dressed(record, columns, said[:place]), turn.message.content)
        for place, turn in enumerate(turns)
        if turn.message.role == "assistant" and turn.learned
    ]
    if not read:
        raise Skip("no answer that is meant to be learned")
    return read
