"""Ranked candidates as tie-groups, best first."""

from __future__ import annotations

from collections import defaultdict

from alignment.dataset.judgement import Candidate, Judgement


def usable(candidate: Candidate) -> bool:
    """Whether the model itself ended this answer of its own: a cut one says nothing about what follows."""
    return candidate.finish_reason == "stop" and candidate.excluded is None


def tie_groups(judgement: Judgement) -> list[tuple[Candidate, ...]]:
    """The usable, ranked candidates, best first; those with equal ranks share a group.

    An unranked candidate is in no group. Inside a group the order is by id, so that the result does not
    depend on where an answer was shown.
    """
    by_rank: defaultdict[int, list[Candidate]] = defaultdict(list)
    for candidate in judgement.candidates:
        if candidate.rank is not None and usable(candidate):
            by_rank[candidate.rank].append(candidate)
    return [tuple(sorted(by_rank[rank], key=lambda candidate: candidate.id)) for rank in sorted(by_rank)]
