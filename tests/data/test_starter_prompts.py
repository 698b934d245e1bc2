"""The `starter` prompts: enough of every kind, well formed, no two alike, and a held-out part that is held out.

A word is a Chinese character, or a run of other letters and digits. What two prompts share is measured against the
shorter one, so that a short prompt within a long one counts as a copy.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from alignment.dataset.compile.personal import find
from alignment.dataset.judgement import Message
from alignment.dataset.row_files import messages
from alignment.files import json_lines

FOLDER = Path(__file__).resolve().parents[2] / "data" / "prompts" / "starter"
FILES = ("train", "held_out")
CATEGORIES = frozenset(
    {
        *("advice", "explaining", "rewriting", "brainstorming", "summarising"),
        *("coding", "arithmetic", "roleplay", "refusing", "not_knowing"),
    }
)
ALIKE = 0.5  # the share of 3-grams above which two prompts are one
HAN = "\u3400-\u9fff"
WORD = re.compile(rf"[{HAN}]|[^\W{HAN}_]+(?:['’][^\W{HAN}_]+)*")
Gram = tuple[str, ...]


@dataclass(frozen=True)
class Starter:
    """One line of the files."""

    id: str
    category: str
    language: str
    prompt: tuple[Message, ...]

    @property
    def roles(self) -> list[str]:
        return [message.role for message in self.prompt]

    @property
    def text(self) -> str:
        return "\n".join(message.content for message in self.prompt)


def starter(record: dict[str, Any]) -> Starter:
    """Refuses a field too many or too few, and a prompt that is not a list of messages."""
    if not isinstance(record["prompt"], list):
        raise ValueError(f"{record['id']}: the prompt is not a list of messages")
    return Starter(**{**record, "prompt": messages(record["prompt"])})


@pytest.fixture(scope="module")
def files() -> dict[str, list[Starter]]:
    return {name: [starter(record) for _, record in json_lines(FOLDER / f"{name}.jsonl")] for name in FILES}


@pytest.fixture(scope="module")
def everything(files: dict[str, list[Starter]]) -> list[Starter]:
    return [each for name in FILES for each in files[name]]


def grams(text: str, n: int) -> set[Gram]:
    """The runs of `n` words of a text; of a text with fewer words, the whole of it."""
    words = WORD.findall(text.lower())
    return {tuple(words[i : i + n]) for i in range(max(1, len(words) - n + 1))}


def near_duplicates(texts: dict[str, str]) -> Iterator[tuple[str, str, float]]:
    """The ids of every two texts that share more than `ALIKE` of the shorter one's 3-grams, and that share."""
    pieces = {name: grams(text, 3) for name, text in texts.items()}
    for one, other in combinations(pieces, 2):
        share = len(pieces[one] & pieces[other]) / min(len(pieces[one]), len(pieces[other]))
        if share > ALIKE:
            yield one, other, share


def long_runs(prompts: Iterable[Starter]) -> dict[Gram, str]:
    """Every run of eight words within one message, with the id of a prompt that has it."""
    found: dict[Gram, str] = {}
    for each in prompts:
        for message in each.prompt:
            found.update((gram, each.id) for gram in grams(message.content, 8))
    return found


def han_share(text: str) -> float:
    """How much of a text's words is Chinese."""
    words = WORD.findall(text)
    return sum(bool(re.match(f"[{HAN}]", word)) for word in words) / len(words)


def test_there_are_enough_in_both_files(files: dict[str, list[Starter]]) -> None:
    assert len(files["train"]) >= 400
    assert len(files["held_out"]) >= 60


def test_every_category_stands_in_both_files_in_both_languages(files: dict[str, list[Starter]]) -> None:
    for name, least in (("train", {"en": 25, "zh": 9}), ("held_out", {"en": 5, "zh": 1})):
        counts = Counter((each.category, each.language) for each in files[name])
        assert {category for category, _ in counts} == CATEGORIES
        assert {language for _, language in counts} == {"en", "zh"}
        for category in CATEGORIES:
            for language, number in least.items():
                assert counts[category, language] >= number, (name, category, language)


def test_about_a_quarter_is_chinese_and_each_is_written_in_its_language(everything: list[Starter]) -> None:
    chinese = sum(each.language == "zh" for each in everything)
    assert 0.22 <= chinese / len(everything) <= 0.30
    for each in everything:
        prose = "\n".join(re.sub(r"```.*?```|`[^`]*`", "", m.content, flags=re.DOTALL) for m in each.prompt)
        share = han_share(prose)
        assert share > 0.6 if each.language == "zh" else share == 0, (each.id, share)


def test_some_have_several_turns_and_some_a_system_prompt(files: dict[str, list[Starter]]) -> None:
    for name, least in (("train", 40), ("held_out", 5)):
        assert sum("assistant" in each.roles for each in files[name]) >= least
        assert sum("system" in each.roles for each in files[name]) >= least
    systems = [each.prompt[0].content for name in FILES for each in files[name] if "system" in each.roles]
    assert len(set(systems)) == len(systems), "a system prompt is used twice"


def test_roles_alternate_and_the_person_has_the_last_word(everything: list[Starter]) -> None:
    for each in everything:
        turns = each.roles[1:] if each.roles[0] == "system" else each.roles
        assert len(turns) % 2 == 1, each.id
        assert turns == [("user", "assistant")[i % 2] for i in range(len(turns))], each.id


def test_texts_are_whole_clean_and_short_enough_for_a_small_model(everything: list[Starter]) -> None:
    for each in everything:
        for message in each.prompt:
            assert message.content == message.content.strip() != "", each.id
            assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f\ufffd\u200b-\u200f\u2028\u2029]", message.content), each.id
            assert message.content.count("```") % 2 == 0, each.id
        assert len(each.text) <= 1200, each.id


def test_ids_are_unique_and_say_category_and_language(everything: list[Starter]) -> None:
    assert len({each.id for each in everything}) == len(everything)
    for each in everything:
        assert re.fullmatch(rf"{each.category}-{each.language}-\d{{3}}", each.id)


def test_no_two_prompts_are_nearly_the_same(everything: list[Starter]) -> None:
    assert list(near_duplicates({each.id: each.text for each in everything})) == []


def test_a_filled_in_template_would_be_seen_in_either_language() -> None:
    english = {
        "a": "Write a friendly birthday message for my aunt who likes gardening.",
        "b": "Write a friendly birthday message for my aunt who likes chess.",
        "c": "My aunt likes gardening and has a birthday soon. What could I write to her?",
    }
    chinese = {
        "d": "请帮我写一条给姑姑的生日祝福。",
        "e": "请帮我写一条给舅舅的生日祝福。",
        "f": "姑姑过生日，祝福怎么写？",
    }
    assert [pair[:2] for pair in near_duplicates({**english, **chinese})] == [("a", "b"), ("d", "e")]


def test_what_is_held_out_shares_no_run_of_eight_words_with_the_rest(files: dict[str, list[Starter]]) -> None:
    seen = long_runs(files["train"])
    assert [(each, seen[gram]) for gram, each in long_runs(files["held_out"]).items() if gram in seen] == []


def test_no_personal_data_is_in_them(everything: list[Starter]) -> None:
    assert [(each.id, found.kind) for each in everything for found in find(each.text)] == []


def test_the_readme_counts_what_is_there(files: dict[str, list[Starter]]) -> None:
    rows = re.findall(
        r"^\| `(\w+)` \|.*\| (\d+) \| (\d+) \| (\d+) \| (\d+) \|$", (FOLDER / "README.md").read_text("utf-8"), re.M
    )
    said = {category: tuple(map(int, numbers)) for category, *numbers in rows}
    counts = {name: Counter((each.category, each.language) for each in files[name]) for name in FILES}
    assert said == {
        category: tuple(counts[name][category, language] for name in FILES for language in ("en", "zh"))
        for category in CATEGORIES
    }
