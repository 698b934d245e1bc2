"""What the guards measure: pure functions over answers, right/wrong vectors and log-probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from statistics import fmean
from typing import cast

from alignment.evaluation.refusals import is_refusal
from alignment.records import EvidenceRecord, SampleRecord
from alignment.stage.sampler import Sample
from alignment.stats import paired_loss_upper

_NEARLY_EMPTY = 0.01  # words; keeps the ratio finite, hence JSON, where the older answers were all empty


@dataclass(frozen=True, slots=True)
class PairedLoss:
    """Capability lost against another model on the same `n` questions, in percentage points.

    `points` is the share lost minus the share gained, `upper` its one-sided 95 % bound (Tango's score).
    """

    n: int
    lost: int
    gained: int
    points: float
    upper: float


@dataclass(frozen=True, slots=True)
class CategoryScore:
    """The questions of one category: shares answered right, and how many were `lost` to and `gained` on the incumbent.

    `chance` is the share that a blind answer gets.
    """

    n: int
    chance: float
    challenger: float
    incumbent: float
    base: float
    lost: int
    gained: int


@dataclass(frozen=True, slots=True)
class Capability:
    """Shares of questions answered right, in all and by category, and the paired losses."""

    n: int
    challenger: float
    incumbent: float
    base: float
    by_category: dict[str, float]
    vs_incumbent: PairedLoss
    vs_base: PairedLoss
    categories: dict[str, CategoryScore] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SuiteScore:
    """One suite's part of the evidence.

    `n` of `items` were asked of all three versions (the time decides); `left_out` cannot be asked of this model.
    `interval` is Wilson's at 95 % for the challenger's share, `base_low` the lower end of the base's, `chance` what a
    blind answer gets. `margin` in percentage points, `needed` the items that it takes to hold it. `chosen`: an
    operator brought it.
    """

    name: str
    hash: str
    chosen: bool
    margin: float
    items: int
    n: int
    needed: int
    left_out: int
    chance: float
    interval: tuple[float, float]
    base_low: float
    capability: Capability

    @property
    def fits(self) -> bool:
        """Whether the base knows more of it than a blind answer: else a loss cannot be seen."""
        return self.n > 0 and self.base_low > self.chance

    @property
    def enough(self) -> bool:
        """Whether so many items tell a loss of the margin from noise."""
        return self.n >= self.needed


@dataclass(frozen=True, slots=True)
class TextFacts:
    """How `n` answers look. Lengths in words; `repetition`, `empty`, `endless`, `refusals` are shares from 0 to 1."""

    n: int
    words: float
    repetition: float
    empty: float
    endless: float
    refusals: float = 0.0


@dataclass(frozen=True, slots=True)
class LanguageLoss:
    """Loss on held-out texts in nats per token (`language_loss`); `added` is the challenger's over the base's."""

    texts: int
    challenger: float
    base: float
    added: float


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything the guards know about a challenger; `to_record` makes it JSON, but for the samples.

    `kl` (to the incumbent) and `kl_base` are in nats per answer, None when they were not measured, and so is
    `language`. `samples` are answers before and after, for people to read. `seconds` is the time of each part.
    `capability` is that of the frozen questions, or of the suite that `headline` names. `unmeasured` has a sentence for
    each thing that nothing here can measure of this model.
    """

    challenger: str
    incumbent: str
    base: str
    capability: Capability
    kl: float | None
    length_ratio: float
    before: TextFacts
    after: TextFacts
    samples: tuple[SampleRecord, ...] = ()
    seconds: dict[str, float] = field(default_factory=dict)
    kl_base: float | None = None
    language: LanguageLoss | None = None
    suites: tuple[SuiteScore, ...] = ()
    headline: str = ""
    unmeasured: tuple[str, ...] = ()

    def to_record(self) -> EvidenceRecord:
        """As a JSON object."""
        record = asdict(self)
        del record["samples"]
        return cast(EvidenceRecord, record)


def paired_loss(right_after: Sequence[bool], right_before: Sequence[bool]) -> PairedLoss:
    """The loss between two right/wrong vectors over the same questions. Raises `ValueError` on unequal lengths."""
    pairs = list(zip(right_before, right_after, strict=True))
    n = len(pairs)
    lost = sum(before and not after for before, after in pairs)
    gained = sum(after and not before for before, after in pairs)
    return PairedLoss(
        n=n,
        lost=lost,
        gained=gained,
        points=100 * (lost - gained) / n if n else 0.0,
        upper=100 * paired_loss_upper(lost, gained, n),
    )


def capability_of(
    categories: Sequence[str],
    challenger: Sequence[bool],
    incumbent: Sequence[bool],
    base: Sequence[bool],
    chances: Sequence[float] | None = None,
) -> Capability:
    """Capability from three right/wrong vectors; `categories` names each question's, `chances` a blind answer's share.

    Raises `ValueError` on unequal lengths.
    """
    rows: dict[str, list[tuple[bool, bool, bool, float]]] = {}
    blind = chances if chances is not None else [0.0] * len(categories)
    for category, mine, before, root, chance in zip(categories, challenger, incumbent, base, blind, strict=True):
        rows.setdefault(category, []).append((mine, before, root, chance))
    scores = {category: _category(found) for category, found in sorted(rows.items())}
    return Capability(
        n=len(challenger),
        challenger=_share(challenger),
        incumbent=_share(incumbent),
        base=_share(base),
        by_category={category: score.challenger for category, score in scores.items()},
        vs_incumbent=paired_loss(challenger, incumbent),
        vs_base=paired_loss(challenger, base),
        categories=scores,
    )


def _category(rows: Sequence[tuple[bool, bool, bool, float]]) -> CategoryScore:
    challenger, incumbent, base, chances = zip(*rows, strict=True)
    loss = paired_loss(challenger, incumbent)
    return CategoryScore(
        n=len(rows),
        chance=fmean(chances),
        challenger=_share(challenger),
        incumbent=_share(incumbent),
        base=_share(base),
        lost=loss.lost,
        gained=loss.gained,
    )


def text_facts(samples: Sequence[Sample]) -> TextFacts:
    """How these answers look."""
    texts = [sample.text for sample in samples]
    return TextFacts(
        n=len(samples),
        words=fmean(len(text.split()) for text in texts) if texts else 0.0,
        repetition=fmean(repetition(text) for text in texts) if texts else 0.0,
        empty=_share([not text.strip() for text in texts]),
        endless=_share([sample.finish_reason == "length" for sample in samples]),
        refusals=_share([is_refusal(text) for text in texts]),
    )


def repetition(text: str, run: int = 3) -> float:
    """The share of word runs of length `run` that came before in the same text; 0 for a text too short to have two.

    This is 1 − distinct-n of Li et al. 2016 (arXiv:1510.03055), taken per answer.
    """
    words = text.lower().split()
    runs = [tuple(words[i : i + run]) for i in range(len(words) - run + 1)]
    return 1 - len(set(runs)) / len(runs) if runs else 0.0


def length_ratio(after: TextFacts, before: TextFacts) -> float:
    """Mean length after over mean length before, in words; 1 when both are empty."""
    if before.words == 0:
        return 1.0 if after.words == 0 else after.words / _NEARLY_EMPTY
    return after.words / before.words


def mean_kl(challenger_logps: Sequence[float], incumbent_logps: Sequence[float]) -> float:
    """Monte Carlo KL(challenger ‖ incumbent) in nats per answer.

    Each number is the summed log-probability, at temperature 1, of one answer that the challenger sampled.
    The plain estimator (k1 of Schulman 2020, "Approximating KL divergence"): unbiased for answers sampled at
    temperature 1, and it may come out a little below zero for two nearly equal models.
    Raises `ValueError` when there is no answer or the two differ in length.
    """
    if not challenger_logps:
        raise ValueError("a KL needs at least one answer")
    return fmean(new - old for new, old in zip(challenger_logps, incumbent_logps, strict=True))


def before_and_after(
    prompts: Sequence[str], before: Sequence[Sample], after: Sequence[Sample], count: int
) -> tuple[SampleRecord, ...]:
    """The first `count` answers side by side, for people to read."""
    return tuple(
        {"prompt": prompt, "before": old.text, "after": new.text}
        for prompt, old, new in list(zip(prompts, before, after, strict=True))[:count]
    )


def _share(flags: Sequence[bool]) -> float:
    return sum(flags) / len(flags) if flags else 0.0
