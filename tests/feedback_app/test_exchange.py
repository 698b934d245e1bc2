"""Feedback out of files and into them."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from alignment.compile import compile_rows
from feedback_app.errors import UsageError
from feedback_app.exchange import bring_in, export
from feedback_app.formats import READERS, WRITERS, detect
from feedback_app.store.database import Store

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


@pytest.mark.parametrize("format", RECORDS)
def test_a_format_is_detected_and_becomes_judgements(sqlite_store: Store, tmp_path: Path, format: str) -> None:
    found = bring_in(sqlite_store, jsonl(tmp_path / "a.jsonl", RECORDS[format]))
    kind = "like" if format == "trl-unpaired" else "compare"
    assert found == {"format": format, "read": 1, "imported": {kind: 1}, "skipped": {}}
    rows = compile_rows(sqlite_store.judgements.export())
    if kind == "compare":
        (pair,) = rows.pairs
        assert [(turn.role, turn.content) for turn in pair.prompt] == [("user", "Hello?")]
        assert (pair.chosen, pair.rejected) == (GOOD[0]["content"], BAD[0]["content"])
    else:
        (mark,) = rows.marks
        assert (mark.completion, mark.label) == (GOOD[0]["content"], True)


@pytest.mark.parametrize("format", ["trl", "openai-preference", "hh", "trl-unpaired"])
def test_what_is_exported_can_be_imported_again(sqlite_store: Store, tmp_path: Path, format: str) -> None:
    source = RECORDS["trl-unpaired" if format == "trl-unpaired" else "trl"]
    bring_in(sqlite_store, jsonl(tmp_path / "a.jsonl", source))
    assert export(sqlite_store, format, tmp_path / "out")["written"] == {"train": 1}
    record = json.loads((tmp_path / "out" / "train.jsonl").read_text())
    assert detect(record) == format
    assert READERS[format](record) == READERS[detect(source)](source)


def test_csv_has_one_pair_a_line(sqlite_store: Store, tmp_path: Path) -> None:
    bring_in(sqlite_store, jsonl(tmp_path / "a.jsonl", RECORDS["trl"]))
    export(sqlite_store, "csv", tmp_path / "out")
    with (tmp_path / "out" / "train.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["prompt"], row["chosen"], row["rejected"]) == ("Hello?", GOOD[0]["content"], BAD[0]["content"])


def test_every_format_exports_an_empty_database(sqlite_store: Store, tmp_path: Path) -> None:
    for format in WRITERS:
        assert export(sqlite_store, format, tmp_path / format)["written"] == {}


def test_a_record_is_imported_once(sqlite_store: Store, tmp_path: Path) -> None:
    file = jsonl(tmp_path / "a.jsonl", RECORDS["trl"], RECORDS["trl"])
    assert bring_in(sqlite_store, file)["skipped"] == {"imported before": 1}
    assert bring_in(sqlite_store, file)["imported"] == {}
    assert sqlite_store.judgements.counts()["total"] == 1


def test_records_that_say_nothing_are_counted_by_reason(sqlite_store: Store, tmp_path: Path) -> None:
    good = RECORDS["trl"]
    found = bring_in(
        sqlite_store,
        jsonl(
            tmp_path / "a.jsonl",
            good,
            {**good, "rejected": GOOD},
            {**good, "chosen": [{"role": "assistant", "content": " "}]},
            {"prompt": TURNS, "chosen": GOOD},
            {**good, "prompt": [{"role": "user", "content": [{"type": "image"}]}]},
            {"chosen": GOOD, "rejected": BAD},
        ),
    )
    assert found["imported"] == {"compare": 1}
    assert found["skipped"] == {
        "both answers are the same": 1,
        "empty answer": 1,
        "a key is missing or of another kind": 1,
        "a message that is not text": 1,
        "no question before the answer": 1,
    }


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b'{"prompt": 1}\nnot json\n', "keys"),
        (b"not json\n", "line 1, is not JSON"),
        (b"[1, 2]\n", "line 1, is not a JSON object"),
        (b"\xff\xfe\x00", "not text"),
        (b"\n\n", "is empty"),
    ],
)
def test_a_file_that_is_not_jsonl_is_named_with_its_line(
    sqlite_store: Store, tmp_path: Path, content: bytes, sentence: str
) -> None:
    file = tmp_path / "a.jsonl"
    file.write_bytes(content)
    with pytest.raises(UsageError, match=sentence):
        bring_in(sqlite_store, file)


def test_a_folder_with_something_in_it_is_not_written_into(sqlite_store: Store, tmp_path: Path) -> None:
    (tmp_path / "old.txt").write_text("mine")
    with pytest.raises(UsageError, match="not empty"):
        export(sqlite_store, "trl", tmp_path)
