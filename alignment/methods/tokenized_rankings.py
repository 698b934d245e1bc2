"""What a reward model learns from: answers to one prompt in an order, as token ids.

A preference pair is the smallest of them: two tie-groups of one answer each.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from alignment.methods.tokenized import Left, completion_ids
from alignment.rows import GroupRow, PairRow


@dataclass(frozen=True, slots=True)
class TokenizedRanking:
    """Whole sequences (prompt and answer), the best first. `ties` are the sizes of the tie-groups.

    `margin` and `target` (the share of people who chose the first) are for pairs: rankings have 0 and 1.
    """

    sequences: list[list[int]]
    ties: list[int]
    weight: float
    margin: float = 0.0
    target: float = 1.0


def tokenize_rankings(
    pairs: Sequence[PairRow], groups: Iterable[GroupRow], tokenizer: Any, max_length: int
) -> tuple[list[TokenizedRanking], Left]:
    """Tokenize every row whose sequences all fit into `max_length` tokens; the second value counts the others.

    A pair whose judgements all stand behind a ranked group is left to that group: its vote counts once.
    """
    listed = list(groups)
    grouped = {judgement for group in listed for judgement in group.judgements}
    rows: list[tuple[Any, list[str], list[int], float, float, float]] = [
        (pair.prompt, [pair.chosen, pair.rejected], [1, 1], pair.weight, pair.margin, pair.target)
        for pair in pairs
        if not pair.judgements or not set(pair.judgements) <= grouped
    ]
    for group in listed:
        answers = [answer for ties in group.completions for answer in ties]
        rows.append((group.prompt, answers, [len(ties) for ties in group.completions], group.weight, 0.0, 1.0))
    kept: list[TokenizedRanking] = []
    left = Left()
    for prompt, answers, ties, weight, margin, target in rows:
        start, *ends = completion_ids(tokenizer, prompt, answers)
        sequences = [start + end for end in ends]
        if left.fits(len(start), max(map(len, sequences)), max_length):
            kept.append(TokenizedRanking(sequences, ties, weight, margin, target))
    return kept, left
