"""Generated feedback: conversations of one and many turns, with system prompts, tools and any Unicode."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from alignment.dataset.judgement import Message
from alignment.dataset.reading.feedback import Answer, Feedback, demonstration, mark, pair, ranking
from alignment.dataset.reading.transcripts import ended
from alignment.dataset.reading.turns import calls_text, tools_text

AWKWARD = (
    "=1+1",
    "'=x",
    "@user",
    "-3\t",
    "\r\nline",
    '"quoted", and "so"',
    "Human: hi",
    "\n\nHuman: hi",
    "\n\nAssistant: no",
    '{"tool_calls": []}',
    '{"tools": [1]}',
    "  edges  ",
    "\ufeffmark",
    "a\u2028b",
    "🙂👩‍👩‍👧 ÅÅ ﬁ ",
    "שלום مرحبا",
)
TEXT = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1, max_size=30),
    st.sampled_from(AWKWARD),
).filter(lambda text: bool(text.strip()) and ended(text) == text)  # a template's end marker is no part of an answer
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=4,
)
CALL = st.fixed_dictionaries(
    {
        "name": st.sampled_from(["search", "add_two"]),
        "arguments": st.dictionaries(st.text(max_size=5), JSON, max_size=2),
    }
)
TOOL = st.fixed_dictionaries({"type": st.just("function"), "function": st.fixed_dictionaries({"name": TEXT})})


@st.composite
def prompts(draw: st.DrawFn, tools: bool = True, system: bool = True) -> tuple[Message, ...]:
    """A conversation that ends in a question, or, with tools, in a tool's result."""
    turns: list[Message] = []
    if tools and draw(st.integers(0, 3)) == 0:
        turns.append(Message("system", tools_text(draw(st.lists(TOOL, min_size=1, max_size=2)))))
    if system and draw(st.booleans()):
        turns.append(Message("system", draw(TEXT)))
    for _ in range(draw(st.integers(0, 3))):
        turns += [Message("user", draw(TEXT)), Message("assistant", draw(TEXT))]
    turns.append(Message("user", draw(TEXT)))
    if tools and draw(st.integers(0, 3)) == 0:
        calls = draw(st.lists(CALL, min_size=1, max_size=2))
        turns.append(Message("assistant", calls_text(calls, draw(st.sampled_from(["", "Let me look."])))))
        turns += [Message("tool", draw(TEXT)) for _ in calls]
    return tuple(turns)


def different(least: int, most: int) -> st.SearchStrategy[list[str]]:
    """Answers that differ in more than white space."""
    return st.lists(TEXT, min_size=least, max_size=most, unique_by=lambda text: " ".join(text.split()))


@st.composite
def pairs(draw: st.DrawFn, **more: bool) -> Feedback:
    """Two answers, one better; now and then both are tool calls."""
    chosen, rejected = draw(different(2, 2))
    if more.get("tools", True) and draw(st.integers(0, 4)) == 0:
        chosen = calls_text([draw(CALL)])
    return pair(draw(prompts(**more)), chosen, rejected)


@st.composite
def marks(draw: st.DrawFn, **more: bool) -> Feedback:
    """One answer, good or bad."""
    return mark(draw(prompts(**more)), draw(TEXT), draw(st.booleans()))


@st.composite
def demonstrations(draw: st.DrawFn, **more: bool) -> Feedback:
    """One answer worth imitating."""
    return demonstration(draw(prompts(**more)), draw(TEXT))


@st.composite
def rankings(draw: st.DrawFn, **more: bool) -> Feedback:
    """Two to five answers with ranks 1, 2 … and ties, but not all tied."""
    texts = draw(different(2, 5))
    ranks = draw(
        st.lists(st.integers(1, 4), min_size=len(texts), max_size=len(texts)).filter(lambda r: len(set(r)) > 1)
    )
    places = {rank: place for place, rank in enumerate(sorted(set(ranks)), 1)}
    return ranking(draw(prompts(**more)), texts, [places[rank] for rank in ranks])


@st.composite
def votes(draw: st.DrawFn, **more: bool) -> Feedback:
    """Left and right, with one better, a tie, or both bad."""
    left, right = draw(different(2, 2))
    a, b, good = draw(st.sampled_from([(1, 2, None), (2, 1, None), (1, 1, None), (None, None, False)]))
    return Feedback(draw(prompts(**more)), (Answer(left, a, good), Answer(right, b, good)))
