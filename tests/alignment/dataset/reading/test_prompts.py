"""Files of prompts: what is one, what is counted with its line, and which side of the split each is on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignment.dataset.judgement import Message
from alignment.dataset.reading.prompts import (
    HELD_OUT_OF,
    BadRow,
    Prompt,
    behind,
    by_turns,
    held_out,
    plain,
    prompt_of,
    read_prompts,
    written_prompts,
)
from alignment.errors import ReadingProblem

TURNS = [
    {"role": "system", "content": "You are a pirate."},
    {"role": "user", "content": "Who are you?"},
    {"role": "assistant", "content": "Arr."},
    {"role": "user", "content": "And your ship?"},
]
some_prompts = st.lists(st.text(min_size=1).filter(str.strip), min_size=2, max_size=40, unique=True).map(
    lambda texts: [plain(text) for text in texts]
)


def saved(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_json_lines_hold_texts_and_messages(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [{"prompt": "b", "category": "x"}, {"prompt": TURNS}, {"messages": TURNS[1:2]}]
    found = read_prompts(saved(tmp_path / "mine.jsonl", "".join(json.dumps(row) + "\n" for row in rows)))
    assert [prompt.asked for prompt in found.prompts] == ["b", "And your ship?", "Who are you?"]
    assert found.prompts[0].category == "x"
    assert [message.role for message in found.prompts[1].earlier] == ["system", "user", "assistant"]
    assert found.bad == ()


def test_a_table_needs_a_column_prompt_and_may_have_others(tmp_path: Path) -> None:
    path = saved(tmp_path / "mine.csv", 'id,Prompt,category\n1,"a, b",advice\n2,c,\n')
    assert read_prompts(path).prompts == (Prompt((Message("user", "a, b"),), "advice"), plain("c"))
    alone = saved(tmp_path / "alone.csv", '\ufeffprompt\n"one\nin two lines"\ntwo\n')
    assert [prompt.asked for prompt in read_prompts(alone).prompts] == ["one\nin two lines", "two"]


def test_a_text_has_a_prompt_a_line(tmp_path: Path) -> None:
    path = saved(tmp_path / "mine.txt", "First, a question?\n\nSecond: another, please.\n")
    assert [prompt.asked for prompt in read_prompts(path).prompts] == ["First, a question?", "Second: another, please."]


def test_bad_rows_are_counted_with_line_and_reason(tmp_path: Path) -> None:
    rows = [
        '{"prompt": "a"}',
        "nonsense",
        '{"text": "a"}',
        '{"prompt": 3}',
        '{"prompt": " "}',
        '{"prompt": "a"}',
        json.dumps({"prompt": TURNS[:3]}),
        json.dumps({"prompt": [TURNS[1], TURNS[1]]}),
        '{"prompt": "b"}',
    ]
    found = read_prompts(saved(tmp_path / "mine.jsonl", "\n".join(rows) + "\n"))
    assert [prompt.asked for prompt in found.prompts] == ["a", "b"]
    assert found.bad == (
        BadRow(2, "not JSON"),
        BadRow(3, 'no "prompt"'),
        BadRow(4, "not text (a prompt is a text or a list of messages)"),
        BadRow(5, "empty"),
        BadRow(6, "the same prompt as an earlier one"),
        BadRow(7, "the last message is not the user's"),
        BadRow(8, "its messages are not user and assistant in turn"),
    )


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.jsonl", "", "is empty"),
        ("a.jsonl", '{"text": "a"}\n', 'Line 1: no "prompt"'),
        ("a.txt", " \n", "holds no prompts"),
        ("a.md", "A story. It has no rows at all.\n", "A story|is "),
    ],
)
def test_a_file_without_prompts_is_refused_in_a_sentence(
    tmp_path: Path, name: str, content: str, sentence: str
) -> None:
    with pytest.raises(ReadingProblem, match=sentence):
        read_prompts(saved(tmp_path / name, content))
    with pytest.raises(ReadingProblem, match="cannot be read"):
        read_prompts(tmp_path / "missing.txt")
    with pytest.raises(ReadingProblem, match="cannot be read"):
        read_prompts(tmp_path / "missing.jsonl")


def test_a_record_keeps_a_prompt_whole(tmp_path: Path) -> None:
    prompts = (prompt_of({"prompt": TURNS, "category": "roleplay"}), plain("b"))
    lines = [json.dumps(prompt.to_record()) + "\n" for prompt in prompts]
    assert written_prompts(saved(tmp_path / "kept.jsonl", "".join(lines))) == prompts
    assert json.loads(lines[1]) == {"prompt": "b"}
    with pytest.raises(ReadingProblem, match="line 1"):
        written_prompts(saved(tmp_path / "damaged.jsonl", "[1]\n"))


@given(prompts=some_prompts)
def test_a_split_parts_all_and_leaves_neither_side_empty(prompts: list[Prompt]) -> None:
    train, aside = held_out(prompts)
    assert train
    assert aside
    assert {*train} | {*aside} == {*prompts}
    assert len(train) + len(aside) == len(prompts)
    assert list(train) == [prompt for prompt in prompts if prompt in train]


def test_a_prompts_side_does_not_depend_on_its_company_or_its_place() -> None:
    many = [plain(f"Question {number}?") for number in range(200)]
    _, aside = held_out(many)
    assert len(many) / HELD_OUT_OF * 0.5 < len(aside) < len(many) / HELD_OUT_OF * 1.5
    for part in (many[::-1], many[::2], many[:50]):
        assert {*held_out(part)[1]} == {*aside} & {*part}
    with pytest.raises(ValueError, match="cannot be split"):
        held_out(many[:1])


def test_categories_take_turns() -> None:
    prompts = [Prompt(plain(f"{kind}{number}").messages, kind) for kind in "ab" for number in range(3)]
    assert [prompt.asked for prompt in by_turns(prompts)] == ["a0", "b0", "a1", "b1", "a2", "b2"]


def test_a_system_text_stands_before_the_prompts_own() -> None:
    own = prompt_of({"prompt": TURNS}).messages
    assert behind("", own) == own
    assert behind("Be kind.", own) == (Message("system", "Be kind.\n\nYou are a pirate."), *own[1:])
    assert behind("Be kind.", own[1:]) == (Message("system", "Be kind."), *own[1:])
