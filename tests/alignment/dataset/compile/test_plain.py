"""Judgements as plain values, for scratch files."""

from __future__ import annotations

import marshal
from dataclasses import replace
from enum import StrEnum

from alignment.dataset.compile.plain import judgement_of, plain_judgement
from alignment.dataset.judgement import Message
from tests.alignment.builders import vote


class Word(StrEnum):
    STOP = "stop"
    USER = "user"


def test_words_of_an_enumeration_are_kept_as_plain_text() -> None:
    """`marshal` takes no subclass of `str`, and what comes from a database may be one."""
    said = vote(1)
    candidates = tuple(replace(candidate, finish_reason=Word.STOP) for candidate in said.candidates)
    enumerated = replace(said, context=(Message(Word.USER, "Hi"),), candidates=candidates)
    assert judgement_of(marshal.loads(marshal.dumps(plain_judgement(enumerated)))) == enumerated
