"""The ranked form: `{"prompt", "responses": [{"text", "rank"}]}`.

`prompt` is a text for a single question and a list of messages for anything longer. Written ranks start at 1;
read ones may start anywhere, the lowest is the best, equal ones are ties. Carries every role.
"""

from __future__ import annotations

from alignment.dataset.reading.feedback import Feedback, Record
from alignment.dataset.reading.turns import records


def write_ranked(feedback: Feedback) -> Record:
    """One ranking."""
    plain = len(feedback.prompt) == 1 and feedback.prompt[0].role == "user"
    return {
        "prompt": feedback.prompt[0].content if plain else records(feedback.prompt),
        "responses": [{"text": answer.text, "rank": answer.rank} for answer in feedback.answers],
    }
