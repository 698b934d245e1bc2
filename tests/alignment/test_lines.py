"""A line ends at a line feed and nowhere else, in everything that reads lines."""

from __future__ import annotations

import ast
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from alignment.lines import lines_of, numbered_lines

ROOT = Path(__file__).resolve().parents[2]
# Output of programs and messages of errors, cut up to be shown; nothing is read from them.
SHOWN = {
    "alignment/methods/shared_training/loading.py",
    "alignment/methods/shared_training/reward_model.py",
    "feedback_app/commands/doctor.py",
    "feedback_app/loop/child.py",  # of bytes, where only line feeds and carriage returns count
    "feedback_app/store/engine.py",
    "feedback_app/processes/team.py",
    "serving/model_check.py",
    "serving/supervise.py",
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
