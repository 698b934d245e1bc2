"""Answers worth imitating: what a person wrote in place of the model's own."""

from __future__ import annotations

from alignment.compile.text import fold
from alignment.judgement import Judgement
from alignment.rows import SftRow


def sft_rows(judgement: Judgement) -> list[SftRow]:
    """One row per correction that changes something; it holds whether or not the original was finished."""
    if judgement.cannot_judge:
        return []
    return [
        SftRow(prompt=judgement.context, completion=candidate.correction, weight=1.0, judgements=(judgement.id,))
        for candidate in judgement.candidates
        if candidate.correction is not None
        and candidate.correction.strip()
        and fold(candidate.correction) != fold(candidate.text)
    ]
