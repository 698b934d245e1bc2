"""An act is read like a form: known types, and what is missing is the sender's fault."""

from __future__ import annotations

from typing import Any

import pytest

from feedback_app.ui.acts import Malformed, read_act

GOOD: list[dict[str, Any]] = [
    {},
    {"do": "start", "conversation": "", "of": None},
    {"do": "verdict", "ticket": "t", "choice": "tie", "a_mark": "", "reasons": ["length"], "comment": "",
     "corrections": {"a": "better", "b": ""}},
    {"do": "verdict", "ticket": "t", "ranks": [1, 2, 2]},
    {"do": "verdict", "ticket": "t", "cannot_judge": True, "ranks": None},
    {"do": "next", "size": 4},
    {"do": "next", "size": "4"},
    {"do": "cancel", "round": "12"},
    {"do": "schedule", "enabled": True, "every_hours": "1.5"},
]  # fmt: skip
BAD: list[Any] = [
    None, [], "x", 1, {"do": []}, {"do": {"a": 1}}, {"text": ["x"]}, {"reasons": "x"}, {"reasons": [1]},
    {"reasons": ["x"] * 65}, {"ranks": ["1"]}, {"ranks": [[1]]}, {"ranks": {"a": 1}}, {"corrections": ["x"]},
    {"corrections": {"a": {}}}, {"corrections": {"c": "x"}}, {"round": "one"}, {"round": 1.5}, {"round": True},
    {"round": "１"}, {"size": []}, {"size": "9" * 400}, {"request": 2**53}, {"request": float("inf")},
    {"request": float("nan")}, {"k" * 65: "x"}, {str(n): n for n in range(65)},
]  # fmt: skip


@pytest.mark.parametrize("act", GOOD)
def test_what_pages_send_is_read_as_it_is(act: dict[str, Any]) -> None:
    assert read_act(act) == act


@pytest.mark.parametrize("act", BAD)
def test_what_no_page_sends_is_refused(act: Any) -> None:
    with pytest.raises(Malformed, match="Reload it"):
        read_act(act)


def test_what_is_missing_is_named() -> None:
    with pytest.raises(Malformed, match="sent no ticket"):
        read_act({"do": "mark"})["ticket"]
    assert read_act({}).get("ticket") is None
