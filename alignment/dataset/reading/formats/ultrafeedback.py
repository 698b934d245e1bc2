"""UltraFeedback's records, and Argilla's and distilabel's relatives of them.

Written: UltraFeedback's own form, `instruction` and scored `completions`; the best has 10, the worst 1. Read:
that; `generations` with `ratings` (distilabel); binarised pairs with their ratings (`chosen_response`, or
`chosen` beside `chosen-rating` or `score_chosen`); and Argilla's exported records (`fields`, `responses`) with
a ranking question, one ranking for each annotator. Equal scores are a tie. The written form holds one question
and no conversation: rows with a system prompt or several turns are left out and counted.
"""

from __future__ import annotations

from alignment.dataset.reading.feedback import Feedback, Record, Skip

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
