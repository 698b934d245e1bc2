"""FastChat's vote log: two conversations side by side and which button was pressed.

leftvote and rightvote, tievote and bothbad_vote become votes; upvote and downvote, on one conversation, become
marks; a log's other lines (chat, share, flag) are no feedback. The two sides must hold the same questions:
where earlier answers differ, there is no one prompt, and the line is skipped. Carries a system message and
turns of user and assistant; how strong a preference was, and a mark beside it, have no place there. A system
message cannot be empty. The rater is the log's address, as far as it goes.
"""

from __future__ import annotations

from collections.abc import Sequence

from alignment.dataset.judgement import Message
from alignment.dataset.reading.feedback import Answer, Feedback, Record, Skip


def write_fastchat(feedback: Feedback) -> Record:
    """One vote."""
    turns = list(feedback.prompt)
    system = turns.pop(0).content if turns and turns[0].role == "system" else ""
    if [turn.role for turn in turns] != ["user", "assistant"] * (len(turns) // 2) + ["user"]:
        raise Skip("turns that fastchat has no place for (tools, a later system message, two of one side)")
    if system == "" and len(turns) < len(feedback.prompt):
        raise Skip("an empty system message, which fastchat has no place for")
    left, right = feedback.answers
    if not feedback.ranked:
        kind = "bothbad_vote"
    elif left.rank == right.rank:
        kind = "tievote"
    else:
        kind = "leftvote" if (left.rank or 0) < (right.rank or 0) else "rightvote"
    return {
        "tstamp": round(feedback.at, 4),
        "type": kind,
        "models": [left.version, right.version],
        "states": [_state(system, turns, side) for side in (left, right)],
        "ip": "",
    }


def _state(system: str, turns: Sequence[Message], answer: Answer) -> Record:
    said = [*turns, Message("assistant", answer.text)]
    return {
        "template_name": "alignloop",
        "system_message": system,
        "roles": ["user", "assistant"],
        "messages": [[turn.role, turn.content] for turn in said],
        "offset": 0,
        "model_name": answer.version,
    }
