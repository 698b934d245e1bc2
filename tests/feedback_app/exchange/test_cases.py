"""Every case of `tests/cases` (`EXPECT.json`) by its command: what people have, and what must become of it."""

from __future__ import annotations

import io
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from feedback_app.commands.app import run
from feedback_app.loop.rules import rules_of
from feedback_app.processes.output import Output
from feedback_app.store.database import open_store
from tests.alignment.compiled import Compiled, compile_rows

pytestmark = pytest.mark.slow

CASES = Path(__file__).resolve().parents[2] / "cases"
EXPECTED = [case for case in json.loads((CASES / "EXPECT.json").read_text()) if case["kind"] in ("import", "gold")]
PLACE = re.compile(r"[^ ]*tests/cases/[^ :]*")  # a file's own name is no word of the sentence about it


@pytest.fixture(scope="module")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated database without anything in it, to be copied."""
    file = tmp_path_factory.mktemp("database") / "alignloop.db"
    open_store(f"sqlite:///{file}").close()
    return file


@pytest.fixture
def database(empty_database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of a database of the case's own, which the commands use."""
    shutil.copy(empty_database, tmp_path / "alignloop.db")
    url = f"sqlite:///{tmp_path / 'alignloop.db'}"
    monkeypatch.setenv("ALIGNLOOP_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DATABASE_URL", url)
    return url


def command(*words: str) -> tuple[int, dict[str, Any]]:
    """The exit code and the one JSON object of a command."""
    out = io.StringIO()
    code = run([*words, "--json"], Output(True, out))
    return code, json.loads(out.getvalue())


def rows_in(database: str) -> Compiled:
    """What a round would train on."""
    store = open_store(database)
    try:
        return compile_rows(store.judgements.export(), rules=rules_of(store))
    finally:
        store.close()


def fits(expected: Any, found: Any) -> bool:
    """Whether a text or a row is as expected; blanks around a text are not compared."""
    if isinstance(expected, dict):
        return all(piece in found for piece in expected["has"])
    if isinstance(expected, list):
        return len(expected) == len(found) and all(map(fits, expected, found))
    return bool(expected.strip() == found.strip()) if isinstance(expected, str) else bool(expected == found)


def differences(expect: dict[str, Any], code: int, said: dict[str, Any], rows: Compiled) -> list[str]:
    """In what a result is not as one reading expects it."""
    wrong = []
    if (code != 0) if expect["exit"] == 0 else (code == 0):
        wrong.append(f"exit {code}")
    if "format" in expect and said.get("format") != expect["format"]:
        wrong.append(f"format {said.get('format')}")
    if "imported" in expect and said.get("imported", {}) != expect["imported"]:
        wrong.append(f"imported {said.get('imported')}")
    if "added" in expect and said.get("added") != expect["added"]:
        wrong.append(f"added {said.get('added')}")
    if "skipped" in expect and sum(said.get("skipped", {}).values()) != expect["skipped"]:
        wrong.append(f"skipped {said.get('skipped')}")
    words = PLACE.sub("", json.dumps(said, ensure_ascii=False))
    wrong += [f"does not say {each}" for each in expect.get("says", []) if not re.search(each, words, re.IGNORECASE)]
    prompts = {
        "pairs": [[[[t.role, t.content] for t in row.prompt], row.chosen, row.rejected] for row in rows.pairs],
        "marks": [[[[t.role, t.content] for t in row.prompt], row.completion, row.label] for row in rows.marks],
        "demonstrations": [[[[t.role, t.content] for t in row.prompt], row.completion] for row in rows.sft],
    }
    for name, found in prompts.items():
        wrong += [f"{name}: not {row}" for row in expect.get(name, []) if not any(fits(row, each) for each in found)]
    texts = json.dumps(prompts, ensure_ascii=False)
    wrong += [
        f"{text!r} is in a row"
        for text in expect.get("absent", [])
        if json.dumps(text, ensure_ascii=False)[1:-1] in texts
    ]
    return wrong


def named(case: dict[str, Any]) -> str:
    return " ".join([case["kind"], case["file"].partition("/")[2], *case.get("args", [])[:1]])


@pytest.mark.parametrize("case", [pytest.param(case, id=named(case)) for case in EXPECTED])
def test_a_case_ends_as_an_expert_would_have_it(database: str, case: dict[str, Any]) -> None:
    code, said = command(case["kind"], str(CASES / case["file"]), *case.get("args", []))
    rows = rows_in(database)
    readings = case["expect"].get("any", [case["expect"]])
    found = [differences(expect, code, said, rows) for expect in readings]
    assert any(not wrong for wrong in found), (found, said)
    if code:
        assert "\n" not in said["error"]


def test_a_file_that_was_imported_before_is_no_failure(database: str) -> None:
    file = str(CASES / "import" / "question_chosen_rejected.jsonl")
    assert command("import", file)[0] == 0
    code, said = command("import", file)
    assert (code, said["imported"], said["skipped"]) == (0, {}, {"imported before": 2})


def test_with_strict_the_first_row_that_is_left_out_ends_the_import_with_its_line(database: str) -> None:
    code, said = command("import", str(CASES / "import" / "images_some_rows.jsonl"), "--strict")
    assert code == 1
    assert "Line 1" in said["error"]
    assert "has images" in said["error"]


def test_standard_input_is_read_as_the_file_itself(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    content = (CASES / "import" / "pairs.jsonl.zst").read_bytes()
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))
    code, said = command("import", "-")
    assert (code, said["imported"]) == (0, {"compare": 1})


@pytest.mark.parametrize(
    ("map_", "sentence"),
    [
        (
            "prompt=ask,a=first,b=other,winner=who",
            "other: there is no such column in this file. Its columns: ask, first",
        ),
        ("prompt=ask,a=first,b=second", "does not say which"),
        ("prompt=ask,a=first,winner=who", "Name a and b"),
        ("prompt=ask", "names no answers"),
        ("prompt=ask,a=first,b=second,winner=who,a_wins=first", "Name a_wins and b_wins"),
        ("prompt=ask,a=first,b=second,winner=who,a_wins=below:x,b_wins=above:0", "needs a number"),
        ("prompt=ask,a=first,b=second,who=winner", "does not know"),
        ("prompt=ask,prompt=first,answer=second", "twice"),
    ],
)
def test_a_map_that_cannot_be_followed_is_refused_in_one_sentence(database: str, map_: str, sentence: str) -> None:
    code, said = command("import", str(CASES / "import" / "map_unknown_value.jsonl"), "--map", map_)
    assert code == 2
    assert sentence in said["error"]
    assert set(said) == {"error"}


def test_a_number_is_never_guessed_to_mean_an_answer(database: str) -> None:
    map_ = "prompt=input,a=output_1,b=output_2,winner=label"
    code, said = command("import", str(CASES / "import" / "llmbar.json"), "--map", map_)
    assert code == 2
    assert "a_wins=VALUE,b_wins=VALUE" in said["error"]


def test_a_map_may_be_given_in_parts(database: str) -> None:
    file = str(CASES / "import" / "answers_ab.csv")
    code, said = command("import", file, "--map", "prompt=question,a=answer_a", "--map", "b=answer_b,winner=preferred")
    assert (code, said["format"], said["imported"]) == (0, "mapped", {"compare": 2})
