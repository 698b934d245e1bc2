"""Prompt files, and the order in which a person meets them."""

from __future__ import annotations

from pathlib import Path

import pytest

from feedback_app.collect.prompts import load_prompts
from feedback_app.errors import UsageError


def test_prompts_are_read_once_each_in_order(tmp_path: Path) -> None:
    path = tmp_path / "compare.jsonl"
    path.write_text('{"prompt": "b", "category": "x"}\n{"prompt": "a"}\n{"prompt": "b"}\n', encoding="utf-8")
    assert load_prompts(path) == ["b", "a"]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [("", "holds no prompts"), ('{"prompt": "a"}\nnonsense', "line 2"), ("[1]", "line 1"), ('{"text": "a"}', "line 1")],
)
def test_a_file_that_is_not_prompts_is_named(tmp_path: Path, content: str, sentence: str) -> None:
    path = tmp_path / "compare.jsonl"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(UsageError, match=sentence):
        load_prompts(path)
    with pytest.raises(UsageError, match="cannot be read"):
        load_prompts(tmp_path / "missing.jsonl")
