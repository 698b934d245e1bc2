"""The shapes that files of others really have, each in one tiny record written by hand."""

from __future__ import annotations

import json
from typing import Any

import pytest

from alignment.dataset.judgement import Message
from alignment.dataset.reading.detect import detect, reader
from alignment.dataset.reading.feedback import Answer, checked, demonstration, mark, pair, ranking
from alignment.dataset.reading.formats import Feedback, Record, Skip
from alignment.dataset.reading.turns import calls_text, tools_text
from alignment.errors import ReadingProblem

USER, BOT = (lambda text: Message("user", text)), (lambda text: Message("assistant", text))
SYSTEM, TOOL = (lambda text: Message("system", text)), (lambda text: Message("tool", text))


def rating(message_id: str, thumb: Any, **data: Any) -> Record:
    """Open WebUI's record on a chat with two answers to one question."""
    tree = {
        "m1": {"id": "m1", "parentId": None, "childrenIds": ["m2", "m3"], "role": "user", "content": "Q"},
        "m2": {"id": "m2", "parentId": "m1", "childrenIds": ["m4"], "role": "assistant", "content": "A", "model": "x"},
        "m3": {"id": "m3", "parentId": "m1", "childrenIds": [], "role": "assistant", "content": "B", "model": "y"},
        "m4": {"id": "m4", "parentId": "m2", "childrenIds": ["m5"], "role": "user", "content": "R"},
        "m5": {"id": "m5", "parentId": "m4", "childrenIds": [], "role": "assistant", "content": "C", "model": "x"},
    }
    chat = {"title": "t", "params": {"system": "S"}, "history": {"messages": tree, "currentId": "m5"}}
    return {
        "id": "f1",
        "user_id": "u1",
        "version": 0,
        "type": "rating",
        "data": {
            "rating": thumb,
            "model_id": "x",
            "sibling_model_ids": ["y"],
            "reason": "accurate",
            "comment": "",
            **data,
        },
        "meta": {"arena": True, "chat_id": "c1", "message_id": message_id, "message_index": 1},
        "snapshot": {"chat": {"id": "c1", "user_id": "u1", "title": "t", "chat": chat}},
        "created_at": 1704067200,
        "updated_at": 1704067200,
    }


def vote(kind: str, **more: Any) -> Record:
    """FastChat's line on two Vicuna conversations."""
    states = [
        {
            "template_name": "vicuna_v1.1",
            "system_message": "A chat.",
            "roles": ["USER", "ASSISTANT"],
            "messages": [["USER", "Q"], ["ASSISTANT", text]],
            "offset": 0,
            "conv_id": text,
            "model_name": f"model-{text}",
        }
        for text in "AB"
    ]
    return {"tstamp": 1700000000.1, "type": kind, "models": ["", ""], "states": states, "ip": "203.0.113.9"} | more


VOTED = (SYSTEM("A chat."), USER("Q"))


def by(row: Feedback, **more: Any) -> Feedback:
    """The same, said by somebody."""
    from dataclasses import replace

    return replace(row, **more)


def tree(*ranks: int | None) -> Record:
    """An OpenAssistant tree whose first answer was asked on."""
    replies = [
        {"message_id": f"r{i}", "parent_id": "r", "text": f"A{i}", "role": "assistant", "lang": "en", "deleted": False}
        | ({} if rank is None else {"rank": rank})
        | {"replies": []}
        for i, rank in enumerate(ranks)
    ]
    deeper = [
        {
            "message_id": f"d{rank}",
            "text": f"D{rank}",
            "role": "assistant",
            "rank": rank,
            "deleted": rank == 2,
            "replies": [],
        }
        for rank in (0, 1, 2)
    ]
    replies[0]["replies"] = [{"message_id": "q", "text": "More?", "role": "prompter", "rank": 0, "replies": deeper}]
    root = {"message_id": "r", "text": "Q", "role": "prompter", "lang": "en", "replies": replies}
    return {"message_tree_id": "r", "tree_state": "ready_for_export", "prompt": root}


CALL = {"name": "search", "arguments": {"q": "x"}}
SHAPES: list[tuple[str, Record, list[Feedback]]] = [
    ("trl", {"prompt": "Q", "chosen": "A", "rejected": "B"}, [pair([USER("Q")], "A", "B")]),
    (
        "trl",
        {"chosen": [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}]}
        | {"rejected": [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "B"}]},
        [pair([USER("Q")], "A", "B")],
    ),
    ("trl-unpaired", {"prompt": "Q", "completion": "A", "label": False}, [mark([USER("Q")], "A", False)]),
    (
        "openai-chat",
        {
            "messages": [
                {"role": "system", "content": "S"},
                {"role": "user", "content": "Q"},
                {"role": "assistant", "content": "A"},
            ]
        },
        [demonstration([SYSTEM("S"), USER("Q")], "A")],
    ),
    (
        "hh",
        {
            "chosen": "\n\nHuman: Q\n\nAssistant: A\n\nHuman: R\n\nAssistant: C",
            "rejected": "\n\nHuman: Q\n\nAssistant: A\n\nHuman: R\n\nAssistant:D",
        },
        [pair([USER("Q"), BOT("A"), USER("R")], "C", "D")],
    ),
    (
        "ranked",
        {"prompt": "Q", "responses": [{"text": "A", "rank": 0}, {"text": "B", "rank": 2.0}, {"text": "C", "rank": 0}]},
        [ranking([USER("Q")], ["A", "B", "C"], [0, 2, 0])],
    ),
    (
        "oasst",
        tree(1, 0, None),
        [
            ranking([USER("Q")], ["A0", "A1"], [1, 0]),
            ranking([USER("Q"), BOT("A0"), USER("More?")], ["D0", "D1"], [0, 1]),
        ],
    ),
    (
        "ultrafeedback",
        {
            "source": "evol",
            "instruction": "Q",
            "models": ["m", "n", "o"],
            "completions": [
                {"model": "m", "response": "A", "overall_score": 7.5, "critique": ""},
                {"model": "n", "response": "B", "overall_score": 9.0},
                {
                    "model": "o",
                    "response": "C",
                    "annotations": {"honesty": {"Rating": "4"}, "truth": {"Rating": "N/A"}},
                },
            ],
        },
        [ranking([USER("Q")], ["A", "B", "C"], [2, 1, 3])],
    ),
    (
        "ultrafeedback",
        {"instruction": "Q", "generations": ["A", "B"], "ratings": [3, 3]},
        [ranking([USER("Q")], ["A", "B"], [1, 1])],
    ),
    (
        "ultrafeedback",
        {"source": "s", "instruction": "Q", "chosen_response": "A", "rejected_response": "B", "chosen_avg_rating": 5.0}
        | {"rejected_avg_rating": 2.25, "chosen_model": "m"},
        [ranking([USER("Q")], ["A", "B"], [1, 2])],
    ),
    (
        "ultrafeedback",
        {
            "prompt": "Q",
            "prompt_id": "x",
            "chosen": [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}],
            "rejected": [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "B"}],
            "messages": [],
            "score_chosen": 8.5,
            "score_rejected": 4.0,
        },
        [ranking([USER("Q")], ["A", "B"], [1, 2])],
    ),
    (
        "ultrafeedback",
        {"prompt": "Q", "chosen": [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}]}
        | {"rejected": [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "B"}]}
        | {"chosen-rating": 4.75, "rejected-rating": 4.0, "chosen-model": "m"},
        [ranking([USER("Q")], ["A", "B"], [1, 2])],
    ),
    (
        "argilla",
        {
            "fields": {"prompt": "Q", "response-1": "A", "response-2": "B"},
            "responses": [
                {
                    "user_id": "u",
                    "status": "submitted",
                    "values": {
                        "order": {"value": [{"rank": 2, "value": "response-1"}, {"rank": 1, "value": "response-2"}]}
                    },
                },
                {"user_id": "v", "status": "discarded", "values": {}},
            ],
        },
        [ranking([USER("Q")], ["A", "B"], [2, 1], rater="u")],
    ),
    (
        "llama-factory",
        {"conversations": [{"from": "human", "value": "Q"}], "chosen": {"from": "gpt", "value": "A"}}
        | {"rejected": {"from": "gpt", "value": "B"}},
        [pair([USER("Q")], "A", "B")],
    ),
    (
        "llama-factory",
        {"conversations": [{"from": "system", "value": "S"}, {"from": "human", "value": "Q"}]}
        | {"chosen": {"from": "gpt", "value": "A"}, "rejected": {"from": "gpt", "value": "B"}},
        [pair([SYSTEM("S"), USER("Q")], "A", "B")],
    ),
    (
        "llama-factory",
        {"messages": [{"content": "Q", "role": "user"}, {"content": "A", "role": "assistant"}], "label": True},
        [mark([USER("Q")], "A", True)],
    ),
    ("llama-factory", {"instruction": "I", "input": "", "output": "A"}, [demonstration([USER("I")], "A")]),
    (
        "llama-factory",
        {"instruction": "I", "input": "X", "output": "A", "rejected": "B", "chosen": "A"},
        [pair([USER("I\nX")], "A", "B")],
    ),
    (
        "llama-factory",
        {
            "conversations": [
                {"from": "human", "value": "Q"},
                {"from": "function_call", "value": json.dumps(CALL)},
                {"from": "observation", "value": '{"hits": 2}'},
                {"from": "gpt", "value": "Two."},
            ],
            "tools": '[{"name": "search"}]',
        },
        [
            demonstration(
                [SYSTEM(tools_text([{"name": "search"}])), USER("Q"), BOT(calls_text([CALL])), TOOL('{"hits": 2}')],
                "Two.",
            )
        ],
    ),
    (
        "llama-factory",
        {"id": "identity_0", "conversations": [{"from": "human", "value": "Who?"}, {"from": "gpt", "value": "Me."}]},
        [demonstration([USER("Who?")], "Me.")],
    ),
    ("open-webui", rating("m3", -1), [mark([SYSTEM("S"), USER("Q")], "B", False, rater="u1", reasons=("accurate",))]),
    (
        "open-webui",
        rating("m5", 1, comment="Nice", tags=["clear"]),
        [
            mark(
                [SYSTEM("S"), USER("Q"), BOT("A"), USER("R")],
                "C",
                True,
                rater="u1",
                comment="Nice",
                reasons=("accurate", "clear"),
            )
        ],
    ),
    ("fastchat", vote("leftvote"), [by(pair(VOTED, "A", "B"), rater="203.0.113.9")]),
    ("fastchat", vote("rightvote"), [Feedback(VOTED, (Answer("A", 2), Answer("B", 1)), rater="203.0.113.9")]),
    ("fastchat", vote("tievote"), [Feedback(VOTED, (Answer("A", 1), Answer("B", 1)), rater="203.0.113.9")]),
    (
        "fastchat",
        vote("bothbad_vote"),
        [Feedback(VOTED, (Answer("A", good=False), Answer("B", good=False)), rater="203.0.113.9")],
    ),
]


@pytest.mark.parametrize(
    ("format", "record", "expected"), [pytest.param(*shape, id=f"{n}-{shape[0]}") for n, shape in enumerate(SHAPES)]
)
def test_a_shape_is_recognised_and_read(format: str, record: Record, expected: list[Feedback]) -> None:
    assert detect(record) == format
    read = reader(format)(record)
    assert read == expected
    for one in read:
        checked(one)


@pytest.mark.parametrize(
    ("format", "record", "reason"),
    [
        ("hh", {"chosen": "\n\nHuman: Q\n\nAssistant: A", "rejected": "\n\nHuman: R\n\nAssistant: B"}, "differ before"),
        ("hh", {"chosen": "\n\nHuman: Q", "rejected": "\n\nHuman: Q\n\nAssistant: B"}, "does not end in an answer"),
        ("hh", {"chosen": "Hello \n\nHuman: Q\n\nAssistant: A", "rejected": ""}, "before the first turn"),
        ("trl-unpaired", {"prompt": "Q", "completion": "A", "label": 2}, "label is not true or false: 2"),
        ("ranked", {"prompt": "Q", "responses": [{"text": "A", "rank": 1}]}, "fewer than two answers"),
        ("ranked", {"prompt": "Q", "responses": [{"text": "A", "rank": 1}, {"text": 5, "rank": 2}]}, "without a text"),
        (
            "ranked",
            {"prompt": "Q", "responses": [{"text": "A", "rank": 1.5}, {"text": "B", "rank": 2}]},
            "whole number",
        ),
        (
            "ranked",
            {"prompt": "Q", "responses": [{"text": "A", "rank": True}, {"text": "B", "rank": 2}]},
            "whole number",
        ),
        ("oasst", {"message_tree_id": "x", "prompt": {"role": "prompter", "text": "Q", "replies": []}}, "two ranked"),
        (
            "ultrafeedback",
            {"instruction": "Q", "completions": [{"response": "A"}, {"response": "B"}]},
            "without a score",
        ),
        (
            "ultrafeedback",
            {"instruction": "Q", "completions": [{"response": "A", "overall_score": 1}]},
            "fewer than two",
        ),
        ("argilla", {"fields": {"prompt": "Q"}, "responses": []}, "no submitted response"),
        ("fastchat", vote("share"), "not a vote"),
        ("fastchat", vote("leftvote", states=[vote("x")["states"][0]]), "not two sides"),
        ("open-webui", rating("m9", 1), "not in the snapshot"),
        ("open-webui", rating("m1", 1), "does not end in an answer"),
        ("open-webui", rating("m2", None), "no thumb"),
        ("llama-factory", {"messages": [], "label": True}, "does not end in an answer"),
        ("llama-factory", {"conversations": [{"from": "wizard", "value": "Q"}]}, "unknown role"),
        ("openai-chat", {"messages": [{"role": "user", "content": "Q"}]}, "no answer"),
        ("openai-chat", {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "has images"),
    ],
)
def test_a_record_that_says_nothing_is_skipped_with_the_reason(format: str, record: Record, reason: str) -> None:
    with pytest.raises(Skip, match=reason):
        reader(format)(record)


@pytest.mark.parametrize(
    "record",
    [
        {"text": "Once upon a time"},
        {"prompt": "Q", "S": 0, "H": 1},
        {"instruction": "I", "response1": "A", "response2": "B"},
        {},
    ],
)
def test_what_is_none_of_ours_is_said_with_its_keys(record: Record) -> None:
    with pytest.raises(ReadingProblem, match="cannot be told from its keys"):
        detect(record)
