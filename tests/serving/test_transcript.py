"""Bytes go through unchanged, whatever the cuts; the token counts stay behind only where nobody asked."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.transcript import DONE, Choice, Said, ToolCall, Transcript, read_reply


def event(**value: object) -> bytes:
    return f"data: {json.dumps(value, separators=(',', ':'))}\n\n".encode()


def piece(text: str, index: int = 0, reason: str | None = None) -> bytes:
    return event(choices=[{"index": index, "delta": {"content": text}, "finish_reason": reason}])


USAGE = event(choices=[], usage={"prompt_tokens": 3, "completion_tokens": 2})


@given(st.lists(st.text(), max_size=6), st.integers(1, 40))
def test_bytes_pass_unchanged_however_they_are_cut(texts: list[str], size: int) -> None:
    raw = b"".join(map(piece, texts)) + piece("", reason="stop") + DONE
    transcript = Transcript(hide_usage=True)
    passed = b"".join(transcript.feed(raw[at : at + size]) for at in range(0, len(raw), size))
    assert passed + transcript.rest() == raw
    assert transcript.said().choices == (Choice("".join(texts), "stop"),)


@pytest.mark.parametrize("size", [1, 5, 1000])
def test_token_counts_that_only_we_asked_for_are_held_back(size: int) -> None:
    before, after = piece("a") + piece("b", reason="stop"), DONE
    raw = before + USAGE + after
    for hide, expected in ((True, before + after), (False, raw)):
        transcript = Transcript(hide_usage=hide)
        assert b"".join(transcript.feed(raw[at : at + size]) for at in range(0, len(raw), size)) == expected
        assert transcript.said() == Said((Choice("ab", "stop"),), 3, 2)


def test_an_answer_that_quotes_the_marker_is_not_held_back() -> None:
    raw = piece('{"choices":[],"usage":{"prompt_tokens":1}}') + DONE
    assert Transcript(hide_usage=True).feed(raw) == raw


def test_a_stream_cut_off_has_the_pieces_that_came() -> None:
    transcript = Transcript()
    transcript.feed(piece("one ") + piece("two") + piece("three")[:-4])
    assert transcript.said() == Said((Choice("one two", None),), 0, 2)


def test_several_choices_are_kept_apart() -> None:
    transcript = Transcript()
    transcript.feed(piece("b", 1) + piece("a", 0) + piece("B", 1, "length") + piece("A", 0, "stop"))
    assert transcript.said().choices == (Choice("aA", "stop"), Choice("bB", "length"))


def test_a_stop_string_is_known_of_the_choice_that_it_cut() -> None:
    ended = {"index": 0, "delta": {"content": ""}, "finish_reason": "stop", "stop_reason": "END"}
    transcript = Transcript()
    transcript.feed(piece("a", 0) + piece("b", 1) + event(choices=[ended]) + piece("", 1, "stop"))
    assert transcript.said().choices == (Choice("a", "stop", "END"), Choice("b", "stop"))


def test_calls_of_tools_are_put_together_from_their_pieces() -> None:
    def call(place: int, index: int, **function: str) -> bytes:
        delta = {"tool_calls": [{"index": place, "function": function}]}
        return event(choices=[{"index": index, "delta": delta, "finish_reason": None}])

    transcript = Transcript()
    transcript.feed(call(0, 1, name="say", arguments="{") + call(1, 1, name="look") + call(0, 1, arguments="}"))
    transcript.feed(piece("well", 0) + call(1, 1, arguments="[]") + piece("", 1, "tool_calls"))
    calls = (ToolCall("say", "{}"), ToolCall("look", "[]"))
    assert transcript.said().choices == (Choice("well", None), Choice("", "tool_calls", None, calls))
    listed = [{"function": {"name": call.name, "arguments": call.arguments}} for call in calls]
    reply = {"choices": [{"message": {"content": None, "tool_calls": listed}, "finish_reason": "tool_calls"}]}
    assert read_reply(json.dumps(reply).encode()).choices == (Choice("", "tool_calls", None, calls),)


def test_a_reply_in_one_piece() -> None:
    reply = {
        "choices": [{"index": 0, "message": {"content": "hi"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 4, "completion_tokens": 1},
    }
    assert read_reply(json.dumps(reply).encode()) == Said((Choice("hi", "stop"),), 4, 1)
    reply["choices"][0]["stop_reason"] = "END"  # type: ignore[index]
    assert read_reply(json.dumps(reply).encode()).choices == (Choice("hi", "stop", "END"),)
    reply["choices"][0]["stop_reason"] = 2  # type: ignore[index]
    assert read_reply(json.dumps(reply).encode()).choices == (Choice("hi", "stop"),)
    with pytest.raises(ValueError, match="not a chat completion"):
        read_reply(b'{"choices": [{}]}')
