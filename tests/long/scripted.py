"""Judgements of scripted people, as the store would hand them over."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from alignment.dataset.judgement import Candidate, Judgement, Kind, Mark, Message, Strength
from alignment.evaluation.tastes import Preference, Taste
from alignment.stage.sampler import Sample


def ranked(
    number: int,
    prompt: str,
    samples: Sequence[Sample],
    ranks: Sequence[int],
    *,
    person: str = "annotator",
    strength: str | None = None,
    task: str | None = None,
    version: str = "base",
) -> Judgement:
    """A comparison (two samples) or a ranking (more), as the store would hand it over."""
    candidates = tuple(
        Candidate(f"c{number}-{i}", sample.text, version, i, sample.finish_reason, rank=rank)
        for i, (sample, rank) in enumerate(zip(samples, ranks, strict=True))
    )
    return _judgement(
        number,
        Kind.COMPARE if len(samples) == 2 else Kind.RANK,
        prompt,
        candidates,
        person,
        Strength(strength) if strength else None,
        task,
    )


def voted(number: int, prompt: str, two: Sequence[Sample], seen: Preference, **more: Any) -> Judgement:
    """The comparison of somebody who prefers as `seen` says; `more` as `ranked` takes it."""
    ranks = {"left": (1, 2), "right": (2, 1), "tie": (1, 1)}[seen.side]
    return ranked(number, prompt, two, ranks, strength=seen.strength, **more)


def marked(number: int, prompt: str, sample: Sample, good: bool, person: str = "annotator") -> Judgement:
    """A like or a dislike of one answer."""
    mark = Mark.GOOD if good else Mark.BAD
    candidate = Candidate(f"c{number}", sample.text, "base", 0, sample.finish_reason, mark=mark)
    return _judgement(number, Kind.LIKE, prompt, (candidate,), person)


def corrected(number: int, prompt: str, sample: Sample, text: str, person: str = "annotator") -> Judgement:
    """A person's own wording of one answer."""
    candidate = Candidate(f"c{number}", sample.text, "base", 0, sample.finish_reason, correction=text)
    return _judgement(number, Kind.LIKE, prompt, (candidate,), person)


def _judgement(
    number: int,
    kind: Kind,
    prompt: str,
    candidates: tuple[Candidate, ...],
    person: str,
    strength: Strength | None = None,
    task: str | None = None,
) -> Judgement:
    return Judgement(
        id=f"j{number:05d}",
        task=task or f"t{number:05d}",
        person=person,
        kind=kind,
        context=(Message("user", prompt),),
        candidates=candidates,
        conversation=None,
        strength=strength,
        scripted=True,
    )


def ranks_by(taste: Taste, samples: Sequence[Sample]) -> list[int]:
    """The ranks that a taste gives: 1 is best, and who ties with the best of a group joins it."""
    scores = [taste.score(sample.text) for sample in samples]
    ranks = [0] * len(samples)
    rank, head = 0, 0.0
    for i in sorted(range(len(samples)), key=lambda i: -scores[i]):
        if not rank or head - scores[i] > taste.threshold:
            rank, head = rank + 1, scores[i]
        ranks[i] = rank
    return ranks
