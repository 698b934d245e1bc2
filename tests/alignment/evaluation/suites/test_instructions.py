"""Each verifiable instruction tells an answer that follows it from one that does not."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignment.evaluation.suites.instructions import read_instruction, words

CASES: list[tuple[str, dict[str, Any], str, str]] = [
    ("keywords:existence", {"keywords": ["Oak", "elm"]}, "An oak and an Elm.", "An oak and elms."),
    ("keywords:frequency", {"keyword": "tea", "frequency": 2, "relation": "at least"}, "Tea, tea!", "Tea and steak."),
    ("keywords:frequency", {"keyword": "tea", "frequency": 2, "relation": "less than"}, "Tea.", "Tea, tea."),
    ("keywords:forbidden_words", {"forbidden_words": ["bad"]}, "A badge.", "Too BAD."),
    ("keywords:letter_frequency", {"letter": "E", "let_frequency": 3, "let_relation": "at least"}, "Eve here", "Eve"),
    ("length_constraints:number_sentences", {"num_sentences": 2, "relation": "less than"}, "One.", "One. Two."),
    ("length_constraints:number_paragraphs", {"num_paragraphs": 2}, "One\n***\nTwo", "One\n\nTwo"),
    ("length_constraints:number_paragraphs", {"num_paragraphs": 2}, "One *** Two", "One *** "),
    ("length_constraints:number_words", {"num_words": 3, "relation": "at least"}, "it's so good", "so good"),
    (
        "length_constraints:nth_paragraph_first_word",
        {"num_paragraphs": 2, "nth_paragraph": 2, "first_word": "Then"},
        "First this.\n\nThen that.",
        "First this.\n\nAnd then that.",
    ),
    ("detectable_content:number_placeholders", {"num_placeholders": 2}, "Dear [name], [text]", "Dear [name], []"),
    ("detectable_content:postscript", {"postscript_marker": "P.S."}, "Hello.\nP. S. Bye.", "Hello. No ps."),
    ("detectable_content:postscript", {"postscript_marker": "NB"}, "Hello.\nnb look", "Hello, NB look"),
    ("detectable_format:number_bullet_lists", {"num_bullets": 2}, "* one\n- two", "* one\n- two\n- three"),
    ("detectable_format:number_bullet_lists", {"num_bullets": 1}, "* one\n**two**", "**one**\n**two**"),
    ("detectable_format:constrained_response", {}, "My answer is maybe.", "Maybe."),
    ("detectable_format:number_highlighted_sections", {"num_highlights": 2}, "*one* and **two**", "*one* and two"),
    (
        "detectable_format:multiple_sections",
        {"section_spliter": "SECTION", "num_sections": 2},
        "SECTION 1\na\nSECTION 2\nb",
        "SECTION 1\na\nPART 2\nb",
    ),
    ("detectable_format:json_format", {}, '```json\n{"a": 1}\n```', "a: 1"),
    ("detectable_format:title", {}, "<<A walk>>\nIt was late.", "<A walk>\n<< >>"),
    ("combination:two_responses", {}, "Yes ****** No", "Yes ****** Yes"),
    ("combination:repeat_prompt", {"prompt_to_repeat": "Say why."}, "say why. Because.", "Because. Say why."),
    ("startend:end_checker", {"end_phrase": "the end."}, 'So it was "The End."', "The end. Or not"),
    ("startend:quotation", {}, ' "All of it." ', '"'),
    ("change_case:capital_word_frequency", {"capital_frequency": 2, "capital_relation": "at least"}, "GO ON", "GO on"),
    ("change_case:english_capital", {}, "ALL OF 3!", "ALL of 3"),
    ("change_case:english_lowercase", {}, "all of 3!", "All of 3"),
    ("punctuation:no_comma", {}, "One and two.", "One, two."),
]


@pytest.mark.parametrize(("name", "arguments", "follows", "does_not"), CASES)
def test_an_answer_that_follows_is_told_from_one_that_does_not(
    name: str, arguments: dict[str, Any], follows: str, does_not: str
) -> None:
    read = read_instruction({"id": name, **arguments})
    assert read.followed(follows)
    assert not read.followed(does_not)


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        ("punctuation:no_comma", "an object with an id"),
        ({"id": "language:response_language"}, "cannot be checked here"),
        ({"id": "keywords:existence"}, "needs a fitting keywords"),
        ({"id": "length_constraints:number_words", "num_words": "3", "relation": "at least"}, "fitting num_words"),
        ({"id": "length_constraints:number_words", "num_words": 3, "relation": "about"}, "fitting relation"),
    ],
)
def test_unknown_instructions_and_missing_arguments_are_refused(raw: Any, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        read_instruction(raw)


@given(st.text(), st.integers(0, 20))
def test_less_than_and_at_least_are_each_others_opposite(text: str, limit: int) -> None:
    few, many = (
        read_instruction({"id": "length_constraints:number_words", "num_words": limit, "relation": relation})
        for relation in ("less than", "at least")
    )
    assert few.followed(text) != many.followed(text)
    assert many.followed(text) == (len(words(text)) >= limit)
