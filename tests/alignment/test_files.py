"""Files: a line ends at a line feed and nowhere else; what is written is there whole; one hash, one reader."""

from __future__ import annotations

import ast
import hashlib
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignment.files import (
    BrokenLine,
    copy_whole,
    ended_lines,
    fingerprint,
    json_lines,
    last_lines,
    lines_of,
    made_of_lines,
    numbered_lines,
    sha256_of,
    sha256_of_all,
    write_whole,
)

ROOT = Path(__file__).resolve().parents[2]
# Output of programs and messages of errors, cut up to be shown; nothing is read from them.
SHOWN = {
    "alignment/dataset/reading/containers/apart.py",
    "alignment/dataset/reading/containers/unpack.py",
    "alignment/methods/shared_training/loading.py",
    "alignment/methods/shared_training/reward_model.py",
    "feedback_app/commands/doctor.py",
    "feedback_app/store/engine.py",
    "serving/model_check.py",
    "serving/named_models.py",
    "serving/plan.py",  # of the kernel's /proc
    "alignment/files.py",  # of logs
}


@given(st.lists(st.text(st.characters(exclude_characters="\n\r", exclude_categories=["Cs"]))))
def test_lines_that_are_joined_come_back(lines: list[str]) -> None:
    assert lines_of("".join(f"{line}\n" for line in lines)) == lines
    assert lines_of("".join(f"{line}\r\n" for line in lines)) == lines


def test_other_separators_are_text_and_a_byte_order_mark_is_none(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('\ufeff"a\u2028b\u2029c\u0085d\x1ce"\n\n"f"', encoding="utf-8")
    assert list(numbered_lines(path)) == [(1, '"a\u2028b\u2029c\u0085d\x1ce"'), (3, '"f"')]


def test_nothing_that_is_read_is_cut_by_splitlines() -> None:
    found = {
        str(path.relative_to(ROOT))
        for room in ("alignment", "feedback_app", "serving")
        for path in (ROOT / room).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr == "splitlines"
    }
    assert found <= SHOWN


def test_a_broken_line_is_named_by_its_number_and_by_what_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"a": 1}\n\n{"b": 2}\n{"a"\n', encoding="utf-8")
    with pytest.raises(BrokenLine, match="line 3: 'a'") as missing:
        list(made_of_lines(path, lambda value: value["a"]))
    assert (missing.value.number, type(missing.value.why)) == (3, KeyError)
    seen = []
    with pytest.raises(BrokenLine, match="line 4"):
        seen.extend(json_lines(path))
    with pytest.raises(BrokenLine):
        seen.extend(value for value in json_lines(path))
    assert seen == [(1, {"a": 1}), (3, {"b": 2})] * 2


def test_a_half_written_line_is_no_line_yet() -> None:
    assert ended_lines('{"a": 1}\n{"b"') == ['{"a": 1}']
    assert ended_lines('{"a"') == []


def test_what_a_file_held_before_stays_until_all_of_the_new_is_there(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    write_whole(path, "first")
    with pytest.raises(UnicodeEncodeError):
        write_whole(path, "x" * 100_000 + "\ud800")
    assert path.read_text() == "first"
    write_whole(path, "second")
    assert (path.read_text(), [file.name for file in tmp_path.iterdir() if file == path]) == ("second", ["state.json"])


def test_a_folder_is_copied_whole_although_an_earlier_copy_was_cut_off(tmp_path: Path) -> None:
    source, target = tmp_path / "from", tmp_path / "to"
    source.mkdir()
    (source / "weights").write_text("w")
    (tmp_path / "to.partial").mkdir()
    (tmp_path / "to.partial" / "half").write_text("h")
    copy_whole(source, target)
    assert [file.name for file in target.iterdir()] == ["weights"]
    assert not (tmp_path / "to.partial").exists()


def test_a_hash_is_of_the_bytes(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"\r\n\xff")
    assert sha256_of(path) == hashlib.sha256(b"\r\n\xff").hexdigest()
    assert fingerprint(path) == {"sha256": sha256_of(path), "bytes": 3}


def test_the_hash_of_several_files_depends_on_names_and_contents_and_not_on_order(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_text("1")
    two.write_text("2")
    before = sha256_of_all([one, two])
    assert before == sha256_of_all([two, one])
    two.write_text("3")
    assert sha256_of_all([one, two]) != before


def test_the_last_lines_of_a_log_begin_where_they_are_asked_to(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("old\n one \n\ntwo\n")
    assert last_lines(log, 8192, 4) == ["one", "two"]
    assert last_lines(log, 4) == ["two"]
    assert last_lines(tmp_path / "none", 8192) == []


# What only one file of the product may do by itself; every other one calls it.
KINDS = {
    "reads JSON lines": (r"json\.loads\((line|row_text)\)", {"alignment/files.py", "feedback_app/loop/child.py",
                                                              "alignment/stage/checkpoints.py",
                                                              "alignment/dataset/reading/containers/opening.py",
                                                              "alignment/evaluation/suites/reading.py"}),
    "writes beside and replaces": (r"\.partial\"|\.tmp\"|os\.replace\(", {"alignment/files.py"}),
    "hashes a file": (r"file_digest\(|sha256\([^()]*\.read_bytes\(\)\)", {"alignment/files.py"}),
    "asks the kernel": (r"prctl\(|PDEATHSIG", {"alignment/processes.py"}),
    "signals a group": (r"os\.killpg\(", {"alignment/processes.py"}),
    "doubles a pause": (r"2(\.0)? ?\*\* ?[\w.]*fruitless", {"alignment/processes.py"}),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_what_stands_once_is_not_written_again(kind: str) -> None:
    pattern, where = KINDS[kind]
    found = {
        str(path.relative_to(ROOT))
        for room in ("alignment", "feedback_app", "serving", "data/recipe")
        for path in (ROOT / room).rglob("*.py")
        if re.search(pattern, path.read_text(encoding="utf-8"))
    }
    assert found - where == set()
    assert where & found
