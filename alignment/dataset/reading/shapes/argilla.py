"""Argilla's records, as its export, its SDK (`to_list`, flattened or not) and the hub have them.

A ranking question orders fields (names from the best on, or objects of value and rank), a label question names the
better one, and rating questions (one for each answer) order them by their ratings. One verdict for each person who
submitted one; drafts, discarded responses and suggestions of a model are no votes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from alignment.dataset.reading import names
from alignment.dataset.reading.cells import filled, listed
from alignment.dataset.reading.feedback import Answer, Feedback, Record, Skip, pair, whole
from alignment.dataset.reading.messages import answer, conversation, with_system
from alignment.dataset.reading.verdicts import number, side
from alignment.dataset.reading.ways import Ways

_QUESTIONS = (*names.QUESTIONS, *names.ADDED, *names.CONVERSATIONS)
_OWN = (
    "id",
    "_id",
    "status",
    "external_id",
    "inserted_at",
    "updated_at",
    "_server_id",
    "metadata",
    "vectors",
    "suggestions",
)
_NOT_SUBMITTED = "no submitted response (drafts, discarded ones and suggestions are no votes)"


def is_argilla(record: Record) -> bool:
    """Whether a record has fields and what people answered."""
    return isinstance(record.get("fields"), Mapping) and isinstance(record.get("responses"), (list, Mapping))


def is_flat(record: Record) -> bool:
    """Whether a record is flattened: `QUESTION.responses` beside the fields."""
    return any(key.endswith(".responses") for key in record)


def read_flat(record: Record, ways: Ways) -> list[Feedback]:
    """The verdicts of a flattened record."""
    questions = [key.removesuffix(".responses") for key in record if key.endswith(".responses")]
    fields = {
        key: value
        for key, value in record.items()
        if "." not in key and key not in _OWN and isinstance(value, (str, list))
    }
    responses = {}
    for name in questions:
        values = listed(record[f"{name}.responses"]) or []
        people = listed(record.get(f"{name}.responses.users")) or [""] * len(values)
        states = listed(record.get(f"{name}.responses.status")) or ["submitted"] * len(values)
        responses[name] = [
            {"value": value, "user_id": person, "status": state}
            for value, person, state in zip(values, people, states, strict=False)
        ]
    return read_argilla({"fields": fields, "responses": responses}, ways)


def read_argilla(record: Record, ways: Ways) -> list[Feedback]:
    """The verdicts of a record, one for each person and question."""
    fields = {key: value for key, value in record["fields"].items() if filled(value)}
    asked = next((key for key in _QUESTIONS if key in fields), None)
    if asked is None:
        raise Skip("no question before the answer")
    prompt = conversation(fields[asked], "user", ways)
    system = next((key for key in names.SYSTEMS if key in fields), None)
    prompt = with_system(fields.get(system or ""), prompt)
    rest = [key for key in fields if key not in (asked, system)]
    texts = {key: answer(fields[key], ways)[1] for key in rest if isinstance(fields[key], (str, list))}
    found: list[Feedback] = []
    problem: Skip | None = None
    for rater, values in _submitted(record["responses"]):
        try:
            found += _said(values, prompt, texts, rater)
        except Skip as reason:
            problem = reason
    if not found:
        raise problem or Skip(_NOT_SUBMITTED)
    return found


def _submitted(responses: Any) -> Iterable[tuple[str, dict[str, Any]]]:
    """Each person who submitted something, and their value for each question (version 1 and 2 of the export)."""
    people: dict[str, dict[str, Any]] = defaultdict(dict)
    if isinstance(responses, Mapping):
        for name, given in responses.items():
            for each in given or []:
                if str(each.get("status") or "submitted") == "submitted":
                    people[str(each.get("user_id") or "")][name] = each.get("value")
    else:
        for each in responses:
            if str(each.get("status") or "submitted") == "submitted":
                for name, value in (each.get("values") or {}).items():
                    people[str(each.get("user_id") or "")][name] = (
                        value.get("value") if isinstance(value, Mapping) else value
                    )
    return people.items()


def _said(values: Mapping[str, Any], prompt: list[Any], texts: Mapping[str, str], rater: str) -> list[Feedback]:
    """What one person said: rankings, labels that name an answer, and ratings of the answers."""
    found = []
    ratings: dict[str, float] = {}
    problem: Skip | None = None
    for name, value in values.items():
        value = listed(value) if isinstance(value, str) and value.startswith("[") else value
        rated = _rated(name, texts)
        if isinstance(value, list) and value:
            found.append(_ranking(value, prompt, texts, rater))
        elif number(value) is not None and not isinstance(value, str):
            if rated:
                ratings[rated] = number(value) or 0.0
            else:
                problem = Skip("a rating that names none of the answers", name)
        elif isinstance(value, str) and value in texts:
            found += [pair(prompt, texts[value], text, rater=rater) for key, text in texts.items() if key != value]
        elif isinstance(value, str) and len(texts) == 2 and (better := side(value, *texts)):
            a, b = texts.values()
            ranks = {"a": (1, 2), "b": (2, 1), "tie": (1, 1)}.get(better)
            said = (
                (Answer(a, ranks[0]), Answer(b, ranks[1])) if ranks else (Answer(a, good=False), Answer(b, good=False))
            )
            found.append(Feedback(tuple(prompt), said, rater=rater))
        elif filled(value):
            problem = Skip(f"{name} names none of the answers", value)
    if len(ratings) > 1:
        order = {score: place for place, score in enumerate(sorted(set(ratings.values()), reverse=True), 1)}
        answers = tuple(Answer(texts[key], order[score]) for key, score in ratings.items())
        found.append(Feedback(tuple(prompt), answers, rater=rater))
    elif ratings and not found:
        problem = Skip("a rating of one answer alone")
    if not found and problem is not None:
        raise problem
    return found


def _rated(question: str, texts: Mapping[str, str]) -> str:
    """The answer that a rating question is about, by its name."""
    parts = set(names.words(question))
    fitting = [key for key in texts if key in question or set(names.words(key)) <= parts]
    return max(fitting, key=len, default="")


def _ranking(value: list[Any], prompt: list[Any], texts: Mapping[str, str], rater: str) -> Feedback:
    if all(isinstance(item, str) for item in value):
        value = [{"value": item, "rank": place} for place, item in enumerate(value, 1)]
    ranks = {}
    for item in value:
        if not isinstance(item, Mapping) or item.get("value") not in texts or item.get("rank") is None:
            raise Skip("a ranking that names none of the answers")
        ranks[item["value"]] = whole(item["rank"])
    if len(ranks) < 2:
        raise Skip("fewer than two answers")
    return Feedback(tuple(prompt), tuple(Answer(texts[key], rank) for key, rank in ranks.items()), rater=rater)
