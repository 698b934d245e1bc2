"""What is written into a scratch file comes back as it was."""

from __future__ import annotations

import io
import marshal
from dataclasses import dataclass, replace
from enum import StrEnum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignment.dataset.compile.drafted_context import Drafted
from alignment.dataset.compile.drafts import Draft
from alignment.dataset.compile.implicit import ImplicitSignal
from alignment.dataset.compile.spool import Spool, codec_of
from alignment.dataset.judgement import Candidate, Judgement, Message
from alignment.dataset.rows import GroupRow, MarkRow, PairRow, SftRow
from tests.alignment.builders import user, vote

JUDGEMENTS = Spool(Judgement)


class Word(StrEnum):
    STOP = "stop"
    USER = "user"


def back(spool: Spool, *values: object) -> list[object]:
    """The values, written one behind the other and read until the end."""
    file = io.BytesIO()
    for value in values:
        spool.write(file, value)
    file.seek(0)
    return list(iter(lambda: spool.next(file), None))


@given(st.lists(st.from_type(Judgement), max_size=3))
def test_any_judgement_comes_back(judgements: list[Judgement]) -> None:
    assert repr(back(JUDGEMENTS, *judgements)) == repr(judgements)  # not ==: a number may be none


@given(st.from_type(ImplicitSignal))
def test_any_signal_comes_back(signal: ImplicitSignal) -> None:
    assert repr(back(Spool(ImplicitSignal), signal)) == repr([signal])


def drafts(row: type) -> st.SearchStrategy[list[Draft]]:
    parts = st.lists(st.tuples(st.text(), st.floats()), max_size=2).map(tuple)
    return st.lists(st.builds(Draft, row=st.from_type(row), parts=parts), max_size=2)


@given(st.builds(Drafted, st.text(), drafts(PairRow), drafts(MarkRow), drafts(SftRow), drafts(GroupRow)))
def test_any_drafts_come_back(drafted: Drafted) -> None:
    assert repr(back(Spool(Drafted), drafted)) == repr([drafted])


def test_words_of_an_enumeration_are_kept_as_plain_text() -> None:
    """`marshal` takes no subclass of `str`, and what comes from a database may be one."""
    said = vote(1)
    candidates = tuple(replace(candidate, finish_reason=Word.STOP) for candidate in said.candidates)
    enumerated = replace(said, context=(Message(Word.USER, "Hi"),), candidates=candidates)
    (read,) = back(JUDGEMENTS, enumerated)
    assert read == enumerated
    assert type(read.candidates[0].finish_reason) is str


def test_a_context_that_rows_share_is_written_once() -> None:
    prompt = user("long " * 1000)
    rows = [MarkRow(prompt, str(number), True, 1.0, ()) for number in range(50)]
    assert len(marshal.dumps(codec_of(list[MarkRow]).plain(rows))) < 2 * 5000
    (read,) = back(Spool(list[MarkRow]), rows)
    assert read == rows
    assert len({id(row.prompt) for row in read}) == 1


def test_what_is_skipped_is_not_read_and_the_next_one_is() -> None:
    file = io.BytesIO()
    for number in (1, 2):
        JUDGEMENTS.write(file, vote(number))
    file.seek(0)
    assert JUDGEMENTS.skip(file)
    assert JUDGEMENTS.next(file) == vote(2)
    assert not JUDGEMENTS.skip(file)


@dataclass(frozen=True)
class Unknown:
    name: str
    more: dict[str, int]


def test_a_field_that_no_scratch_file_can_hold_is_refused_before_anything_is_written() -> None:
    with pytest.raises(TypeError, match="dict"):
        Spool(Unknown)


def test_a_field_that_is_new_in_a_judgement_needs_nothing_here() -> None:
    """Fields are read off the class: none can be forgotten."""
    plain = codec_of(Candidate).plain(vote(1).candidates[0])
    assert len(plain) == len(Candidate.__slots__)
