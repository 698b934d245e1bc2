"""Out again: what a format can hold survives import, export and import, and export says what it cannot.

Rows are hypothesis'. What may be lost is not listed here: it is what `carried` finds, which the table is made from.
"""

from __future__ import annotations

import csv
import io
import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alignment.dataset.judgement import Judgement
from alignment.dataset.reading.feedback import checked
from alignment.dataset.reading.formats import FORMATS, Feedback, Kind
from alignment.dataset.reading.formats.carried import Part, carried
from alignment.dataset.reading.formats.table import COLUMNS
from feedback_app.collect.judge import judge
from feedback_app.exchange import bring_in, export
from feedback_app.store.database import Store, open_store
from tests.alignment.dataset.reading.conversations import TEXT, demonstrations, marks, pairs, rankings, votes
from tests.feedback_app.builders import show

pytestmark = pytest.mark.slow

MAKERS: dict[Kind, Callable[..., st.SearchStrategy[Feedback]]] = {
    Kind.PAIR: pairs,
    Kind.MARK: marks,
    Kind.RANKING: rankings,
    Kind.VOTE: votes,
    Kind.DEMONSTRATION: demonstrations,
}


@st.composite
def commented(draw: st.DrawFn, kind: Kind) -> Feedback:
    """Feedback of a kind, now and then with a comment and reasons."""
    row = draw(MAKERS[kind]())
    if draw(st.booleans()):
        row = replace(row, comment=draw(TEXT).strip(), reasons=tuple(draw(st.lists(TEXT, max_size=3, unique=True))))
    return row


def parts_of(row: Feedback) -> set[Part]:
    """The parts that a row has."""
    roles = [turn.role for turn in row.prompt]
    found = {
        Part.SYSTEM: "system" in roles,
        Part.TURNS: len(roles) > 1 and "assistant" in roles,
        Part.TOOLS: "tool" in roles,
        Part.TIES: len({answer.rank for answer in row.answers}) < len(row.answers) and row.ranked,
        Part.BOTH_BAD: len(row.answers) == 2 and not row.ranked,
        Part.COMMENT: bool(row.comment),
        Part.REASONS: bool(row.reasons),
    }
    return {part for part, there in found.items() if there}


def through_a_file(format: str, rows: list[Feedback]) -> tuple[str, Counter[str]]:
    """The text of the file that holds these rows."""
    left_out: Counter[str] = Counter()
    records = list(FORMATS[format].write(rows, left_out))
    if format == "csv":
        out = io.StringIO(newline="")
        writer = csv.writer(out)
        writer.writerows([COLUMNS, *([record[column] for column in COLUMNS] for record in records)])
        return out.getvalue(), left_out
    lines = [json.dumps(record, ensure_ascii=False) for record in records]
    return (f"[{','.join(lines)}]" if FORMATS[format].ending == "json" else "\n".join(lines)), left_out


def records_in(format: str, text: str) -> list[Any]:
    if format == "csv":
        return list(csv.DictReader(io.StringIO(text, newline="")))
    return (
        json.loads(text)
        if FORMATS[format].ending == "json"
        else [json.loads(line) for line in text.split("\n") if line]
    )


@pytest.mark.parametrize("format", FORMATS)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_what_a_format_can_hold_survives_and_the_table_says_the_rest(format: str, data: st.DataObject) -> None:
    row = data.draw(commented(data.draw(st.sampled_from(FORMATS[format].takes))))
    fates = carried(format)
    text, left_out = through_a_file(format, [row])
    read = [checked(one) for record in records_in(format, text) for one in FORMATS[format].read(record)]
    refused = [part for part in parts_of(row) if not fates[part].kept and fates[part].reason]
    if left_out:
        assert read == []
        (reason,) = left_out
        # A text or an order of turns that a format cannot hold is no part; its reason says so.
        assert refused or "read as a turn" in reason or "no place for" in reason or "begin and end" in reason
        return
    (one,) = read
    assert not refused
    assert one.digest == row.digest
    assert one.comment == (row.comment if fates[Part.COMMENT].kept else "")
    assert one.reasons == (row.reasons if fates[Part.REASONS].kept else ())


def test_every_part_has_a_fate_in_every_format_that_could_have_it() -> None:
    for format, its in FORMATS.items():
        expected = set(Part)
        if not {Kind.RANKING, Kind.VOTE} & set(its.takes):
            expected -= {Part.TIES}
        if Kind.VOTE not in its.takes:
            expected -= {Part.BOTH_BAD}
        assert set(carried(format)) == expected
    assert carried("open-webui")[Part.COMMENT].kept
    assert not carried("trl")[Part.COMMENT].kept
    assert "no place" in carried("hh")[Part.SYSTEM].reason


# --- through the database -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated database without anything in it, to be copied."""
    file = tmp_path_factory.mktemp("database") / "alignloop.db"
    open_store(f"sqlite:///{file}").close()
    return file


@contextmanager
def fresh(empty: Path, folder: Path, name: str) -> Iterator[Store]:
    shutil.copy(empty, folder / name)
    store = open_store(f"sqlite:///{folder / name}")
    try:
        yield store
    finally:
        store.close()


def said(judgement: Judgement) -> tuple[Any, ...]:
    """What one person said, whoever and wherever they are."""
    answers = [(each.text, each.rank, each.mark, each.correction) for each in judgement.candidates]
    return (judgement.kind, judgement.context, tuple(sorted(answers, key=str)), judgement.comment, judgement.reasons)


def numbered(rows: list[Feedback]) -> list[Feedback]:
    """The rows with questions of their own: several on one question are one row of a round."""
    made = []
    for number, row in enumerate(rows):
        last = next(place for place in range(len(row.prompt))[::-1] if row.prompt[place].role == "user")
        turn = replace(row.prompt[last], content=f"{row.prompt[last].content} ({number})")
        made.append(replace(row, prompt=(*row.prompt[:last], turn, *row.prompt[last + 1 :])))
    return made


@pytest.mark.parametrize("format", FORMATS)
@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_file_that_was_imported_and_exported_is_the_same_feedback(
    empty_database: Path, format: str, data: st.DataObject
) -> None:
    kind = data.draw(st.sampled_from(FORMATS[format].takes))
    rows = numbered(data.draw(st.lists(commented(kind), min_size=1, max_size=4)))
    text, _ = through_a_file(format, rows)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        file = folder / f"a.{FORMATS[format].ending}"
        file.write_text(text, encoding="utf-8", newline="")
        if not records_in(format, text):
            return
        with fresh(empty_database, folder, "here.db") as here, fresh(empty_database, folder, "there.db") as there:
            first = bring_in(here, file)
            assert first["skipped"] == {}
            done = export(here, format, folder / "out", "off")
            for written in sorted((folder / "out").iterdir()):
                if written.name != "dataset_info.json":
                    assert bring_in(there, written)["skipped"] == {}
            came, went = list(here.judgements.export()), list(there.judgements.export())
        assert done["left_out"] == {}
        whole = {reason for reason in done["lost"] if reason not in (Part.COMMENT, Part.REASONS)}
        assert whole == set()
        assert Counter(map(said, went)) == Counter(map(said, came))


def test_export_says_how_many_judgements_lost_what(sqlite_store: Store, tmp_path: Path) -> None:
    store = sqlite_store
    ann = store.people.add("ann", "annotator", "")
    better = show(store, ann, "Paris.", "It is Paris!", prompt="Capital of France?")
    ranks = {better.answer_ids[0]: 1, better.answer_ids[1]: 2}
    marked = {better.answer_ids[0]: "good"}
    judge(store, ann, better.id, {"ranks": ranks, "marks": marked, "strength": "slightly", "comment": "shorter"})
    tied = show(store, ann, "yes", "yes, yes", prompt="Sure?")
    judge(store, ann, tied.id, {"ranks": dict.fromkeys(tied.answer_ids, 1)})
    for number in range(2):
        liked = show(store, ann, f"Thanks {number}!", prompt=f"Be kind {number}.")
        judge(store, ann, liked.id, {"marks": {liked.answer_ids[0]: "good"}, "reasons": ["helpful"]})
    cannot = show(store, ann, "A", "B", prompt="Which?")
    judge(store, ann, cannot.id, {"cannot_judge": True, "reasons": ["both_unclear"]})
    done = export(store, "trl", tmp_path / "trl")
    assert done["lost"] == {
        "a like or dislike, which trl has no place for": 2,
        "a comment": 1,
        "a tie, which trl has no place for": 1,
        "how much better: clearly or slightly": 1,
        "no verdict: it says that this cannot be judged": 1,
        "whether each answer is good or bad, beside an order": 1,
    }
    marks_ = export(store, "open-webui", tmp_path / "open-webui")["lost"]
    assert marks_["a tie, which open-webui has no place for"] == 1
    assert "reasons" not in marks_


def test_a_row_that_a_format_has_no_place_for_is_lost_with_its_reason(sqlite_store: Store, tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    turns = [{"role": "system", "content": "Be short."}, {"role": "user", "content": "Why?"}]
    sides = {"chosen": [{"role": "assistant", "content": "So."}], "rejected": [{"role": "assistant", "content": "No."}]}
    file.write_text(json.dumps({"prompt": turns, **sides}) + "\n")
    bring_in(sqlite_store, file)
    done = export(sqlite_store, "hh", tmp_path / "out")
    reason = "a system or tool message, which hh has no place for"
    assert (done["written"], done["left_out"], done["lost"]) == ({}, {reason: 1}, {reason: 1})


def test_a_comment_comes_back_from_open_webui(sqlite_store: Store, tmp_path: Path) -> None:
    store = sqlite_store
    ann, bob = (store.people.add(name, "annotator", "") for name in ("ann", "bob"))
    one = show(store, ann, "Thanks!", prompt="Be kind.")
    judge(
        store, ann, one.id, {"marks": {one.answer_ids[0]: "good"}, "comment": "so warm", "reasons": ["friendly", "x"]}
    )
    for person in (ann, bob):
        both = show(store, person, "4", prompt="2+2?")
        judge(store, person, both.id, {"marks": {both.answer_ids[0]: "good"}, "comment": f"{person.name} agrees"})
    done = export(store, "open-webui", tmp_path / "out")
    other = open_store(f"sqlite:///{tmp_path / 'other.db'}")
    for file in (tmp_path / "out").iterdir():
        bring_in(other, file)
    words = {(each.candidates[0].text, each.comment, each.reasons) for each in other.judgements.export()}
    other.close()
    assert ("Thanks!", "so warm", ("friendly", "x")) in words
    assert {text for text, comment, _ in words if not comment} == ({"4"} if done["lost"] else set())
