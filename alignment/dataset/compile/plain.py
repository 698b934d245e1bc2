"""Judgements as `marshal` takes them, for scratch files."""

from __future__ import annotations

from typing import Any

from alignment.dataset.compile.parts import Plain, messages_of, plain_context
from alignment.dataset.judgement import Candidate, Excluded, Judgement, Kind, Mark, Strength


def plain_judgement(judgement: Judgement) -> Plain:
    """Everything that a judgement holds."""
    return (
        judgement.id,
        judgement.task,
        judgement.person,
        judgement.kind.value,
        plain_context(judgement.context),
        tuple(
            (
                candidate.id,
                candidate.text,
                candidate.version,
                candidate.position,
                str(candidate.finish_reason),  # a word of an enumeration is no plain text to `marshal`
                candidate.rank,
                candidate.mark.value if candidate.mark is not None else None,
                candidate.correction,
                candidate.excluded.value if candidate.excluded is not None else None,
            )
            for candidate in judgement.candidates
        ),
        judgement.conversation,
        judgement.strength.value if judgement.strength is not None else None,
        judgement.cannot_judge,
        judgement.scripted,
        judgement.at,
        tuple(judgement.reasons),
        judgement.comment,
        judgement.gold,
        judgement.repeat,
    )


_KINDS: dict[Any, Kind] = {kind.value: kind for kind in Kind}
_MARKS: dict[Any, Mark] = {mark.value: mark for mark in Mark}
_EXCLUDED: dict[Any, Excluded] = {excluded.value: excluded for excluded in Excluded}
_STRENGTHS: dict[Any, Strength] = {strength.value: strength for strength in Strength}


def judgement_of(plain: Plain) -> Judgement:
    """`plain_judgement` back again."""
    id, task, person, kind, context, candidates, conversation, strength, *rest = plain
    cannot_judge, scripted, at, reasons, comment, gold, repeat = rest
    return Judgement(
        id=id,
        task=task,
        person=person,
        kind=_KINDS[kind],
        context=messages_of(context),
        candidates=tuple(
            Candidate(
                name, text, version, position, finish, rank, _MARKS.get(mark), correction, _EXCLUDED.get(excluded)
            )
            for name, text, version, position, finish, rank, mark, correction, excluded in candidates
        ),
        conversation=conversation,
        strength=_STRENGTHS.get(strength),
        cannot_judge=cannot_judge,
        scripted=scripted,
        at=at,
        reasons=reasons,
        comment=comment,
        gold=gold,
        repeat=repeat,
    )
