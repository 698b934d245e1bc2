"""FastChat's vote log: two conversations side by side and which button was pressed.

leftvote and rightvote, tievote and bothbad_vote become votes; upvote and downvote, on one conversation, become marks; a
log's other lines (chat, share, flag) are no feedback. The two sides must hold the same questions: where earlier answers
differ, there is no one prompt, and the line is skipped. The rater is the log's address, as far as it goes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from alignment.dataset.judgement import Message
from alignment.dataset.reading.feedback import Answer, Feedback, Record, Skip, mark, same_prefix
from alignment.dataset.reading.turns import last_answer
from alignment.dataset.reading.ways import Ways

_RANKS: Mapping[str, tuple[int | None, int | None]] = {
    "leftvote": (1, 2),
    "rightvote": (2, 1),
    "tievote": (1, 1),
    "bothbad_vote": (None, None),
}


def read_fastchat(record: Record, ways: Ways) -> list[Feedback]:
    """One vote or mark."""
    kind, rater = record["type"], str(record.get("ip") or "")
    if kind in ("upvote", "downvote"):
        state = record.get("state") or record["states"][0]
        prompt, text = last_answer(_turns(state))
        return [mark(prompt, text, kind == "upvote", rater=rater)]
    if kind not in _RANKS:
        raise Skip("not a vote")
    sides = [last_answer(_turns(state)) for state in record["states"]]
    if len(sides) != 2:
        raise Skip("not two sides")
    models = [str(name or "") for name in record.get("models") or ("", "")]
    answers = [
        Answer(text, rank, None if rank else False, version)
        for (_, text), rank, version in zip(sides, _RANKS[kind], models, strict=True)
    ]
    vote = Feedback(same_prefix(sides[0][0], sides[1][0]), tuple(answers), rater=rater)
    return [replace(vote, at=float(record.get("tstamp") or 0.0))]


def is_fastchat(record: Record) -> bool:
    """Whether a record is a line of this log."""
    return "type" in record and ("states" in record or ("state" in record and "tstamp" in record))


def _turns(state: Any) -> list[Message]:
    """A side's turns after its template's own examples; the names of the roles are the template's."""
    user, assistant = state["roles"][:2]
    system = state.get("system_message", state.get("system")) or ""
    turns = [Message("system", system)] if isinstance(system, str) and system else []
    for role, text in state["messages"][int(state.get("offset") or 0) :]:
        if not isinstance(text, str) or role not in (user, assistant):
            raise Skip("a message that is not text")
        turns.append(Message("user" if role == user else "assistant", text))
    return turns
