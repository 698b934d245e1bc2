"""A file that is no feedback is refused in one sentence; a bad row is a problem of its own, and the rest is read."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from pathlib import Path

import pytest

from alignment.dataset.reading.containers import LIMITS
from alignment.errors import ReadingProblem
from tests.alignment.dataset.reading.containers import LINES, PAIRS, arrow, opened, records, table

GOOD = json.dumps({"prompt": "Q", "chosen": "a", "rejected": "b"}).encode()
RECORD = json.loads(GOOD)
BAD_SIGN = "a character that no database keeps (NUL or half of a pair)"


def archive(**members: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        for name, data in members.items():
            file.writestr(name.replace("__", "/").replace("_dot_", "."), data)
    return out.getvalue()


def workbook() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        file.writestr("[Content_Types].xml", "<Types/>")
        file.writestr("xl/workbook.xml", "<workbook/>")
    return out.getvalue()


REFUSED = {
    "empty": (b"", "is empty"),
    "blank": (b" \n\n", "is empty but for blanks"),
    "a mark alone": (b"\xef\xbb\xbf", "is empty but for blanks"),
    "gzip of nothing": (gzip.compress(b""), "is empty"),
    "yaml list": (b"- prompt: Q\n  chosen: a\n", "is YAML"),
    "yaml": (b"# pairs\nrows:\n  - prompt: Q\n", "is YAML"),
    "xlsx": (workbook(), "is an Excel workbook (xlsx). Save its sheet as CSV"),
    "lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n", "is a Git LFS pointer"),
    "pdf": (b"%PDF-1.7\n", "is a PDF"),
    "png": (b"\x89PNG\r\n\x1a\n", "is an image (PNG)"),
    "program": (b"\x7fELF\x02\x01", "is a program"),
    "sqlite": (b"SQLite format 3\x00", "is an SQLite database"),
    "binary": (bytes(range(256)) * 20, "is no text"),
    "pickle": (b"\x80\x04\x95\x00", "is a Python pickle"),
    "web page": (b"\n<!DOCTYPE html><html>", "is a web page"),
    "tar": (b"name".ljust(257, b"\0") + b"ustar\x0000", "is a tar archive"),
    "tar.gz": (gzip.compress(b"name".ljust(257, b"\0") + b"ustar\x0000"), "is a tar archive"),
    "prose": (
        b"Dear all.\n\nThis is no data.\n",
        "is plain text, without records or columns (it begins with 'Dear all.')",
    ),
    "a song": (b"[Verse 1]\nLa la.\n", "is plain text"),
    "two members": (archive(one_dot_jsonl=GOOD, two_dot_csv=b"a,b\n1,2\n"), "2 files (one.jsonl, two.csv)"),
    "no member": (archive(), "is an empty zip archive"),
    "cut gzip": (gzip.compress(LINES)[:-20], "cannot be unpacked"),
    "three times packed": (gzip.compress(gzip.compress(gzip.compress(LINES))), "compressed more than 2 times over"),
    "UTF-16 without a mark": (GOOD.decode().encode("utf-16-le"), "is a text in UTF-16 without the mark"),
    "cut UTF-16": (b"\xff\xfe" + GOOD.decode().encode("utf-16-le")[:-1], "says that it is utf-16"),
    "French in Latin-1": ('{"a": "crème"}'.encode("latin-1"), "is not UTF-8 (line 1)"),
    "Polish in cp1250": ('{"a": "dzień"}'.encode("cp1250"), "is not UTF-8 (line 1)"),
    "Russian in cp1251": ('{"a": "он"}'.encode("cp1251"), "is not UTF-8 (line 1)"),
    "Russian in KOI8-R": ('{"a": "Привет"}'.encode("koi8-r"), "is not UTF-8 (line 1)"),
    "Greek": ('{"a": "όχι"}'.encode("cp1253"), "is not UTF-8 (line 1)"),
    "Chinese in GBK": ('{"a": "你好世界"}'.encode("gbk"), "is not UTF-8 (line 1)"),
    "Japanese in Shift-JIS": ('a,b\n1,"日本語テキスト"\n'.encode("shift-jis"), "is not UTF-8 (line 2)"),
    "French of an old Mac": ('{"a": "café"}'.encode("mac-roman"), "is not UTF-8 (line 1)"),
    "two columns of one name": (b"prompt,answer,answer\nq,a,b\n", "more than one column called 'answer'"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_holds_no_rows_is_refused_in_one_sentence(case: str, tmp_path: Path) -> None:
    data, words = REFUSED[case]
    path = tmp_path / "pairs.jsonl"
    path.write_bytes(data)
    with pytest.raises(ReadingProblem) as raised:
        opened(path)
    sentence = str(raised.value)
    assert sentence.startswith(f"{path} ")
    assert words in sentence
    assert "\n" not in sentence


def test_a_path_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    for name in ("nothing", "a\0b", "x" * 300):
        with pytest.raises(ReadingProblem):
            opened(tmp_path / name)
    with pytest.raises(ReadingProblem, match="folder without a file of data"):
        opened(tmp_path)
    (tmp_path / "one.jsonl").write_bytes(GOOD)
    (tmp_path / "two.jsonl").write_bytes(GOOD)
    with pytest.raises(ReadingProblem, match=r"folder of 2 files \(one.jsonl, two.jsonl\)"):
        opened(tmp_path)


def test_a_saved_dataset_cannot_name_a_file_outside_of_its_folder(tmp_path: Path) -> None:
    (tmp_path / "outside").write_bytes(arrow())
    folder = tmp_path / "saved"
    folder.mkdir()
    (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": "../outside"}]}))
    with pytest.raises(ReadingProblem, match="outside of itself"):
        opened(folder)


PROBLEMS = {
    "NUL": (b'{"prompt": "a\\u0000b"}', BAD_SIGN),
    "NUL in a key": (b'{"a\\u0000b": 1}', BAD_SIGN),
    "half a pair": (b'{"prompt": ["half \\ud83d"]}', BAD_SIGN),
    "cut": (b'{"prompt": "Q", "chosen":', "not JSON"),
    "raw NUL": (b'{"prompt": "a\x00b"}', "not JSON"),
    "a digit too many": (b'{"prompt": ' + b"9" * 5000 + b"}", "not JSON"),
    "5,000 deep": (b'{"a":' * 5000 + b"1" + b"}" * 5000, "nested too deeply"),
    "150 deep": (b'{"a":' + b"[" * 150 + b"]" * 150 + b"}", "nested too deeply"),
    "an array": (b"[1, 2]", "not a JSON object"),
    "a text": (b'"text"', "not a JSON object"),
    "a damaged byte": (b'{"prompt": "a\xffb"}', "text that is not UTF-8"),
}


@pytest.mark.parametrize("case", PROBLEMS)
def test_a_bad_line_is_a_problem_and_the_lines_around_it_are_read(case: str, tmp_path: Path) -> None:
    line, problem = PROBLEMS[case]
    path = tmp_path / "x"
    path.write_bytes(b"\n".join([GOOD, line, *[GOOD] * 200]))
    found = records(path)
    assert found[:3] == [RECORD, problem, RECORD]
    assert len(found) == 202


@pytest.mark.parametrize("case", ["cut", "a digit too many", "half a pair", "5,000 deep"])
def test_a_bad_element_of_an_array_is_a_problem_and_those_around_it_are_read(case: str, tmp_path: Path) -> None:
    element, problem = PROBLEMS[case] if case != "cut" else (b'{"prompt": "an odd " quote"}', "not JSON")
    path = tmp_path / "x"
    path.write_bytes(b"[" + b",\n".join([GOOD, element, GOOD]) + b"]")
    assert records(path) == [RECORD, problem, RECORD]


def test_an_array_that_is_cut_off_keeps_what_stands_before(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"[" + GOOD + b", " + GOOD[:-9])
    assert records(path) == [RECORD, "not JSON"]


def test_the_first_line_may_be_the_bad_one(tmp_path: Path) -> None:
    path = tmp_path / "x"
    for first in (GOOD[:20], b"a log, which begins with words"):
        path.write_bytes(b"\n".join([first, *[GOOD] * 3]))
        assert records(path) == ["not JSON", *[RECORD] * 3]


def test_numbers_that_are_none_stay_for_the_rules_of_rows(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b'{"rank": Infinity, "weight": NaN}\n{}')
    rank, weight = records(path)[0].values()
    assert rank == float("inf")
    assert weight != weight


def test_rows_of_a_table_that_do_not_fit_its_header_are_problems(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"a,b,\n" + b"1,2,\n" * 9 + b'1,2,,,\n1\n1,2,3,4\n"x"y,2,\n1,"\x00",\n3,4,\n"cut,2')
    misfit = "not as many cells as the header has"
    assert records(path) == [
        *[{"a": "1", "b": "2"}] * 10,
        misfit,
        misfit,
        "not a line of CSV",
        BAD_SIGN,
        {"a": "3", "b": "4"},
        "not a line of CSV",
    ]


def test_a_table_keeps_its_headers_and_an_index_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"\xef\xbb\xbf,Prompt, Answer\n0,q,a\n")
    found = opened(path)
    assert [line.record for line in found[1]] == [{"": "0", "Prompt": "q", " Answer": "a"}]
    assert found[0].table


def test_a_line_longer_than_the_limit_is_refused_before_it_is_held(tmp_path: Path) -> None:
    from dataclasses import replace

    path = tmp_path / "x"
    small = replace(LIMITS, value=1000)
    for data in (b'{"a": "' + b"x" * 2000 + b'"}', b'[{"a": "' + b"x" * 2000 + b'"}]', b'a,b\n"' + b"x" * 2000):
        path.write_bytes(data)
        with pytest.raises(ReadingProblem, match="more than 1,000 characters"):
            opened(path, small)
    path.write_bytes(table(rows=PAIRS * 1000))
    with pytest.raises(ReadingProblem, match="more than 2,000 bytes"):
        opened(path, replace(LIMITS, size=2000))
