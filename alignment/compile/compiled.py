"""All rows of a set of judgements, with a count of everything that became a row or did not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from alignment.compile.marks import mark_rows
from alignment.compile.pairs import corrected_pairs, liked_pairs, ranked_pairs
from alignment.compile.sft import sft_rows
from alignment.compile.splits import split_of
from alignment.judgement import Judgement
from alignment.rows import MarkRow, PairRow, Row, SftRow

_AnyRow = TypeVar("_AnyRow", PairRow, MarkRow, SftRow)


@dataclass(frozen=True, slots=True)
class Compiled:
    """Rows in a canonical order, which does not depend on the order of the judgements.

    `counts`: `judgements`, `scripted`, `by_kind` (judgements), `rows` (`pairs`, `marks`, `sft`, each with
    `train` and `held_out`), `pairs_by_origin`, `pair_weight` (sum over training pairs), `skipped` (by reason).
    """

    pairs: tuple[PairRow, ...]
    marks: tuple[MarkRow, ...]
    sft: tuple[SftRow, ...]
    counts: dict[str, Any]


def compile_rows(judgements: Iterable[Judgement], *, seed: int = 0) -> Compiled:
    """Turn live judgements into training rows by the rules of `alignment.compile.*`.

    `seed` chooses which prompts are held out. Raises `ValueError` when two judgements share an id.
    """
    listed = sorted(judgements, key=lambda judgement: judgement.id)
    if len({judgement.id for judgement in listed}) != len(listed):
        raise ValueError("Two judgements share an id; compile each live judgement once.")
    splits = split_of(listed, seed)
    skipped: Counter[str] = Counter()
    pairs = liked_pairs(listed, skipped)
    marks: list[MarkRow] = []
    sft: list[SftRow] = []
    for judgement in listed:
        pairs += ranked_pairs(judgement, skipped)
        pairs += corrected_pairs(judgement, skipped)
        marks += mark_rows(judgement)
        sft += sft_rows(judgement)
    all_pairs, all_marks, all_sft = _ordered(pairs, splits), _ordered(marks, splits), _ordered(sft, splits)
    counts = {
        "judgements": len(listed),
        "scripted": sum(judgement.scripted for judgement in listed),
        "by_kind": dict(sorted(Counter(judgement.kind.value for judgement in listed).items())),
        "rows": {"pairs": _sides(all_pairs), "marks": _sides(all_marks), "sft": _sides(all_sft)},
        "pairs_by_origin": dict(sorted(Counter(row.origin for row in all_pairs).items())),
        "pair_weight": round(sum(row.weight for row in all_pairs if row.split == "train"), 6),
        "skipped": {reason: count for reason, count in sorted(skipped.items()) if count},
    }
    return Compiled(pairs=all_pairs, marks=all_marks, sft=all_sft, counts=counts)


def _ordered(rows: Iterable[_AnyRow], splits: Mapping[str, str]) -> tuple[_AnyRow, ...]:
    """Rows with their split, sorted by content. Judgements behind one row share a context, hence a side."""
    placed = [replace(row, split=splits[row.judgements[0]]) for row in rows]
    return tuple(sorted(placed, key=_sort_key))


def _sort_key(row: Row) -> tuple[Any, ...]:
    prompt = tuple((message.role, message.content) for message in row.prompt)
    match row:
        case PairRow():
            texts: tuple[str, ...] = (row.chosen, row.rejected, row.origin)
        case MarkRow():
            texts = (row.completion, str(row.label))
        case SftRow():
            texts = (row.completion,)
    return (prompt, texts, row.judgements, row.weight)


def _sides(rows: Iterable[Row]) -> dict[str, int]:
    sides = Counter(row.split for row in rows)
    return {"train": sides["train"], "held_out": sides["held_out"]}
