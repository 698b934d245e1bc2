"""Judgements as plain values: what one person said about the candidates of one ticket.

Standard library only. Ids are opaque strings; there are no names, sessions or tables here, and no rules
about what a judgement is worth (that is `alignment.dataset.compile`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from alignment.terms import Kind as Kind
from alignment.terms import Mark as Mark


class Strength(StrEnum):
    """How much better the better one is."""

    CLEARLY = "clearly"
    SLIGHTLY = "slightly"


class Excluded(StrEnum):
    """Why an answer never trains, whatever people say of it: it is not the model's own word alone. Gravest first."""

    FORCED = "forced"  # whoever asked could decide its words: a grammar, a bias, tokens that are allowed or not
    PREFILLED = "prefilled"  # the model went on after words that were put into its mouth
    HIDDEN_PROMPT = "hidden_prompt"  # the model read more than is recorded: tools, documents, a template's variables
    # An assistant's turn before it is none that a model of ours said to this person, or a message writes turns itself.
    INVENTED_TURNS = "invented_turns"
    STOP_STRING = "stop_string"  # a stop string of whoever asked cut it


@dataclass(frozen=True, slots=True)
class Message:
    """One turn: `role` is system, user, assistant or tool."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Candidate:
    """One answer that was judged.

    `position` is where the server showed it (0 is left or top). `finish_reason` is vLLM's (`stop`,
    `length`) or `stopped` when a person stopped it; only `stop` may become part of a pair. One that is `excluded`
    becomes part of nothing.
    """

    id: str
    text: str
    version: str
    position: int
    finish_reason: str = "stop"
    rank: int | None = None  # 1 is best; equal numbers are ties
    mark: Mark | None = None
    correction: str | None = None
    excluded: Excluded | None = None


@dataclass(frozen=True, slots=True)
class Judgement:
    """One live judgement.

    `context` is everything sent to the model before the candidates; `task` groups tickets on the same
    candidates. `cannot_judge` is a verdict with a reason, not a tie. `at` is seconds since the epoch.
    `gold` says whether the verdict agrees with the known answer, where the task has one. A `repeat` is the same
    person's second verdict on a `task`, given when it was shown again: it tells how steady they are, and nothing else.
    """

    id: str
    task: str
    person: str
    kind: Kind
    context: tuple[Message, ...]
    candidates: tuple[Candidate, ...]
    conversation: str | None = None
    strength: Strength | None = None
    cannot_judge: bool = False
    scripted: bool = False
    at: float = 0.0
    reasons: tuple[str, ...] = field(default=())
    comment: str = ""
    gold: bool | None = None
    repeat: bool = False

    @property
    def trains(self) -> bool:
        """Whether it may become a row; gold verdicts and repeats only tell how far a person can be relied on."""
        return self.gold is None and not self.repeat
