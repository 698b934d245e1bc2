"""UltraFeedback's records, and Argilla's and distilabel's relatives of them.

Written: UltraFeedback's own form, `instruction` and scored `completions`; the best has 10, the worst 1. Read:
that; `generations` with `ratings` (distilabel); binarised pairs with their ratings (`chosen_response`, or
`chosen` beside `chosen-rating` or `score_chosen`); and Argilla's exported records (`fields`, `responses`) with
a ranking question, one ranking for each annotator. Equal scores are a tie. The written form holds one question
and no conversation: rows with a system prompt or several turns are left out and counted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from alignment.dataset.judgement import Message
from alignment.dataset.reading.feedback import Feedback, Record, Skip, ranking, same_prefix, whole
from alignment.dataset.reading.formats.trl import split
from alignment.dataset.reading.turns import messages

BEST, WORST = 10.0, 1.0  # UltraFeedback's overall_score


def write_ultrafeedback(feedback: Feedback) -> Record:
    """One ranking of answers to one question."""
    if len(feedback.prompt) != 1 or feedback.prompt[0].role != "user":
        raise Skip("a conversation of several turns, which ultrafeedback has no place for")
    last = max(answer.rank or 1 for answer in feedback.answers)
    step = (BEST - WORST) / max(1, last - 1)
    return {
        "source": "alignloop",
        "instruction": feedback.prompt[0].content,
        "models": [answer.version for answer in feedback.answers],
        "completions": [
            {
                "model": answer.version,
                "response": answer.text,
                "overall_score": round(BEST - step * ((answer.rank or 1) - 1), 6),
            }
            for answer in feedback.answers
        ],
    }


def read_ultrafeedback(record: Record) -> list[Feedback]:
    """One ranking, or one for each annotator of an Argilla record."""
    if "fields" in record:
        return _argilla(record)
    if "completions" in record:
        done = record["completions"]
        return [_scored(_question(record), [each["response"] for each in done], [_score(each) for each in done])]
    if "generations" in record:
        ratings = record["ratings"] if "ratings" in record else record["rating"]
        return [_scored(_question(record), record["generations"], ratings)]
    if "chosen_response" in record:
        texts = [record["chosen_response"], record["rejected_response"]]
        ratings = [record["chosen_avg_rating"], record["rejected_avg_rating"]]
        return [_scored(_question(record), texts, ratings)]
    ratings = [
        record[key] for key in ("chosen-rating", "rejected-rating", "score_chosen", "score_rejected") if key in record
    ]
    before, chosen = split(record.get("prompt"), record["chosen"])
    other, rejected = split(record.get("prompt"), record["rejected"])
    return [_scored(same_prefix(before, other), [chosen, rejected], ratings)]


def is_ultrafeedback(record: Record) -> bool:
    """Whether a record has the keys of one of these forms."""
    keys = set(record)
    if "fields" in keys:
        return isinstance(record["fields"], Mapping) and isinstance(record.get("responses"), (list, dict))
    return (
        ("completions" in keys and keys & {"instruction", "prompt", "input"} != set())
        or ("generations" in keys and keys & {"rating", "ratings"} != set())
        or {"chosen_response", "rejected_response"} <= keys
        or ({"chosen", "rejected"} <= keys and keys & {"chosen-rating", "score_chosen"} != set())
    )


def _question(record: Record) -> list[Message]:
    for key in ("instruction", "prompt", "input"):
        if key in record:
            return messages(record[key])
    raise Skip("no question before the answer")


def _score(completion: Any) -> Any:
    """The overall score; where it is missing, the mean of the aspects' ratings."""
    for key in ("overall_score", "fine-grained_score"):
        if completion.get(key) is not None:
            return completion[key]
    ratings = [aspect.get("Rating") for aspect in (completion.get("annotations") or {}).values()]
    numbers = [float(rating) for rating in ratings if str(rating).replace(".", "", 1).isdigit()]
    return sum(numbers) / len(numbers) if numbers else None


def _scored(prompt: Sequence[Message], texts: Sequence[Any], scores: Sequence[Any]) -> Feedback:
    numbers = [
        score for score in scores if isinstance(score, (int, float)) and not isinstance(score, bool) and score == score
    ]
    if len(numbers) != len(texts):
        raise Skip("an answer without a score")
    if len(texts) < 2:
        raise Skip("fewer than two answers")
    if not all(isinstance(text, str) for text in texts):
        raise Skip("an answer without a text")
    places = {score: place for place, score in enumerate(sorted(set(numbers), reverse=True), 1)}
    return ranking(prompt, list(texts), [places[score] for score in numbers])


def _argilla(record: Record) -> list[Feedback]:
    """`responses` is a list of annotators' values, or (version 2) questions with a list of values each."""
    fields, found = record["fields"], []
    question = next(
        (fields[key] for key in ("prompt", "instruction", "question", "input", "chat") if key in fields), None
    )
    if question is None:
        raise Skip("no question before the answer")
    responses = record["responses"]
    if isinstance(responses, Mapping):
        answers = [
            (str(each.get("user_id") or ""), {name: each}) for name, list_ in responses.items() for each in list_
        ]
    else:
        done = [each for each in responses if each.get("status", "submitted") == "submitted"]
        answers = [(str(each.get("user_id") or ""), each.get("values") or {}) for each in done]
    for rater, values in answers:
        for value in values.values():
            order = value.get("value") if isinstance(value, Mapping) else None
            if (
                isinstance(order, list)
                and order
                and all(isinstance(item, Mapping) and "rank" in item for item in order)
            ):
                texts = [fields[item["value"]] for item in order]
                found.append(ranking(messages(question), texts, [whole(item["rank"]) for item in order], rater=rater))
    if not found:
        raise Skip("no submitted ranking")
    return found
