"""The ranked form: `{"prompt", "responses": [{"text", "rank"}]}`.

`prompt` is a text for a single question and a list of messages for anything longer. Written ranks start at 1;
read ones may start anywhere, the lowest is the best, equal ones are ties. Carries every role.
"""

from __future__ import annotations

from collections.abc import Mapping

from alignment.dataset.reading.feedback import Feedback, Record, Skip, ranking, whole
from alignment.dataset.reading.turns import messages, records


def write_ranked(feedback: Feedback) -> Record:
    """One ranking."""
    plain = len(feedback.prompt) == 1 and feedback.prompt[0].role == "user"
    return {
        "prompt": feedback.prompt[0].content if plain else records(feedback.prompt),
        "responses": [{"text": answer.text, "rank": answer.rank} for answer in feedback.answers],
    }


def read_ranked(record: Record) -> list[Feedback]:
    """One ranking with its own numbers."""
    responses = record["responses"]
    if not isinstance(responses, list) or len(responses) < 2:
        raise Skip("fewer than two answers")
    if not all(isinstance(each, Mapping) and isinstance(each.get("text"), str) for each in responses):
        raise Skip("an answer without a text")
    return [
        ranking(
            messages(record["prompt"]),
            [each["text"] for each in responses],
            [whole(each["rank"]) for each in responses],
        )
    ]
