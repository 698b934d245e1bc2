"""Feedback out of files and into them."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from alignment.dataset.judgement import Kind, Message
from alignment.dataset.reading.feedback import pair
from alignment.dataset.reading.formats import FORMATS, detect
from alignment.dataset.reading.read import read_feedback
from alignment.errors import ReadingProblem
from feedback_app.collect.judge import judge
from feedback_app.domain.conversations import Purpose
from feedback_app.errors import UsageError
from feedback_app.exchange import bring_in, export
from feedback_app.loop.rules import rules_of
from feedback_app.store.database import Store
from tests.alignment.compiled import Compiled, compile_rows
from tests.feedback_app.builders import show

pytestmark = pytest.mark.slow

TURNS = [{"role": "user", "content": "Hello?"}]
GOOD = [{"role": "assistant", "content": "Hello, how nice to hear from you."}]
BAD = [{"role": "assistant", "content": "What."}]
RECORDS: dict[str, dict[str, Any]] = {
    "trl": {"prompt": TURNS, "chosen": GOOD, "rejected": BAD},
    "openai-preference": {"input": {"messages": TURNS}, "preferred_output": GOOD, "non_preferred_output": BAD},
    "hh": {
        "chosen": "\n\nHuman: Hello?\n\nAssistant: Hello, how nice to hear from you.",
        "rejected": "\n\nHuman: Hello?\n\nAssistant: What.",
    },
    "trl-unpaired": {"prompt": TURNS, "completion": GOOD, "label": True},
}


def jsonl(path: Path, *records: object) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


def rows_of(store: Store) -> Compiled:
    """What a round would train on."""
    return compile_rows(store.judgements.export(), rules=rules_of(store))


@pytest.mark.parametrize("format", RECORDS)
def test_a_format_is_detected_and_becomes_judgements(sqlite_store: Store, tmp_path: Path, format: str) -> None:
    found = bring_in(sqlite_store, jsonl(tmp_path / "a.jsonl", RECORDS[format]))
    kind = "like" if format == "trl-unpaired" else "compare"
    assert found == {"format": format, "read": 1, "imported": {kind: 1}, "skipped": {}, "notes": []}
    rows = rows_of(sqlite_store)
    if kind == "compare":
        (pair,) = rows.pairs
        assert [(turn.role, turn.content) for turn in pair.prompt] == [("user", "Hello?")]
        assert (pair.chosen, pair.rejected) == (GOOD[0]["content"], BAD[0]["content"])
    else:
        (mark,) = rows.marks
        assert (mark.completion, mark.label) == (GOOD[0]["content"], True)


def total(done: dict[str, Any]) -> int:
    """Rows written, whatever side they lie on."""
    return sum(done["written"].values())


def whatever(store: Store) -> Store:
    """Verdicts of every kind, on single questions."""
    ann = store.people.add("ann", "annotator", "")
    chosen = show(store, ann, "Paris.", "It is Paris!", prompt="Capital of France?")
    judge(store, ann, chosen.id, {"ranks": {chosen.answer_ids[0]: 1, chosen.answer_ids[1]: 2}})
    ranked = show(store, ann, "one", "two", "three", prompt="Count.")
    judge(store, ann, ranked.id, {"ranks": dict(zip(ranked.answer_ids, (1, 2, 2), strict=True))})
    liked = show(store, ann, "Thanks!", prompt="Be kind.")
    judge(store, ann, liked.id, {"marks": {liked.answer_ids[0]: "good"}})
    corrected = show(store, ann, "5", prompt="2+2?")
    judge(store, ann, corrected.id, {"corrections": {corrected.answer_ids[0]: "4"}})
    bob = store.people.add("bob", "annotator", "")
    seconded = show(store, bob, "4", prompt="2+2?")
    judge(store, bob, seconded.id, {"marks": {seconded.answer_ids[0]: "good"}})
    tied = show(store, ann, "yes", "yes, yes", prompt="Sure?")
    judge(store, ann, tied.id, {"ranks": dict.fromkeys(tied.answer_ids, 1)})
    both_bad = show(store, ann, "no", "never", prompt="Really?")
    judge(store, ann, both_bad.id, {"marks": dict.fromkeys(both_bad.answer_ids, "bad")})
    return store


@pytest.mark.parametrize("format", FORMATS)
def test_what_is_exported_is_detected_and_can_be_imported_elsewhere(
    sqlite_store: Store, tmp_path: Path, format: str
) -> None:
    from feedback_app.store.database import open_store

    done = export(whatever(sqlite_store), format, tmp_path / "out")
    assert done["left_out"] == {}
    assert total(done) > 0
    other = open_store(f"sqlite:///{tmp_path / 'other.db'}")
    read = 0
    for file in sorted((tmp_path / "out").iterdir()):
        if file.name != "dataset_info.json":
            found = bring_in(other, file)
            assert (found["format"], found["skipped"]) == (format, {})
            read += sum(found["imported"].values())
    assert read == total(done)
    here, there = rows_of(sqlite_store), rows_of(other)
    kinds = FORMATS[format].takes
    if "pair" in kinds:
        assert {(row.chosen, row.rejected) for row in there.pairs} == {(row.chosen, row.rejected) for row in here.pairs}
    if "mark" in kinds:
        assert {(row.completion, row.label) for row in there.marks} == {
            (row.completion, row.label) for row in here.marks
        }
    if "demonstration" in kinds:
        assert [row.completion for row in there.sft] == [row.completion for row in here.sft] == ["4"]
    if "ranking" in kinds:
        assert {(row.chosen, row.rejected) for row in there.pairs} == {(row.chosen, row.rejected) for row in here.pairs}
    if "vote" in kinds:
        compared = {(row.chosen, row.rejected) for row in here.pairs if row.origin == "compare"}
        assert {(row.chosen, row.rejected) for row in there.pairs} == compared
        assert {row.completion for row in there.marks if not row.label} == {"no", "never"}
        assert there.counts["judgements"] == 3  # the tie among them
    other.close()


def test_csv_has_one_pair_a_line(sqlite_store: Store, tmp_path: Path) -> None:
    bring_in(sqlite_store, jsonl(tmp_path / "a.jsonl", RECORDS["trl"]))
    export(sqlite_store, "csv", tmp_path / "out")
    with (tmp_path / "out" / "train.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["prompt"], row["chosen"], row["rejected"]) == ("Hello?", GOOD[0]["content"], BAD[0]["content"])


def test_a_csv_from_a_spreadsheet_is_read(sqlite_store: Store, tmp_path: Path) -> None:
    file = tmp_path / "mine.csv"
    long = "x" * 200_000
    file.write_text(f'\ufeffprompt,chosen,rejected\r\nHi,"a, ""b""",\'=c\r\nHi,{long},d\r\nHi,,e\r\n', encoding="utf-8")
    found = bring_in(sqlite_store, file)
    assert (found["format"], found["imported"], found["skipped"]) == ("csv", {"compare": 2}, {"empty answer": 1})
    assert {(row.chosen, row.rejected) for row in rows_of(sqlite_store).pairs} == {('a, "b"', "=c"), (long, "d")}


def test_every_format_exports_an_empty_database(sqlite_store: Store, tmp_path: Path) -> None:
    for format in FORMATS:
        assert export(sqlite_store, format, tmp_path / format)["written"] == {}
        assert list((tmp_path / format).iterdir()) == []


def test_a_record_is_imported_once_whatever_format_it_comes_in(sqlite_store: Store, tmp_path: Path) -> None:
    file = jsonl(tmp_path / "a.jsonl", RECORDS["trl"], RECORDS["trl"])
    assert bring_in(sqlite_store, file)["skipped"] == {"imported before": 1}
    assert bring_in(sqlite_store, file)["imported"] == {}
    for format in ("openai-preference", "hh"):
        assert bring_in(sqlite_store, jsonl(tmp_path / format, RECORDS[format]))["skipped"] == {"imported before": 1}
    assert sqlite_store.judgements.counts()["total"] == 1


def test_an_undone_import_stays_undone(sqlite_store: Store, tmp_path: Path) -> None:
    from feedback_app.collect.judge import undo

    file = jsonl(tmp_path / "a.jsonl", RECORDS["trl"])
    bring_in(sqlite_store, file)
    (judgement,) = sqlite_store.judgements.export()
    person = sqlite_store.people.by_id(judgement.person)
    assert person is not None
    undo(sqlite_store, person, judgement.id)
    assert bring_in(sqlite_store, file)["skipped"] == {"imported before": 1}
    assert list(sqlite_store.judgements.export()) == []


def test_the_source_is_kept_with_every_judgement(sqlite_store: Store, tmp_path: Path) -> None:
    bring_in(sqlite_store, jsonl(tmp_path / "friends.jsonl", RECORDS["trl"]))
    (judgement,) = sqlite_store.judgements.export()
    assert judgement.task.startswith("import-")
    (conversation,) = sqlite_store.conversations.of(judgement.person, Purpose.IMPORT)
    assert (conversation.id, conversation.title) == (judgement.conversation, "trl: friends.jsonl")


def test_several_turns_system_unicode_and_tools_survive_into_the_rows(sqlite_store: Store, tmp_path: Path) -> None:
    turns = [
        {"role": "system", "content": "Sei kurz. 🙂"},
        {"role": "user", "content": "Größe?"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": "{}"}}],
        },
        {"role": "tool", "tool_call_id": "1", "content": "שלום"},
    ]
    record = {"input": {"messages": turns}, "preferred_output": GOOD, "non_preferred_output": BAD}
    bring_in(sqlite_store, jsonl(tmp_path / "a.jsonl", record))
    (pair,) = rows_of(sqlite_store).pairs
    assert [(turn.role, turn.content) for turn in pair.prompt] == [
        ("system", "Sei kurz. 🙂"),
        ("user", "Größe?"),
        ("assistant", '{"tool_calls": [{"name": "f", "arguments": {}}]}'),
        ("tool", "שלום"),
    ]


@pytest.mark.parametrize(
    ("ranks", "notes"),
    [
        ((1, 2, 3), []),
        ((0, 1, 2), ["Ranks start at 0 (1 rankings); the lowest number is taken as the best."]),
        ((2, 3, 4), ["Ranks start at 2 (1 rankings); the lowest number is taken as the best."]),
        ((1, 5, 9), ["1 rankings skip numbers; only the order counts."]),
        ((1, 2, 2), ["1 rankings have ties; they are kept."]),
        ((0, 0, 4), ["Ranks start at 0", "have ties", "skip numbers"]),
    ],
)
def test_ranks_are_read_as_an_order_and_how_they_count_is_said(
    sqlite_store: Store, tmp_path: Path, ranks: tuple[int, ...], notes: list[str]
) -> None:
    responses = [{"text": text, "rank": rank} for text, rank in zip("abc", ranks, strict=True)]
    found = bring_in(sqlite_store, jsonl(tmp_path / "a.jsonl", {"prompt": "Q", "responses": responses}))
    assert (found["format"], found["imported"]) == ("ranked", {"rank": 1})
    assert len(found["notes"]) == len(notes)
    assert all(expected in said for expected, said in zip(notes, found["notes"], strict=True))
    (judgement,) = sqlite_store.judgements.export()
    assert judgement.kind is Kind.RANK
    dense = sorted(set(ranks))
    assert [candidate.rank for candidate in judgement.candidates] == [dense.index(rank) + 1 for rank in ranks]


def test_a_demonstration_trains_sft_and_nothing_else(sqlite_store: Store, tmp_path: Path) -> None:
    file = jsonl(tmp_path / "a.jsonl", {"messages": [*TURNS, *GOOD]})
    found = bring_in(sqlite_store, file)
    assert (found["format"], found["imported"]) == ("openai-chat", {"demonstration": 1})
    assert "sft" in found["notes"][0]
    rows = rows_of(sqlite_store)
    assert [(row.prompt[0].content, row.completion) for row in rows.sft] == [("Hello?", GOOD[0]["content"])]
    assert (rows.pairs, rows.marks) == ((), ())
    assert bring_in(sqlite_store, file)["skipped"] == {"imported before": 1}


def test_likes_of_two_raters_never_pair(sqlite_store: Store, tmp_path: Path) -> None:
    def line(kind: str, text: str, ip: str) -> dict[str, Any]:
        state = {"roles": ["USER", "ASSISTANT"], "messages": [["USER", "Q"], ["ASSISTANT", text]], "offset": 0}
        return {"tstamp": 1.0, "type": kind, "model": "m", "state": state, "ip": ip}

    lines = [
        line("upvote", "A", "203.0.113.1"),
        line("downvote", "B", "203.0.113.2"),
        line("downvote", "C", "203.0.113.1"),
    ]
    found = bring_in(sqlite_store, jsonl(tmp_path / "log.json", *lines))
    assert (found["format"], found["imported"]) == ("fastchat", {"like": 3})
    assert [(row.chosen, row.rejected) for row in rows_of(sqlite_store).pairs] == [("A", "C")]
    names = [person.name for person in sqlite_store.people.listing()]
    assert len(names) == 2
    assert not any("203" in name for name in names)


def test_imported_feedback_can_make_a_first_rounds_snapshot(sqlite_store: Store, tmp_path: Path) -> None:
    from alignment.dataset.reading.folder import read_pairs
    from feedback_app.loop.snapshot_round import freeze

    records = [{"prompt": f"Question {n}?", "chosen": f"Gladly, {n}.", "rejected": f"{n}."} for n in range(10)]
    bring_in(sqlite_store, jsonl(tmp_path / "a.jsonl", *records))
    snapshot = freeze(sqlite_store, sqlite_store.rounds.add("dpo", None, 0, {}), tmp_path)
    assert len(read_pairs(Path(snapshot.folder))) == 10


def test_records_that_say_nothing_are_counted_by_reason(sqlite_store: Store, tmp_path: Path) -> None:
    good = RECORDS["trl"]
    file = jsonl(
        tmp_path / "a.jsonl",
        good,
        {**good, "rejected": GOOD},
        {**good, "chosen": [{"role": "assistant", "content": " "}]},
        {"prompt": TURNS, "chosen": GOOD},
        {**good, "prompt": [{"role": "user", "content": [{"type": "image"}]}]},
        {"chosen": GOOD, "rejected": BAD},
        {"chosen": [*TURNS, *GOOD], "rejected": [{"role": "user", "content": "Hi"}, *BAD]},
        {**good, "prompt": "half \ud800"},
        {**good, "prompt": "null \x00"},
        {**good, "prompt": [{"role": "wizard", "content": "x"}]},
        ["no", "object"],
    )
    with file.open("a") as more:
        more.write("{not json\n\n" + "[" * 100_000 + "\n")
    found = bring_in(sqlite_store, file)
    assert (found["read"], found["imported"]) == (13, {"compare": 1})
    assert found["skipped"] == {
        "both answers are the same": 1,
        "empty answer": 1,
        "a key is missing or of another kind": 1,
        "has images": 1,
        "no question before the answer": 1,
        "the two conversations differ before the last answer": 1,
        "a character that no database keeps (NUL or half of a pair)": 2,
        "a message of an unknown role": 1,
        "not a JSON object": 1,
        "not JSON": 1,
        "nested too deeply": 1,
    }


@pytest.mark.parametrize("bad", ["first", "last"])
def test_a_bad_line_does_not_keep_the_good_ones_out(sqlite_store: Store, tmp_path: Path, bad: str) -> None:
    good = json.dumps(RECORDS["trl"])
    file = tmp_path / "a.jsonl"
    file.write_text("\n".join(["oops", "", good] if bad == "first" else [good, "", "oops"]))
    assert bring_in(sqlite_store, file)["skipped"] == {"not JSON": 1}
    assert sqlite_store.judgements.counts()["total"] == 1


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("packed", [False, True])
def test_arrays_single_objects_and_compressed_files_are_read(
    sqlite_store: Store, tmp_path: Path, indent: int | None, packed: bool
) -> None:
    other = {"prompt": "Q", "chosen": "A", "rejected": "B"}
    for number, (content, count) in enumerate([([RECORDS["trl"], other], 2), ({**other, "prompt": "R"}, 1)]):
        text = json.dumps(content, indent=indent).encode()
        file = tmp_path / (f"{number}.json.gz" if packed else f"{number}.json")
        file.write_bytes(gzip.compress(text) if packed else text)
        assert bring_in(sqlite_store, file)["imported"] == {"compare": count}


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b'{"prompt": 1}\nnot json\n', "keys"),
        (b"not json\n", "is plain text"),
        (b"[1, 2]\n", "line 1, is not a JSON object"),
        (b'"text"\n', "is plain text"),
        (b"[[" * 100_000, "nested more than"),
        (b"\xff\xfe\x00", "says that it is utf-16"),
        (b"\n\n", "is empty"),
        (b"[]", "is empty"),
        (b"", "is empty"),
    ],
)
def test_a_file_that_is_none_of_ours_ends_in_one_sentence(
    sqlite_store: Store, tmp_path: Path, content: bytes, sentence: str
) -> None:
    file = tmp_path / "a.jsonl"
    file.write_bytes(content)
    with pytest.raises(ReadingProblem, match=sentence) as raised:
        bring_in(sqlite_store, file)
    assert "\n" not in str(raised.value)


def test_a_broken_archive_ends_in_one_sentence(sqlite_store: Store, tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl.gz"
    file.write_bytes(b"not gzip")
    with pytest.raises(ReadingProblem, match="gzip"):
        bring_in(sqlite_store, file)
    file.write_bytes(gzip.compress(json.dumps(RECORDS["trl"]).encode())[:-12])
    with pytest.raises(ReadingProblem, match="cannot be unpacked"):
        bring_in(sqlite_store, file)


def test_a_named_format_is_used_and_reads_what_it_can(sqlite_store: Store, tmp_path: Path) -> None:
    file = jsonl(tmp_path / "a.jsonl", RECORDS["openai-preference"], RECORDS["trl"])
    found = bring_in(sqlite_store, file, "trl")
    assert (found["format"], found["imported"]) == ("trl", {"compare": 1})
    assert found["skipped"] == {"a key is missing or of another kind": 1}


def test_dataset_info_beside_a_file_names_its_columns(sqlite_store: Store, tmp_path: Path) -> None:
    info = {
        "mine": {
            "file_name": "data.json",
            "ranking": True,
            "columns": {"prompt": "frage", "query": "dazu", "chosen": "gut", "rejected": "schlecht"},
        }
    }
    (tmp_path / "dataset_info.json").write_text(json.dumps(info))
    record = {"frage": "F", "dazu": "G", "gut": "A", "schlecht": "B", "system": "not a column of this file"}
    (tmp_path / "data.json").write_text(json.dumps([record]))
    found = bring_in(sqlite_store, tmp_path / "data.json")
    assert (found["format"], found["imported"]) == ("llama-factory", {"compare": 1})
    assert "dataset_info.json" in found["notes"][0]
    (pair,) = rows_of(sqlite_store).pairs
    assert [turn.content for turn in pair.prompt] == ["F\nG"]
    # A file that it does not describe, or a description that is none, changes nothing.
    assert bring_in(sqlite_store, jsonl(tmp_path / "b.jsonl", RECORDS["trl"]))["format"] == "trl"
    (tmp_path / "dataset_info.json").write_text("[")
    assert bring_in(sqlite_store, jsonl(tmp_path / "c.jsonl", RECORDS["trl"]))["skipped"] == {"imported before": 1}


def test_llama_factorys_files_stand_in_their_dataset_info(sqlite_store: Store, tmp_path: Path) -> None:
    export(whatever(sqlite_store), "llama-factory", tmp_path / "out")
    info = json.loads((tmp_path / "out" / "dataset_info.json").read_text())
    files = {file.name for file in (tmp_path / "out").iterdir()} - {"dataset_info.json"}
    assert {file.split("_")[0] for file in files} == {"preference", "kto", "sft"}
    assert {entry["file_name"] for entry in info.values()} == files
    for entry in info.values():
        (record, *_) = json.loads((tmp_path / "out" / entry["file_name"]).read_text())
        assert set(entry["columns"].values()) == set(record)


def test_what_a_format_cannot_carry_is_left_out_and_counted(sqlite_store: Store, tmp_path: Path) -> None:
    system = {"role": "system", "content": "Be brief."}
    record = {**RECORDS["trl"], "prompt": [system, *TURNS]}
    bring_in(sqlite_store, jsonl(tmp_path / "a.jsonl", RECORDS["trl"], record))
    done = export(sqlite_store, "hh", tmp_path / "out")
    assert total(done) == 1
    assert done["left_out"] == {"a system or tool message, which hh has no place for": 1}


@pytest.mark.parametrize("format", ["trl", "csv", "openai-preference", "hh", "ranked", "llama-factory"])
def test_personal_data_is_counted_and_replaced_when_asked(sqlite_store: Store, tmp_path: Path, format: str) -> None:
    record = {
        "prompt": "Mail ann@example.org",
        "chosen": "To ann@example.org, done.",
        "rejected": "Call +49 30 901820.",
    }
    bring_in(sqlite_store, jsonl(tmp_path / "a.jsonl", record, RECORDS["trl"]))
    found = {"EMAIL": 1, "PHONE": 1}
    for handling in ("off", "flag", "replace"):
        done = export(sqlite_store, format, tmp_path / handling, handling)
        text = "".join(file.read_text() for file in (tmp_path / handling).iterdir())
        assert total(done) == 2
        assert done["personal"] == {
            "handling": handling,
            "rows": 0 if handling == "off" else 1,
            "found": {} if handling == "off" else found,
        }
        assert ("ann@example.org" in text) == (handling != "replace")
        assert ("<EMAIL_1>" in text) == (handling == "replace")
    with pytest.raises(UsageError, match="called some"):
        export(sqlite_store, format, tmp_path / "x", "some")


def test_a_folder_with_something_in_it_is_not_written_into(sqlite_store: Store, tmp_path: Path) -> None:
    (tmp_path / "old.txt").write_text("mine")
    with pytest.raises(UsageError, match="not empty"):
        export(sqlite_store, "trl", tmp_path)


def test_every_hand_written_record_shows_its_format() -> None:
    assert {name: detect(record) for name, record in RECORDS.items()} == {name: name for name in RECORDS}


def test_import_works_on_every_database(store: Store, tmp_path: Path) -> None:
    records = [RECORDS["trl"], RECORDS["trl-unpaired"], {"messages": [*TURNS, *GOOD]}]
    for number, record in enumerate(records):
        found = bring_in(store, jsonl(tmp_path / f"{number}.jsonl", record, record))
        assert sum(found["imported"].values()) == 1
        assert found["skipped"] == {"imported before": 1}
    assert store.judgements.counts()["total"] == 3


def test_parquet_holds_the_rows_of_a_round_with_weights_judgements_and_sides(
    sqlite_store: Store, tmp_path: Path
) -> None:
    from alignment.dataset.frames import read_snapshot

    done = export(whatever(sqlite_store), "parquet", tmp_path / "out")
    rows, frames = rows_of(sqlite_store), read_snapshot(tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "groups.parquet",
        "marks.parquet",
        "pairs.parquet",
        "sft.parquet",
    ]
    assert total(done) == len(rows.pairs) + len(rows.marks) + len(rows.sft) + len(rows.groups)
    for name in ("pairs", "marks", "sft", "groups"):
        frame, expected = getattr(frames, name), getattr(rows, name)
        assert expected
        written = {(tuple(line.judgements), line.weight, line.split) for line in frame.itertuples()}
        assert written == {(row.judgements, row.weight, row.split) for row in expected}
    assert {turns[0]["content"] for turns in frames.pairs["chosen"]} == {row.chosen for row in rows.pairs}
    assert len(frames.judgements) == 0


def test_parquet_of_an_empty_database_has_its_columns(sqlite_store: Store, tmp_path: Path) -> None:
    from alignment.dataset.frames import read_snapshot

    assert export(sqlite_store, "parquet", tmp_path / "out")["written"] == {}
    frames = read_snapshot(tmp_path / "out")
    assert len(frames.pairs) == 0
    assert {"prompt", "chosen", "rejected", "weight", "judgements", "split"} <= set(frames.pairs.columns)


def test_parquet_replaces_personal_data_when_asked_and_keeps_ids(sqlite_store: Store, tmp_path: Path) -> None:
    from alignment.dataset.frames import read_snapshot, text_of

    record = {"prompt": "Mail ann@example.org", "chosen": "To ann@example.org.", "rejected": "No."}
    bring_in(sqlite_store, jsonl(tmp_path / "a.jsonl", record))
    done = export(sqlite_store, "parquet", tmp_path / "out", "replace")
    assert done["personal"]["found"]["EMAIL"] == done["personal"]["rows"] > 0
    pairs = read_snapshot(tmp_path / "out").pairs
    assert list(text_of(pairs["chosen"])) == ["To <EMAIL_1>."]
    assert [tuple(ids) for ids in pairs["judgements"]] == [row.judgements for row in rows_of(sqlite_store).pairs]


def test_a_log_of_one_vote_is_that_vote_and_not_a_table_of_its_sides(sqlite_store: Store, tmp_path: Path) -> None:
    ann = sqlite_store.people.add("ann", "annotator", "")
    shown = show(sqlite_store, ann, "Paris.", "It is Paris!", prompt="Capital of France?")
    judge(sqlite_store, ann, shown.id, {"ranks": {shown.answer_ids[0]: 1, shown.answer_ids[1]: 2}})
    export(sqlite_store, "fastchat", tmp_path / "out")
    (file,) = (tmp_path / "out").iterdir()
    assert [found.feedback[0].digest for found in read_feedback(file).rows] == [
        pair([Message("user", "Capital of France?")], "Paris.", "It is Paris!").digest
    ]
