"""A verdict as the database keeps it: JSON, with the candidates' message ids as keys."""

from __future__ import annotations

from typing import Literal, TypedDict

from feedback_app.domain.judging import Mark


class StoredVerdict(TypedDict, total=False):
    """The fields of `collect.judge.Verdict`; `kind` stands alone, in the row of an undo or of an erased judgement."""

    marks: dict[str, Mark]
    ranks: dict[str, int]
    strength: Literal["clearly", "slightly"] | None
    cannot_judge: bool
    reasons: list[str]
    comment: str
    corrections: dict[str, str]
    kind: Literal["withdrawn", "erased"]


WITHDRAWN: StoredVerdict = {"kind": "withdrawn"}
