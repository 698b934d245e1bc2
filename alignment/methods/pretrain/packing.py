"""Packs short conversations into rows of equal length, so that no computation is spent on padding.

A conversation never sees its neighbours in the row: positions restart and the attention mask is block-diagonal,
so training sees exactly what serving sees.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

OPEN_ROWS = 64  # rows that still take conversations; more of them waste less and mix less


@dataclass
class PackedRow:
    """One row: token ids, loss weights and the number of the conversation each token belongs to (all length T)."""

    ids: list[int] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)
    chats: list[int] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    count: int = 0

    def add(self, ids: list[int], weights: list[float]) -> None:
        """Append one conversation."""
        self.ids += ids
        self.weights += weights
        self.chats += [self.count] * len(ids)
        self.positions += range(len(ids))
        self.count += 1

    def pad(self, length: int, pad_id: int) -> None:
        """Fill the row up to ``length`` with tokens that carry no loss."""
        missing = length - len(self.ids)
        self.ids += [pad_id] * missing
        self.weights += [0.0] * missing
        self.chats += [-1] * missing
        self.positions += [0] * missing


def pack(chats: Iterable[tuple[list[int], list[float]]], length: int, pad_id: int) -> tuple[list[PackedRow], int]:
    """Return full rows of ``length`` tokens and the number of conversations left out because they are longer."""
    rows: list[PackedRow] = []
    waiting: list[PackedRow] = []
    left_out = 0
    for ids, weights in chats:
        if len(ids) > length:
            left_out += 1
            continue
        fitting = [row for row in waiting if len(row.ids) + len(ids) <= length]
        if fitting:
            row = max(fitting, key=lambda candidate: len(candidate.ids))
        else:
            if len(waiting) == OPEN_ROWS:
                fullest = max(waiting, key=lambda candidate: len(candidate.ids))
                waiting.remove(fullest)
                rows.append(fullest)
            row = PackedRow()
            waiting.append(row)
        row.add(ids, weights)
        if len(row.ids) > length - 8:  # shorter than any conversation
            waiting.remove(row)
            rows.append(row)
    rows += waiting
    for row in rows:
        row.pad(length, pad_id)
    return rows, left_out


def batches(rows: list[PackedRow], size: int, steps: int, seed: int, start: int = 0) -> Iterator[list[PackedRow]]:
    """Yield the batches of steps ``start`` to ``steps``; rows are shuffled anew in every pass.

    The order depends on ``seed`` alone, so a resumed run sees the batches that a straight run sees.
    """
    per_pass = max(1, len(rows) // size)
    order: list[int] = []
    for step in range(steps):
        at = step % per_pass
        if at == 0:
            order = list(range(len(rows)))
            random.Random(f"{seed}:{step // per_pass}").shuffle(order)
        if step >= start:
            yield [rows[i] for i in order[at * size : (at + 1) * size]]
