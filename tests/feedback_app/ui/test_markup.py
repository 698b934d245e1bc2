"""What people and models wrote becomes text on a page, never markup and never a request to another host."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedback_app.ui.markup import ago, attributes, button, count, duration, html, icon, prose


@given(st.text())
def test_escaped_text_cannot_open_an_element_or_leave_an_attribute(text: str) -> None:
    assert not set(html("{}", text)) & set("<>\"'")


@pytest.mark.parametrize(
    "text",
    ["<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "a <b>bold</b> claim", "<iframe src='//e.example'>"],
)
def test_html_in_an_answer_is_shown_as_text(text: str) -> None:
    shown = prose(text)
    assert "&lt;" in shown
    assert not any(f"<{tag}" in shown for tag in ("script", "img", "b>", "iframe"))


def test_an_image_in_an_answer_is_not_loaded() -> None:
    assert "<img" not in prose("![a picture](https://elsewhere.example/x.png)")


def test_a_link_that_runs_script_stays_text() -> None:
    assert "<a" not in prose("[press](javascript:alert(1))")


def test_a_link_opens_apart_and_tells_nothing() -> None:
    shown = prose("[docs](https://elsewhere.example)")
    assert 'target="_blank" rel="noopener noreferrer nofollow"' in shown


def test_plain_markdown_is_rendered() -> None:
    shown = prose("One **bold** word\n\n- a\n- b\n\n```\ncode < here\n```")
    assert "<strong>bold</strong>" in shown
    assert shown.count("<li>") == 2
    assert "code &lt; here" in shown


def test_a_button_with_an_icon_alone_has_a_name() -> None:
    shown = button("copy", symbol="copy", label="Copy")
    assert 'aria-label="Copy"' in shown
    assert 'title="Copy"' in shown
    assert icon("copy") in shown


def test_attributes_leave_out_what_is_not_said() -> None:
    assert (
        attributes(class_="a", data_x=None, disabled=False, hidden=True, data_of=3) == ' class="a" hidden data-of="3"'
    )


@pytest.mark.parametrize(
    ("seconds", "words"), [(0, "0 s"), (8.4, "8 s"), (59.6, "1 min"), (180, "3 min"), (3900, "1 h 5 min")]
)
def test_lengths_of_time_read_well(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_moments_read_well() -> None:
    assert [ago(at, 100_000.0) for at in (100_000.0, 99_900.0, 92_000.0, 10_000.0)] == [
        "just now",
        "1 minute ago",
        "2 hours ago",
        "1 day ago",
    ]


def test_one_is_singular() -> None:
    assert (count(1, "vote"), count(1200, "vote")) == ("1 vote", "1,200 votes")
