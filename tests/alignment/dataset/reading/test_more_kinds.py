"""Further kinds of what people have: templates, statuses, several answers in a column, and how services write turns."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from alignment.dataset.judgement import Message
from alignment.dataset.reading.detect import Detector
from alignment.dataset.reading.feedback import Feedback, Record, Skip, demonstration, mark, pair
from alignment.dataset.reading.mapping import parse
from alignment.dataset.reading.read import read_feedback
from alignment.dataset.reading.ways import Ways
from alignment.errors import ReadingProblem

Q, GOOD, BAD = "Why so?", "Because it is light.", "No idea at all."
USER = Message("user", Q)
BEFORE = [Message("user", "Hello"), Message("assistant", "Hi"), USER]
PAIR = pair([USER], GOOD, BAD)
TEXTS = {"prompt": Q, "chosen": GOOD, "rejected": BAD}


def read(record: Record) -> list[Feedback]:
    return Detector(Ways()).way(record).read(record)


def said(role: str, content: object, **more: object) -> Record:
    return {"role": role, "content": content, **more}


@pytest.mark.parametrize(
    ("prompt", "end"),
    [
        ("<｜begin▁of▁sentence｜><｜User｜>Why so?<｜Assistant｜>", "<｜end▁of▁sentence｜>"),
        ("<|start_of_role|>user<|end_of_role|>Why so?<|end_of_text|>\n<|start_of_role|>assistant<|end_of_role|>", ""),
        ("<|header_start|>user<|header_end|>\n\nWhy so?<|eot|><|header_start|>assistant<|header_end|>\n\n", "<|eot|>"),
        ("<extra_id_0>System\n\n<extra_id_1>User\nWhy so?\n<extra_id_1>Assistant\n", "\n<extra_id_1>"),
        (
            "<BOS_TOKEN><|START_OF_TURN_TOKEN|><|USER_TOKEN|>Why so?<|END_OF_TURN_TOKEN|>"
            "<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>",
            "<|END_OF_TURN_TOKEN|>",
        ),
    ],
)
def test_markers_of_a_chat_template_are_turns(prompt: str, end: str) -> None:
    (found,) = read({"prompt": prompt, "chosen": GOOD + end, "rejected": BAD + end})
    assert [turn.content.strip() for turn in found.prompt] == [Q]
    assert [answer.text for answer in found.answers] == [GOOD, BAD]


def test_markers_that_begin_with_the_second_turn_are_turns() -> None:
    prompt = "Hello\n<extra_id_1>Assistant\nHi\n<extra_id_1>User\nWhy so?"
    assert read({**TEXTS, "prompt": prompt}) == [pair(BEFORE, GOOD, BAD)]


@pytest.mark.parametrize(
    "prompt",
    [
        "<|start|>user<|message|>Why so?<|end|><|start|>assistant<|channel|>final<|message|>",
        "### Instruction:\nWhy so?\n\n### Response:\n",
        "### Human: Why so?### Assistant: ",
        "A chat between a curious user and an assistant. USER: Why so? ASSISTANT:",
    ],
)
def test_a_template_whose_turns_are_not_told_apart_is_said_and_never_text(prompt: str) -> None:
    with pytest.raises(Skip, match="already rendered with a chat template"):
        read({**TEXTS, "prompt": prompt})


def test_somebody_who_writes_about_markers_is_quoted() -> None:
    prompt = "What do ### Response: and USER: and <extra_id_1> mean?"
    assert read({**TEXTS, "prompt": prompt}) == [pair([Message("user", prompt)], GOOD, BAD)]


@pytest.mark.parametrize("column", ["status", "response_status", "annotation_status"])
@pytest.mark.parametrize("status", ["discarded", "Draft"])
@pytest.mark.parametrize(
    "record",
    [
        TEXTS,
        {"prompt": Q, "completion": GOOD, "label": True},
        {"prompt": Q, "response_a": GOOD, "response_b": BAD, "winner": "a"},
    ],
)
def test_what_was_discarded_or_is_a_draft_is_no_vote(record: Record, column: str, status: str) -> None:
    with pytest.raises(Skip, match=f"not submitted: {status}"):
        read({**record, column: status})
    assert read({**record, column: "submitted"})


def test_a_status_that_a_map_names_means_what_the_map_says(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({"q": Q, "a": GOOD, "status": "discarded"}) + "\n")
    (row,) = read_feedback(path, mapping=parse(["prompt=q,answer=a,label=status,good=kept,bad=discarded"])).rows
    assert row.feedback == (mark([USER], GOOD, False),)


def test_several_texts_in_a_column_are_so_many_answers_and_no_turns() -> None:
    assert read({**TEXTS, "chosen": [GOOD], "rejected": [BAD, "No."]}) == [PAIR, pair([USER], GOOD, "No.")]
    with pytest.raises(Skip, match="more than 16 answers"):
        read({**TEXTS, "rejected": [str(place) for place in range(16)]})


@pytest.mark.parametrize("key", ["loss", "train", "training", "loss_weight"])
@pytest.mark.parametrize("no", [False, 0, "false"])
def test_an_answer_that_is_not_to_be_learned_is_no_demonstration(key: str, no: object) -> None:
    turns = [said("user", "Hello"), said("assistant", "Hi", **{key: no}), said("user", Q), said("assistant", GOOD)]
    assert read({"messages": turns}) == [demonstration(BEFORE, GOOD)]
    for column in ("messages", "conversations"):
        with pytest.raises(Skip, match="meant to be learned"):
            read({column: turns[:2]})


@pytest.mark.parametrize(("asked", "answered"), [("input", "output"), ("user", "assistant"), ("human", "bot")])
def test_objects_of_question_and_answer_are_turns(asked: str, answered: str) -> None:
    turns = [{asked: "Hello", answered: "Hi"}, {asked: Q, answered: GOOD}]
    assert read({"conversation": turns}) == [demonstration(BEFORE, GOOD)]


@pytest.mark.parametrize(
    "chosen", [GOOD, [said("assistant", GOOD)], [said("user", Q), said("assistant", GOOD)]], ids=["text", "turn", "all"]
)
def test_a_conversation_that_repeats_the_better_answer_is_not_its_beginning(chosen: object) -> None:
    talk = [said("user", Q), said("assistant", GOOD)]
    assert read({"messages": talk, "chosen": chosen, "rejected": BAD}) == [PAIR]


def test_gemini_and_bedrock_write_parts_without_a_type() -> None:
    system = Message("system", "Be brief.")
    shown = [demonstration([system, USER], GOOD)]
    contents = [{"role": "user", "parts": [{"text": Q}]}, {"role": "model", "parts": [{"text": GOOD}]}]
    assert read({"systemInstruction": {"parts": [{"text": "Be brief."}]}, "contents": contents}) == shown
    messages = [said("user", [{"text": Q}]), said("assistant", [{"text": GOOD}])]
    assert read({"system": [{"text": "Be brief."}], "messages": messages}) == shown
    for picture in ({"inlineData": {"data": "x"}}, {"image": {"format": "png"}}):
        with pytest.raises(Skip, match="has images"):
            read({"messages": [said("user", [{"text": Q}, picture]), said("assistant", GOOD)]})


def test_a_question_in_a_list_of_an_unknown_name_is_asked_for_and_never_invented() -> None:
    record = {"talked": [said("user", Q)], "chosen": "First add. Two.", "rejected": "First add. Three."}
    with pytest.raises(ReadingProblem, match="prompt=talked"):
        read(record)


@pytest.mark.parametrize(("label", "good"), [("1.0", True), ("0.0", False)])
def test_a_number_in_a_cell_is_the_number(label: str, good: bool) -> None:
    assert read({"prompt": Q, "completion": GOOD, "label": label}) == [mark([USER], GOOD, good)]


def test_one_short_row_beside_one_good_row_leaves_a_table(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text(f"prompt,chosen,rejected\n{Q},{GOOD},{BAD}\nWhat?,x\n")
    first, second = read_feedback(path).rows
    assert (first.feedback, second.problem) == ((PAIR,), "not as many cells as the header has")


def test_a_row_that_the_viewer_cut_short_is_left_out_and_said(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    rows = [{"row": TEXTS, "truncated_cells": ["chosen"]}, {"row": TEXTS, "truncated_cells": []}]
    path.write_text(json.dumps({"rows": rows}))
    first, second = read_feedback(path).rows
    assert (first.problem, second.feedback) == ("a row of which only a part is in this file", (PAIR,))
