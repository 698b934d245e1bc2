"""What is kept as JSON of snapshots, stages and evaluations: counts, records of steps, metrics, evidence.

Every key stands here, so that the loop and the pages, which read them back from files and the database, spell them
alike. Whoever writes one fills in what was measured; what each means for a method stands with its `train`.
"""

from __future__ import annotations

from typing import TypedDict


class StepRecord(TypedDict, total=False):
    """One line of `progress.jsonl`, or what was measured at one step of a run.

    `waiting` says in words which people are waited for.
    """

    number: int
    step: int
    steps: int
    epoch: float
    seconds_left: float
    waiting: str
    loss: float
    value_loss: float
    margin: float
    accuracy: float
    logps_chosen: float
    logps_rejected: float
    nll: float
    reward: float
    kl: float
    beta: float
    entropy: float
    clipped: float
    grad_norm: float
    updates: int
    length: float
    finished: float
    pairs: int
    revised: int
    sampler_gap: float


class RowCounts(TypedDict, total=False):
    """Rows that were trained on or written, by side or by kind."""

    train: int
    held_out: int
    likes: int
    dislikes: int
    pairs: int
    rankings: int
    sft: int
    people: int


class LeftOutRows(TypedDict):
    """The first words about rows that were left out for one reason, and the judgements behind such rows."""

    words: str
    judgements: list[str]


class SeenMilestone(TypedDict):
    """One policy on the way as a watch saw it; `distance` is √KL, `wins` counts ties as half."""

    step: int
    distance: float
    reward: float
    wins: float
    judged: int


class WatchRecord(TypedDict):
    """What a watch saw: judgements asked for and given, the step it went back to, and why the run ended."""

    budget: int
    judged: int
    scripted: int
    chosen: int | None
    why: str
    milestones: list[SeenMilestone]


class StageMetrics(TypedDict, total=False):
    """The metrics of a finished stage, or a part of them.

    `first` and `last` are the figures of the first and the last logged step; `left_out` counts the rows that could not
    be used by reason, and `left_out_rows` shows them; `notes` say
    what was read otherwise than it stood in a file. `rows` is a number alone where a stage knows one kind only.
    """

    left_out: dict[str, int]
    left_out_rows: dict[str, LeftOutRows]
    notes: list[str]
    first: StepRecord
    last: StepRecord
    kind: str
    rows: RowCounts | int
    tokens: int
    parameters: int
    steps: int
    epochs: float
    top_ups: int
    moved: float
    rate: float
    rank: int
    dtype: str
    started_from: str
    loss: float | str
    beta: float
    flips: float
    margin_scale: float
    sft: float
    sft_rows: int
    sft_rows_left_out: int
    layers: list[int]
    held_out_accuracy: float
    members: int
    form: str
    score_mean: float
    score_std: float
    prompts: int
    principles: int
    adviser: str
    pairs: int
    rollouts: int
    stopped: str
    watch: WatchRecord
    seconds: float
    seconds_set_up: float
    seconds_training: float
    seconds_sampling: float
    seconds_waiting: float
    resumed_at: int


class SideCounts(TypedDict):
    """So many rows train, so many are held out."""

    train: int
    held_out: int


class PersonalRecord(TypedDict):
    """Personal data in rows: what was done with it, in how many rows it was, and how much of each kind."""

    handling: str
    rows: int
    found: dict[str, int]


class SnapshotCounts(TypedDict, total=False):
    """What became of the judgements of a compilation (`dataset.counts.Counts`), as a manifest holds it."""

    judgements: int
    scripted: int
    by_kind: dict[str, int]
    people: int
    rows: dict[str, SideCounts]
    liked: int
    reward_only: SideCounts
    implicit: int
    pairs_by_origin: dict[str, int]
    pair_weight: float
    contradictions: dict[str, int]
    capped: dict[str, int]
    skipped: dict[str, int]
    set_aside: int
    personal: PersonalRecord


class RulesRecord(TypedDict):
    """The choices of a compilation (`dataset.compile.rules.Rules`)."""

    contradictions: str
    promotions: dict[str, int]
    implicit: list[str]
    reliability: bool


class SnapshotFilters(TypedDict, total=False):
    """Which judgements were asked for: the rules, and the seed that chose what is held out."""

    rules: RulesRecord
    seed: int


class TableFile(TypedDict):
    """One file of a snapshot."""

    sha256: str
    bytes: int
    rows: int


class SnapshotRecord(TypedDict):
    """A snapshot's manifest, with the hash that names it."""

    hash: str
    counts: SnapshotCounts
    filters: SnapshotFilters
    watermark: int
    files: dict[str, TableFile]


class PairedLossRecord(TypedDict, total=False):
    """Capability lost against another model, in percentage points (`guards.PairedLoss`)."""

    n: int
    lost: int
    gained: int
    points: float
    upper: float


class CategoryRecord(TypedDict, total=False):
    """The questions of one category (`guards.CategoryScore`)."""

    n: int
    chance: float
    challenger: float
    incumbent: float
    base: float
    lost: int
    gained: int


class CapabilityRecord(TypedDict, total=False):
    """Shares of questions answered right (`guards.Capability`)."""

    n: int
    challenger: float
    incumbent: float
    base: float
    by_category: dict[str, float]
    vs_incumbent: PairedLossRecord
    vs_base: PairedLossRecord
    categories: dict[str, CategoryRecord]


class SuiteRecord(TypedDict, total=False):
    """What a suite measured (`guards.SuiteScore`)."""

    name: str
    hash: str
    chosen: bool
    margin: float
    items: int
    n: int
    needed: int
    left_out: int
    chance: float
    interval: list[float]
    base_low: float
    capability: CapabilityRecord


class TextRecord(TypedDict, total=False):
    """How answers look (`guards.TextFacts`)."""

    n: int
    words: float
    repetition: float
    empty: float
    endless: float
    refusals: float


class LanguageRecord(TypedDict, total=False):
    """Loss on held-out texts in nats per token (`guards.LanguageLoss`)."""

    texts: int
    challenger: float
    base: float
    added: float


class SampleRecord(TypedDict, total=False):
    """Two answers to one prompt, for people to read."""

    prompt: str
    before: str
    after: str


class EvidenceRecord(TypedDict, total=False):
    """What was measured of a challenger (`guards.Evidence`); None where something was not measured."""

    challenger: str
    incumbent: str
    base: str
    capability: CapabilityRecord
    kl: float | None
    length_ratio: float
    before: TextRecord
    after: TextRecord
    seconds: dict[str, float]
    kl_base: float | None
    language: LanguageRecord | None
    suites: list[SuiteRecord]
    headline: str
    unmeasured: list[str]
