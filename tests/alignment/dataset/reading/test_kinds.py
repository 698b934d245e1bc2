"""Kinds of files, not single ones: the same thing said under other names, in other places and with other values."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignment.dataset.judgement import Message
from alignment.dataset.reading.detect import Detector
from alignment.dataset.reading.feedback import Feedback, Record, Skip, demonstration, mark, pair
from alignment.dataset.reading.mapping import parse
from alignment.dataset.reading.read import Found, read_feedback
from alignment.dataset.reading.ways import Ways
from alignment.errors import ReadingProblem

USER = Message("user", "Why so?")
ASKED = {"role": "user", "content": "Why so?"}
GOOD, BAD = "Because it is light.", "No idea at all."
PAIR, LIKED, SHOWN = pair([USER], GOOD, BAD), mark([USER], GOOD, True), demonstration([USER], GOOD)


def read(record: Record, *, table: bool = False, ways: Ways | None = None) -> list[Feedback]:
    """A record as the only one of its file."""
    return Detector(ways or Ways(), table).way(record).read(record)


def rows(path: Path, content: object, **more: Any) -> tuple[list[Found], list[str]]:
    """What a file of these records holds, and what is said about it."""
    records = content if isinstance(content, list) else [content]
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    reading = read_feedback(path, **more)
    return list(reading.rows), reading.notes()


def said(role: str, text: str) -> dict[str, str]:
    return {"role": role, "content": text}


def from_(who: str, text: str) -> dict[str, str]:
    return {"from": who, "value": text}


QUESTIONS = [
    "prompt",
    "question",
    "instruction",
    "query",
    "input",
    "context",
    "history",
    "Prompt",
    "QUESTION",
    "user_prompt",
]
BETTER_WORSE = [
    ("chosen", "rejected"),
    ("chosen_response", "rejected_response"),
    ("response_chosen", "response_rejected"),
    ("answer_chosen", "answer_rejected"),
    ("preferred_output", "non_preferred_output"),
    ("preferred", "dispreferred"),
    ("better_response", "worse_response"),
    ("accepted", "rejected"),
    ("output", "rejected"),
    ("response", "rejected_response"),
    ("completion", "rejected_completion"),
]


@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize(("better", "worse"), BETTER_WORSE)
def test_a_rejected_answer_makes_a_pair_whatever_its_columns_are_called(question: str, better: str, worse: str) -> None:
    assert read({question: "Why so?", better: GOOD, worse: BAD}) == [PAIR]


WRITTEN = {
    "text": lambda text: text,
    "role": lambda text: [said("assistant", text)],
    "object": lambda text: said("assistant", text),
    "from": lambda text: [from_("gpt", text)],
    "whole": lambda text: [ASKED, said("assistant", text)],
    "json": lambda text: json.dumps([said("assistant", text)]),
    "python": lambda text: repr([ASKED, said("assistant", text)]),
    "parts": lambda text: [{"role": "ASSISTANT", "content": [{"type": "text", "value": text}]}],
}


@pytest.mark.parametrize("asked", ["prompt", "messages", "conversations", "context_messages"])
@pytest.mark.parametrize("better", WRITTEN)
@pytest.mark.parametrize("worse", WRITTEN)
def test_answers_and_questions_may_be_written_in_any_way(asked: str, better: str, worse: str) -> None:
    question: object = "Why so?" if asked == "prompt" else [from_("Human", "Why so?")]
    assert read({asked: question, "chosen": WRITTEN[better](GOOD), "rejected": WRITTEN[worse](BAD)}) == [PAIR]


@pytest.mark.parametrize("column", ["messages", "conversations", "conversation"])
@pytest.mark.parametrize("worse", ["rejected", "rejected_response", "rejected_messages", "dispreferred_answer"])
def test_a_conversation_beside_a_rejected_answer_is_never_a_demonstration(column: str, worse: str) -> None:
    assert read({column: [ASKED, said("assistant", GOOD)], worse: BAD}) == [PAIR]
    with pytest.raises(Skip, match="no rejected answer"):
        read({column: [ASKED, said("assistant", GOOD)], worse: None})


@pytest.mark.parametrize(
    ("value", "good"),
    [
        *((value, True) for value in (True, "true", " True ", 1, 1.0, "1")),
        *((value, False) for value in (False, "FALSE", 0, "0")),
    ],
)
@pytest.mark.parametrize("column", ["label", "kto_tag", "liked"])
def test_a_label_is_read_as_files_write_it(column: str, value: object, good: bool) -> None:
    expected = [mark([USER], GOOD, good)]
    assert read({"prompt": "Why so?", "completion": GOOD, column: value}) == expected
    assert read({"messages": [ASKED, said("assistant", GOOD)], column: value}) == expected


@pytest.mark.parametrize("value", ["maybe", 2, -1, None, "yes", 0.5])
def test_any_other_label_is_skipped_with_its_value(value: object) -> None:
    with pytest.raises(Skip, match="label is not true or false") as raised:
        read({"prompt": "Why so?", "completion": GOOD, "label": value})
    assert value is None or str(value) in str(raised.value)


@pytest.mark.parametrize(
    "column", ["rating", "score", "preference", "thumbs", "user_feedback", "vote", "quality_score"]
)
@pytest.mark.parametrize(
    "record",
    [
        {"prompt": "Why so?", "response": GOOD},
        {"messages": [ASKED, said("assistant", GOOD)]},
        {"instruction": "Why so?", "output": GOOD},
        {"conversations": [from_("human", "Why so?"), from_("gpt", GOOD)]},
    ],
)
def test_feedback_that_is_not_understood_is_named_with_the_map_that_reads_it(record: Record, column: str) -> None:
    with pytest.raises(ReadingProblem, match=f"column {column} holds feedback") as raised:
        read({**record, column: -1})
    advised = str(raised.value).partition("--map ")[2].removesuffix(".")
    from alignment.dataset.reading.columns import read_columns

    assert read_columns({**record, column: -1}, parse([advised]), Ways()) == [mark([USER], GOOD, False)]


@pytest.mark.parametrize(
    "sides",
    [("answer_a", "answer_b"), ("response1", "response2"), ("left", "right"), ("a", "b"), ("output_0", "output_1")],
)
def test_two_answers_and_a_word_for_the_better_one_are_a_vote(sides: tuple[str, str]) -> None:
    a, b = sides
    for winner, ranks in ((a, (1, 2)), (b, (2, 1)), ("tie", (1, 1)), (GOOD, (1, 2)), (BAD, (2, 1))):
        (vote,) = read({"question": "Why so?", a: GOOD, b: BAD, "winner": winner})
        assert tuple(answer.rank for answer in vote.answers) == ranks
    with pytest.raises(ReadingProblem, match="a_wins=VALUE,b_wins=VALUE"):
        read({"question": "Why so?", a: GOOD, b: BAD, "winner": 7})


@pytest.mark.parametrize("held", ["responses", "completions", "answers", "candidates"])
@pytest.mark.parametrize("text", ["text", "response", "answer", "content"])
@pytest.mark.parametrize(
    ("key", "values"), [("rank", ["1", "2"]), ("rank", [0, 4]), ("score", [2.5, -1]), ("rating", ["5", "1"])]
)
def test_answers_in_a_list_are_ranked_by_what_stands_beside_them(
    held: str, text: str, key: str, values: list[Any]
) -> None:
    items = [{text: each, key: value} for each, value in zip((GOOD, BAD), values, strict=True)]
    (inside,) = read({"prompt": "Why so?", held: items})
    assert [answer.text for answer in sorted(inside.answers, key=lambda answer: answer.rank or 0)] == [GOOD, BAD]
    (beside,) = read({"prompt": "Why so?", held: [GOOD, BAD], f"{key}s": values})
    assert [answer.text for answer in sorted(beside.answers, key=lambda answer: answer.rank or 0)] == [GOOD, BAD]


RENDERED = [
    "<|im_start|>user\nWhy so?<|im_end|>\n<|im_start|>assistant\n",
    "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nWhy so?<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\n",
    "<s>[INST] Why so? [/INST]",
    "<bos><start_of_turn>user\nWhy so?<end_of_turn>\n<start_of_turn>model\n",
    "\n\nHuman: Why so?\n\nAssistant:",
    "Human: Why so?\nAssistant:",
]


@pytest.mark.parametrize("prompt", RENDERED)
@pytest.mark.parametrize("end", ["", "<|im_end|>", "</s>", "<|eot_id|>", "<end_of_turn>\n"])
def test_no_marker_of_a_template_or_a_speaker_is_left_in_a_text(prompt: str, end: str) -> None:
    assert read({"prompt": prompt, "chosen": " " + GOOD + end, "rejected": " " + BAD + end}) == [PAIR]


@pytest.mark.timeout(60)
@pytest.mark.parametrize("piece", [" ", "\n", "[INST]", "\nHuman:", "<|im_start|>user\n", "<s>", "</s>", "[", "{", "("])
def test_a_long_text_of_one_piece_takes_no_longer_than_its_length(piece: str) -> None:
    long = piece * 200_000
    for prompt in ("Why so?", "Human: Why so?\nAssistant: " + long, "[INST] Why so? [/INST]" + long, long):
        problem = ""
        try:
            read({"prompt": prompt, "chosen": GOOD + long + "x", "rejected": BAD})
        except Skip as reason:
            problem = str(reason)
        assert len(problem) < 200


@pytest.mark.parametrize("column", ["images", "image", "videos", "audio"])
@pytest.mark.parametrize(
    "record",
    [
        {"prompt": "Why so?", "chosen": GOOD, "rejected": BAD},
        {"prompt": "Why so?", "completion": GOOD, "label": True},
        {"messages": [ASKED, said("assistant", GOOD)]},
    ],
)
def test_a_filled_picture_column_skips_the_row_and_an_empty_one_does_not(record: Record, column: str) -> None:
    with pytest.raises(Skip, match="has images"):
        read({**record, column: ["a.png"]})
    for nothing in (None, [], "", [None], float("nan")):
        assert read({**record, column: nothing}) == read(record)
    ways = Ways(text_only=True)
    assert read({**record, column: ["a.png"]}, ways=ways) == read(record)
    assert "mages were left out" in ways.notes()[0]


@pytest.mark.parametrize("system", ["system", "system_prompt", "system_message"])
def test_a_system_column_is_the_first_message_and_an_empty_one_is_none(system: str) -> None:
    record = {"question": "Why so?", "chosen": GOOD, "rejected": BAD}
    assert read({**record, system: "Be kind."}) == [pair([Message("system", "Be kind."), USER], GOOD, BAD)]
    for nothing in ("", " ", None):
        assert read({**record, system: nothing}) == [PAIR]


def test_a_question_is_not_invented_where_a_column_could_hold_it() -> None:
    record = {"chosen": "It is light.", "rejected": "It is dark."}
    (cut,) = read(record)
    assert cut.prompt == (Message("user", "It is"),)
    with pytest.raises(ReadingProblem, match="--map prompt=frage,chosen=chosen,rejected=rejected"):
        read({**record, "frage": "Why so?"})


def test_columns_that_were_not_read_are_said(tmp_path: Path) -> None:
    found, notes = rows(tmp_path / "a.jsonl", {"prompt": "Why so?", "chosen": GOOD, "rejected": BAD, "hint": "Think."})
    assert [(one.line, one.feedback, one.problem) for one in found] == [(1, (PAIR,), "")]
    assert notes == ["Columns that were not read: hint."]


def test_rows_of_several_kinds_in_one_file_are_each_read_as_what_they_are(tmp_path: Path) -> None:
    found, _ = rows(
        tmp_path / "a.jsonl",
        [
            {"prompt": "Why so?", "chosen": GOOD, "rejected": BAD},
            {"prompt": "Why so?", "completion": GOOD, "label": 1},
            {"prompt": "Why so?", "completion": GOOD},
            {"unknown": 1},
        ],
    )
    assert [row.feedback for row in found] == [(PAIR,), (LIKED,), (SHOWN,), ()]
    assert found[-1].problem == "a key is missing or of another kind"


def test_reasons_that_name_a_value_do_not_grow_without_end(tmp_path: Path) -> None:
    labelled = [{"prompt": "Why so?", "completion": GOOD, "label": f"value {n}"} for n in range(300)]
    found, _ = rows(tmp_path / "a.jsonl", labelled)
    assert len(Counter(row.problem for row in found)) <= 21


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["role", "content", "from", "value", "type", "text", "rank", "x"]), inner, max_size=3
        )
    ),
    max_leaves=8,
)
KEYS = st.sampled_from(
    [
        "prompt",
        "question",
        "instruction",
        "input",
        "messages",
        "conversations",
        "chosen",
        "rejected",
        "completion",
        "response",
        "output",
        "label",
        "kto_tag",
        "responses",
        "answers",
        "scores",
        "rank",
        "fields",
        "responses",
        "data",
        "meta",
        "snapshot",
        "chat",
        "mapping",
        "annotations",
        "images",
        "system",
        "tools",
        "history",
        "output_1",
        "output_2",
        "preference",
        "winner",
        "conversation_a",
        "conversation_b",
        "message_id",
        "parent_id",
        "text",
        "role",
        "message_tree_id",
        "value",
        "name",
        "trace",
        "instances",
        "instruction",
        "user_prompt",
        "model_response",
        "if_chosen",
        "conversation_id",
        "conversation_history",
        "x",
    ]
)


@given(st.lists(st.dictionaries(KEYS, JSON, max_size=6), min_size=1, max_size=4))
def test_whatever_records_hold_a_file_ends_in_rows_reasons_or_one_sentence(
    tmp_path_factory: pytest.TempPathFactory, records: list[Record]
) -> None:
    path = tmp_path_factory.mktemp("any") / "a.jsonl"
    problem, found = "", []
    try:
        found, _ = rows(path, records)
    except ReadingProblem as error:
        problem = str(error)
    assert "\n" not in problem
    assert bool(problem) != (len(found) == len(records))
