"""FastChat's vote log: two conversations side by side and which button was pressed.

leftvote and rightvote, tievote and bothbad_vote become votes; upvote and downvote, on one conversation, become
marks; a log's other lines (chat, share, flag) are no feedback. The two sides must hold the same questions:
where earlier answers differ, there is no one prompt, and the line is skipped. Carries a system message and
turns of user and assistant; how strong a preference was, and a mark beside it, have no place there. A system
message cannot be empty. The rater is the log's address, as far as it goes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from alignment.dataset.judgement import Message
from alignment.dataset.reading.feedback import Answer, Feedback, Record, Skip, mark, same_prefix
from alignment.dataset.reading.turns import last_answer

_RANKS: Mapping[str, tuple[int | None, int | None]] = {
    "leftvote": (1, 2),
    "rightvote": (2, 1),
    "tievote": (1, 1),
    "bothbad_vote": (None, None),
}


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


def read_fastchat(record: Record) -> list[Feedback]:
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
