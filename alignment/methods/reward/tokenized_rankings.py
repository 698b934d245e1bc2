"""What a reward model learns from: answers to one prompt in an order, as token ids.

A preference pair is the smallest of them: two tie-groups of one answer each.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from alignment.dataset.left_out import LeftOut
from alignment.dataset.rows import GroupRow, PairRow
from alignment.methods.shared_training.tokenized import Laying


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
) -> tuple[list[TokenizedRanking], LeftOut]:
    """Tokenize every row that can be used and whose sequences all fit into `max_length` tokens; the rest is counted.

    A pair whose judgements all stand behind a ranked group is left to that group: its vote counts once.
    """
    listed = list(groups)
    grouped = {judgement for group in listed for judgement in group.judgements}
    rows: list[tuple[PairRow | GroupRow, list[str], list[int], float, float]] = [
        (pair, [pair.chosen, pair.rejected], [1, 1], pair.margin, pair.target)
        for pair in pairs
        if not pair.judgements or not set(pair.judgements) <= grouped
    ]
    for group in listed:
        answers = [answer for ties in group.completions for answer in ties]
        rows.append((group, answers, [len(ties) for ties in group.completions], 0.0, 1.0))
    kept: list[TokenizedRanking] = []
    laying = Laying(tokenizer, max_length)
    for row, answers, ties, margin, target in rows:
        laid = laying.out(row.prompt, answers, row.judgements)
        if laid is not None:
            start, *ends = laid
            kept.append(TokenizedRanking([start + end for end in ends], ties, row.weight, margin, target))
    return kept, laying.left
