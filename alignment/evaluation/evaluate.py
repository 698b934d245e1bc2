"""Evidence about a version: answers are sampled here, what they mean is decided in `gate`.

Everything is asked through a `Sampler`, so it works on vLLM and in-process alike. What may not be done
here: importing torch, or judging.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from statistics import fmean
from typing import TypedDict, cast

from alignment.dataset.judgement import Message
from alignment.evaluation.capability import Question
from alignment.evaluation.guards import (
    Capability,
    Evidence,
    LanguageLoss,
    before_and_after,
    capability_of,
    length_ratio,
    text_facts,
)
from alignment.records import PairedLossRecord
from alignment.stage.sampler import Sample, Sampler, Sampling
from alignment.stats import Tally

Prompt = Sequence[Message]
Scorer = Callable[[str], float]
"""How much a judge likes an answer; higher is better."""

LogRatio = Callable[[str, str, Sequence[Prompt], Sequence[Sample]], float]
"""(challenger, another version, prompts, the challenger's answers) → KL to the other in nats per answer."""

TextLoss = Callable[[str], float]
"""A version's loss on held-out texts, in nats per token."""

CAPABILITY_SEED = 0  # greedy answers use no chance; the sampler still wants a seed
SHOWN_SAMPLES = 8
FEWEST = 16  # prompts that are answered however long it takes: fewer tell nothing of lengths


@dataclass(frozen=True, slots=True)
class WinRate:
    """A against B by one judge. `win_rate` counts ties as half; `interval` is Wilson's at 95 %.

    `length_ratio` is the mean length of A's answers over B's, in words.
    """

    n: int
    decided: int
    wins: int
    losses: int
    ties: int
    win_rate: float
    interval: tuple[float, float]
    length_ratio: float


def win_rate(texts_a: Sequence[str], texts_b: Sequence[str], scorer: Scorer, *, tie_within: float = 0.0) -> WinRate:
    """Compare two lists of answers to the same prompts, by a judge's score.

    Scores that differ by at most `tie_within` are a tie. Raises `ValueError` on unequal lengths.
    """
    wins = losses = 0
    for left, right in zip(texts_a, texts_b, strict=True):
        difference = scorer(left) - scorer(right)
        wins += difference > tie_within
        losses += difference < -tie_within
    tally = Tally(wins, losses, len(texts_a) - wins - losses)
    words_a = fmean([len(text.split()) for text in texts_a] or [0])
    words_b = fmean([len(text.split()) for text in texts_b] or [0])
    return WinRate(
        n=tally.n,
        decided=tally.decided,
        wins=wins,
        losses=losses,
        ties=tally.ties,
        win_rate=tally.win_rate,
        interval=tally.interval,
        length_ratio=words_a / words_b if words_b else 1.0,
    )


def ask_capability(
    sampler: Sampler, version: str, questions: Sequence[Question], *, max_tokens: int = 192
) -> tuple[bool, ...]:
    """Which questions a version answers right, greedily. Raises what the sampler raises."""
    prompts = [(Message("user", question.prompt),) for question in questions]
    sampling = Sampling(temperature=0.0, max_tokens=max_tokens, seed=CAPABILITY_SEED)
    answers = sampler.sample(version, prompts, sampling) if prompts else []
    return tuple(question.right(samples[0].text) for question, samples in zip(questions, answers, strict=True))


def collect_evidence(
    sampler: Sampler,
    challenger: str,
    incumbent: str,
    base: str,
    questions: Sequence[Question],
    prompts: Sequence[Prompt],
    sampling: Sampling,
    kl: LogRatio | None,
    *,
    known: Mapping[str, Sequence[bool]] | None = None,
    loss: TextLoss | None = None,
    texts: int = 0,
    step: Callable[[str], None] = lambda name: None,
    seconds: float | None = None,
) -> Evidence:
    """Ask, sample and measure everything that the guards need.

    `sampling` is for the fresh answers (one per prompt and version, same seeds for both); capability is
    always greedy. `known` holds right/wrong vectors of versions that were asked the same questions before:
    a version's files never change, so neither do its greedy answers. `loss` is over so many held-out `texts`.
    `step` hears which part begins. With `seconds`, only as many prompts are answered as fit (`fresh_answers`).
    Raises `ConnectionError` when the model cannot be reached.
    """
    timer = _Timer(step)
    rights: dict[str, tuple[bool, ...]] = {name: tuple(vector) for name, vector in (known or {}).items()}
    with timer.part("capability"):
        for name in dict.fromkeys((challenger, incumbent, base)):
            if name not in rights or len(rights[name]) != len(questions):
                rights[name] = ask_capability(sampler, name, questions, max_tokens=sampling.max_tokens)
    with timer.part("sampling"):
        after, before = fresh_answers(sampler, (challenger, incumbent), prompts, sampling, seconds)
        prompts = prompts[: len(after)]
    with timer.part("kl"):
        moved = from_base = kl(challenger, incumbent, prompts, after) if kl is not None and after else None
        if kl is not None and after and base != incumbent:
            from_base = kl(challenger, base, prompts, after)
    language = None
    if loss is not None:
        with timer.part("language"):
            mine, roots = loss(challenger), loss(base)
            language = LanguageLoss(texts=texts, challenger=mine, base=roots, added=mine - roots)
    with timer.part("facts"):
        facts_before, facts_after = text_facts(before), text_facts(after)
        capability = capability_of(
            [question.category for question in questions], rights[challenger], rights[incumbent], rights[base]
        )
    return Evidence(
        challenger=challenger,
        incumbent=incumbent,
        base=base,
        capability=capability,
        kl=moved,
        length_ratio=length_ratio(facts_after, facts_before),
        before=facts_before,
        after=facts_after,
        samples=before_and_after([prompt[-1].content for prompt in prompts], before, after, SHOWN_SAMPLES),
        seconds=timer.seconds,
        kl_base=from_base,
        language=language,
    )


def fresh_answers(
    sampler: Sampler,
    versions: tuple[str, str],
    prompts: Sequence[Prompt],
    sampling: Sampling,
    seconds: float | None,
    clock: Callable[[], float] = time.perf_counter,
) -> tuple[list[Sample], list[Sample]]:
    """One answer of each of two versions to the same first prompts, with the same seeds.

    To all of them; or, with `seconds`, a few at a time while those that follow still fit, and at least to `FEWEST`.
    Prompt i has the same seed either way. Raises what the sampler raises.
    """
    found: tuple[list[Sample], list[Sample]] = ([], [])
    began, at_once = clock(), len(prompts) if seconds is None else FEWEST // 2
    for start in range(0, len(prompts), at_once) if prompts else ():
        took = clock() - began
        if seconds is not None and start >= FEWEST and took * (start + at_once) / start > seconds:
            break
        part = replace(sampling, n=1, seed=sampling.seed + start)
        for version, answers in zip(versions, found, strict=True):
            some = sampler.sample(version, prompts[start : start + at_once], part)
            answers += [samples[0] for samples in some]
    return found


class ComparedCapability(TypedDict):
    """Shares of questions answered right by both, and what the first lost."""

    n: int
    model: float
    against: float
    by_category: dict[str, float]
    loss: PairedLossRecord


class Comparison(TypedDict):
    """A `WinRate` between two named models, without votes where there was no judge, and their capability."""

    model: str
    against: str
    judge: str | None
    n: int
    decided: int
    wins: int
    losses: int
    ties: int
    win_rate: float | None
    interval: list[float] | None
    length_ratio: float
    capability: ComparedCapability | None


def evaluate_models(
    sampler: Sampler,
    model: str,
    against: str,
    judge: tuple[str, Scorer] | None,
    prompts: Sequence[Prompt],
    n: int,
    *,
    sampling: Sampling,
    questions: Sequence[Question] = (),
    tie_within: float = 0.0,
) -> Comparison:
    """One model against another, as `alignloop evaluate` prints it.

    Uses the first `n` prompts, one sample per model at `sampling`; `judge` is a name and its scorer, or
    None to measure capability alone; there is no `capability` without questions.
    """
    chosen = list(prompts[:n])
    # Seeds of their own: with shared ones two nearly equal models would tie by giving the same answer.
    mine, theirs = (
        [samples[0].text for samples in sampler.sample(name, chosen, replace(sampling, n=1, seed=seed))]
        if chosen
        else []
        for name, seed in ((model, sampling.seed), (against, sampling.seed + len(chosen)))
    )
    compared = win_rate(mine, theirs, judge[1] if judge else _no_opinion, tie_within=tie_within)
    result: Comparison = {
        "model": model,
        "against": against,
        "judge": judge[0] if judge else None,
        "n": compared.n,
        "decided": compared.decided,
        "wins": compared.wins,
        "losses": compared.losses,
        "ties": compared.ties,
        "win_rate": compared.win_rate,
        "interval": list(compared.interval),
        "length_ratio": compared.length_ratio,
        "capability": _capability_record(sampler, model, against, questions, sampling.max_tokens),
    }
    if judge is None:
        result |= {"decided": 0, "wins": 0, "losses": 0, "ties": 0, "win_rate": None, "interval": None}
    return result


def _capability_record(
    sampler: Sampler, model: str, against: str, questions: Sequence[Question], max_tokens: int
) -> ComparedCapability | None:
    if not questions:
        return None
    mine = ask_capability(sampler, model, questions, max_tokens=max_tokens)
    theirs = mine if model == against else ask_capability(sampler, against, questions, max_tokens=max_tokens)
    return comparison_of(capability_of([question.category for question in questions], mine, theirs, theirs))


def comparison_of(measured: Capability) -> ComparedCapability:
    """What two models answered, the second as the incumbent, as `Comparison` says it."""
    return {
        "n": measured.n,
        "model": measured.challenger,
        "against": measured.incumbent,
        "by_category": measured.by_category,
        "loss": cast(PairedLossRecord, asdict(measured.vs_incumbent)),
    }


def _no_opinion(text: str) -> float:
    return 0.0


class _Timer:
    """Seconds of each part, rounded to milliseconds."""

    def __init__(self, step: Callable[[str], None]) -> None:
        self.seconds: dict[str, float] = {}
        self._step = step

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Time one part and say that it begins."""
        self._step(name)
        started = time.perf_counter()
        yield
        self.seconds[name] = round(time.perf_counter() - started, 3)
