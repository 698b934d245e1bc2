"""Verifiable instructions, under the names of IFEval (Zhou et al. 2023, arXiv:2311.07911); the checks are our own.

An instruction is `{"id": "length_constraints:number_words", "num_words": 50, "relation": "at least"}`: its name and
its arguments. What needs a program to tell languages apart (`language:response_language`) cannot be checked here and
is refused when it is read. Standard library only.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from alignment.evaluation.capability import sentences

Arguments = Mapping[str, Any]

_WORD = re.compile(r"\w+(?:['’-]\w+)*")
_POSTSCRIPT = {"P.S.": r"p\.\s?s\.", "P.P.S": r"p\.\s?p\.\s?s"}
_OPTIONS = ("my answer is yes.", "my answer is no.", "my answer is maybe.")


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction with its arguments."""

    id: str
    arguments: Arguments = field(default_factory=dict)

    def followed(self, answer: str) -> bool:
        """Whether the answer follows it."""
        return _CHECKS[self.id][1](answer, self.arguments)


def read_instruction(raw: Any) -> Instruction:
    """An instruction of a file. Raises `ValueError` on an unknown one, and on arguments that are missing or wrong."""
    if not isinstance(raw, Mapping) or not isinstance(raw.get("id"), str):
        raise ValueError("an instruction is an object with an id")
    name = raw["id"]
    if name not in _CHECKS:
        raise ValueError(f"the instruction {name} cannot be checked here")
    given = {}
    for argument in _CHECKS[name][0]:
        value = raw.get(argument)
        if not _KINDS[argument](value):
            raise ValueError(f"{name} needs a fitting {argument}")
        given[argument] = value
    return Instruction(name, given)


def words(text: str) -> list[str]:
    """The words of a text."""
    return _WORD.findall(text)


def paragraphs(text: str) -> list[str]:
    """The paragraphs of a text, between blank lines."""
    return [part.strip() for part in re.split(r"\n\s*\n", text) if part.strip()]


def _related(count: int, relation: str, limit: int) -> bool:
    return count < limit if relation == "less than" else count >= limit


def _has(text: str, phrase: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(phrase)}(?!\w)", text, re.IGNORECASE) is not None


def _count(text: str, phrase: str) -> int:
    return len(re.findall(rf"(?<!\w){re.escape(phrase)}(?!\w)", text, re.IGNORECASE))


def _starred(text: str) -> list[str]:
    """The parts between lines of three stars."""
    return [part.strip() for part in re.split(r"\s?\*\*\*\s?", text.strip())]


def _number_paragraphs(text: str, given: Arguments) -> bool:
    parts = _starred(text)
    return len(parts) == given["num_paragraphs"] and all(parts)


def _nth_paragraph(text: str, given: Arguments) -> bool:
    found, at = paragraphs(text), given["nth_paragraph"]
    if len(found) != given["num_paragraphs"] or at > len(found):
        return False
    first = words(found[at - 1])
    return bool(first) and first[0].casefold() == given["first_word"].casefold()


def _postscript(text: str, given: Arguments) -> bool:
    marker = given["postscript_marker"]
    pattern = _POSTSCRIPT.get(marker, re.escape(marker))
    return re.search(rf"^\s*{pattern}", text, re.IGNORECASE | re.MULTILINE) is not None


def _highlights(text: str, given: Arguments) -> bool:
    found = re.findall(r"\*\*([^*\n]+)\*\*|\*([^*\n]+)\*", text)
    return bool(sum(bool((double or single).strip()) for double, single in found) >= given["num_highlights"])


def _sections(text: str, given: Arguments) -> bool:
    splitter = re.escape(given["section_spliter"])
    return bool(len(re.findall(rf"\b{splitter}\s?\d+", text)) >= given["num_sections"])


def _json(text: str, given: Arguments) -> bool:
    inner = re.sub(r"^```(?:json)?\s*|\s*```$", "", text.strip(), flags=re.IGNORECASE)
    try:
        json.loads(inner)
    except (ValueError, RecursionError):
        return False
    return True


def _two_responses(text: str, given: Arguments) -> bool:
    parts = [part.strip() for part in text.split("******") if part.strip()]
    return len(parts) == 2 and parts[0] != parts[1]


def _repeats(text: str, given: Arguments) -> bool:
    return text.strip().casefold().startswith(str(given["prompt_to_repeat"]).strip().casefold())


def _ends(text: str, given: Arguments) -> bool:
    return text.strip().strip('"').casefold().endswith(str(given["end_phrase"]).strip().casefold())


def _capitals(text: str, given: Arguments) -> bool:
    found = sum(word.isupper() for word in words(text))
    return _related(found, given["capital_relation"], given["capital_frequency"])


def _letters(text: str, given: Arguments) -> bool:
    return _related(text.casefold().count(given["letter"].casefold()), given["let_relation"], given["let_frequency"])


def _texts(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(text, str) and text for text in value)


def _text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _relation(value: Any) -> bool:
    return value in ("less than", "at least")


_KINDS: Mapping[str, Callable[[Any], bool]] = {
    **dict.fromkeys(("keywords", "forbidden_words"), _texts),
    **dict.fromkeys(
        ("keyword", "letter", "first_word", "postscript_marker", "section_spliter", "prompt_to_repeat", "end_phrase"),
        _text,
    ),
    **dict.fromkeys(
        (
            *("frequency", "let_frequency", "num_sentences", "num_paragraphs", "num_words", "nth_paragraph"),
            *("num_placeholders", "num_bullets", "num_highlights", "num_sections", "capital_frequency"),
        ),
        _whole,
    ),
    **dict.fromkeys(("relation", "let_relation", "capital_relation"), _relation),
}

# Each with the arguments that it needs.
_CHECKS: Mapping[str, tuple[tuple[str, ...], Callable[[str, Arguments], bool]]] = {
    "keywords:existence": (("keywords",), lambda text, given: all(_has(text, word) for word in given["keywords"])),
    "keywords:frequency": (
        ("keyword", "frequency", "relation"),
        lambda text, given: _related(_count(text, given["keyword"]), given["relation"], given["frequency"]),
    ),
    "keywords:forbidden_words": (
        ("forbidden_words",),
        lambda text, given: not any(_has(text, word) for word in given["forbidden_words"]),
    ),
    "keywords:letter_frequency": (("letter", "let_frequency", "let_relation"), _letters),
    "length_constraints:number_sentences": (
        ("num_sentences", "relation"),
        lambda text, given: _related(sentences(text), given["relation"], given["num_sentences"]),
    ),
    "length_constraints:number_paragraphs": (("num_paragraphs",), _number_paragraphs),
    "length_constraints:number_words": (
        ("num_words", "relation"),
        lambda text, given: _related(len(words(text)), given["relation"], given["num_words"]),
    ),
    "length_constraints:nth_paragraph_first_word": (("num_paragraphs", "nth_paragraph", "first_word"), _nth_paragraph),
    "detectable_content:number_placeholders": (
        ("num_placeholders",),
        lambda text, given: len(re.findall(r"\[[^\[\]]+\]", text)) >= given["num_placeholders"],
    ),
    "detectable_content:postscript": (("postscript_marker",), _postscript),
    "detectable_format:number_bullet_lists": (
        ("num_bullets",),
        lambda text, given: len(re.findall(r"^\s*(?:\*(?!\*)|-)\s*\S", text, re.MULTILINE)) == given["num_bullets"],
    ),
    "detectable_format:constrained_response": (
        (),
        lambda text, given: any(option in text.casefold() for option in _OPTIONS),
    ),
    "detectable_format:number_highlighted_sections": (("num_highlights",), _highlights),
    "detectable_format:multiple_sections": (("section_spliter", "num_sections"), _sections),
    "detectable_format:json_format": ((), _json),
    "detectable_format:title": ((), lambda text, given: re.search(r"<<[^<>\n]*\S[^<>\n]*>>", text) is not None),
    "combination:two_responses": ((), _two_responses),
    "combination:repeat_prompt": (("prompt_to_repeat",), _repeats),
    "startend:end_checker": (("end_phrase",), _ends),
    "startend:quotation": (
        (),
        lambda text, given: len(text.strip()) > 1 and text.strip().startswith('"') and text.strip().endswith('"'),
    ),
    "change_case:capital_word_frequency": (("capital_frequency", "capital_relation"), _capitals),
    "change_case:english_capital": ((), lambda text, given: text.isupper()),
    "change_case:english_lowercase": ((), lambda text, given: text.islower()),
    "punctuation:no_comma": ((), lambda text, given: "," not in text),
}
