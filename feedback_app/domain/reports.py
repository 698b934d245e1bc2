"""What is kept of a round and said about it, as JSON: its rows, its evaluation, its report. Keys are those of the API.

A round that ended early, or in an older version of this product, has fewer of them.
"""

from __future__ import annotations

from typing import TypedDict

from alignment.records import (
    EvidenceRecord,
    LanguageRecord,
    LeftOutRows,
    PersonalRecord,
    SampleRecord,
    SideCounts,
    StageMetrics,
)
from alignment.terms import Setting


class PersonCount(TypedDict):
    """How many live judgements one person gave."""

    name: str
    scripted: bool
    count: int


class JudgementCounts(TypedDict):
    """Live judgements, as `status` and exports show them; see `store.judgements`."""

    total: int
    scripted: int
    by_kind: dict[str, int]
    scripted_by_kind: dict[str, int]
    by_person: list[PersonCount]
    by_version: dict[str, int]
    scripted_by_version: dict[str, int]


class SuspectRecord(TypedDict):
    """An account to look at, as `alignment.suspects.Flag` has it; `person` is an id."""

    person: str
    rule: str
    p: float
    share: float
    count: int
    about: str


class RoundRows(TypedDict, total=False):
    """A round's `rows`: pairs by side and by the judgements behind them, the other rows, and what became none."""

    train: int
    held_out: int
    by_kind: dict[str, int]
    marks: SideCounts
    sft: SideCounts
    groups: SideCounts
    judgements: int
    scripted: int
    reward_only: SideCounts
    contradictions: dict[str, int]
    people: int
    capped: dict[str, int]
    skipped: dict[str, int]
    implicit: int
    set_aside: int
    suspects: list[SuspectRecord]
    personal: PersonalRecord
    left_out: dict[str, int]
    left_out_rows: dict[str, LeftOutRows]


class StartedFrom(TypedDict):
    """What training started from: base or incumbent, and the version that it then was."""

    start: str
    version: str


class VoteCounts(TypedDict):
    """The blind votes that decided."""

    wins: int
    losses: int
    ties: int
    votes: int


class PromptsUsed(TypedDict):
    """Which prompts a round used: the set, the SHA-256 of its files, and how many of each part there are."""

    set: str
    hash: str
    train: int
    held_out: int


class Evaluation(EvidenceRecord, total=False):
    """A round's `evaluation`: the evidence, metrics of its last stage and of all, the votes once they decided.

    `prompts` are those that methods sampled from and that evaluations asked.
    """

    training: StageMetrics
    chain: dict[str, StageMetrics]
    started_from: StartedFrom
    prompts: PromptsUsed
    votes: VoteCounts


class Points(TypedDict):
    """Percentage points lost, and the upper bound."""

    points: float
    upper: float


class CapabilityFigures(TypedDict, total=False):
    """Shares of questions answered right, and what was lost."""

    n: int
    share: float
    base: float
    incumbent: float
    lost_to_base: Points
    lost_to_incumbent: Points


class KlFigures(TypedDict):
    """Nats per answer."""

    to_incumbent: float | None
    to_base: float | None


class VoteFigures(TypedDict):
    """Blind votes for a version, ties as half."""

    n: int
    wins: int
    losses: int
    ties: int
    win_rate: float
    interval: list[float]


class Proxy(TypedDict):
    """Mean reward by the round's reward model before and after training."""

    before: float
    after: float
    gain: float


class AnswerFigures(TypedDict):
    """How its answers look: words, and shares."""

    words: float | None
    repetition: float | None
    refusals: float | None
    endless: float | None


class RoundFigures(TypedDict):
    """What one round's version gained and what that cost; see `loop.history.figures`."""

    round: int | None
    version: str
    method: str
    status: str
    incumbent: str | None
    start_from: str
    started_from: str | None
    capability: CapabilityFigures
    language: LanguageRecord | None
    kl: KlFigures
    distance: float | None
    votes: VoteFigures | None
    proxy: Proxy | None
    answers: AnswerFigures
    length_ratio: float | None


class StageReport(TypedDict, total=False):
    """One stage of a round; `seconds` so far."""

    name: str
    status: str
    seconds: float
    error: str


class RoundReport(TypedDict):
    """All that is said about a round; see `loop.report.round_report`."""

    round: int
    method: str
    status: str
    verdict: str | None
    reasons: list[str]
    version: str | None
    incumbent: str | None
    start_from: str
    waiting: str
    stages: list[StageReport]
    seconds: dict[str, float]
    rows: RoundRows
    evaluation: Evaluation
    figures: RoundFigures | None
    samples: list[SampleRecord]
    seed: int
    settings: dict[str, Setting]
    snapshot: str | None
    watermark: int
    created_at: float
    finished_at: float | None
