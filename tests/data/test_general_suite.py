"""The shipped suite `general`: whole, balanced, and without an item that is there twice."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from itertools import combinations
from pathlib import Path
from typing import TypedDict

import pytest

SUITE = Path(__file__).resolve().parents[2] / "data" / "suites" / "general.jsonl"
PER_CATEGORY = 80
ALIKE = 0.65  # of the words that two questions have together


class Item(TypedDict):
    """A line of the suite; `answer` is the index of the right choice."""

    id: str
    category: str
    question: str
    choices: list[str]
    answer: int


LINES = SUITE.read_text(encoding="utf-8").splitlines()
ITEMS: list[Item] = [json.loads(line) for line in LINES]
BY_CATEGORY: dict[str, list[Item]] = defaultdict(list)
for _item in ITEMS:
    BY_CATEGORY[_item["category"]].append(_item)


def words(text: str) -> frozenset[str]:
    """The words of a text, without case and punctuation."""
    return frozenset(re.findall(r"\w+", text.lower()))


def alike(one: Item, other: Item) -> bool:
    """Whether two items ask for the same answer in nearly the same words."""
    if one["choices"][one["answer"]].lower() != other["choices"][other["answer"]].lower():
        return False
    mine, theirs = words(one["question"]), words(other["question"])
    return len(mine & theirs) > ALIKE * len(mine | theirs)


def faults(item: Item) -> list[str]:
    """What is wrong with one item by itself."""
    found = []
    if list(item) != ["id", "category", "question", "choices", "answer"]:
        found.append("other fields")
    if not re.fullmatch(rf"{item['category']}-\d{{3}}", item["id"]):
        found.append("an id that does not name its category")
    texts = [item["question"], *item["choices"]]
    if any(not text or text != " ".join(text.split()) for text in texts):
        found.append("an empty text, or spaces too many")
    if not 2 <= len(item["choices"]) <= 4 or not 0 <= item["answer"] < len(item["choices"]):
        found.append("too few choices, too many, or an answer that is none of them")
    # A reader that compares one token a choice can do so only where the choices begin differently.
    if len({re.split(r"[\s-]", choice.lower())[0] for choice in item["choices"]}) < len(item["choices"]):
        found.append("two choices that begin with the same word")
    if re.search(r"[^ -~]", "".join(texts)):
        found.append("a character that is not plain ASCII")
    return found


def test_every_item_is_well_formed() -> None:
    assert {item["id"]: faults(item) for item in ITEMS if faults(item)} == {}


@pytest.mark.parametrize(
    "change",
    [
        {"id": "food-1"},
        {"question": "What  is this?"},
        {"choices": ["one"]},
        {"choices": ["hot tea", "hot soup"]},
        {"answer": 4},
        {"question": "Café?"},
        {"source": "elsewhere"},
    ],
)
def test_a_fault_of_each_kind_is_seen(change: dict[str, object]) -> None:
    whole = {"id": "food-001", "category": "food", "question": "What?", "choices": ["tea", "sand"], "answer": 0}
    assert faults(whole) == []  # type: ignore[arg-type]
    assert len(faults(whole | change)) == 1  # type: ignore[arg-type]


def test_there_are_a_thousand_items_and_enough_of_each_category() -> None:
    assert len(ITEMS) >= 1000
    assert len(BY_CATEGORY) >= 8
    assert {name: len(items) for name, items in BY_CATEGORY.items() if len(items) < PER_CATEGORY} == {}


def test_ids_are_used_once_and_in_order() -> None:
    ids = [item["id"] for item in ITEMS]
    assert ids == sorted(set(ids))


@pytest.mark.parametrize("category", BY_CATEGORY)
def test_the_right_answer_stands_in_each_place_equally_often(category: str) -> None:
    for count in (2, 3, 4):
        places = Counter(item["answer"] for item in BY_CATEGORY[category] if len(item["choices"]) == count)
        often = [places[place] for place in range(count)]
        assert max(often) - min(often) <= 1, (count, often)


def test_who_takes_the_longest_or_the_shortest_choice_does_no_better_than_by_chance() -> None:
    for sign in (1, -1):
        picked = 0.0
        for item in ITEMS:
            lengths = [sign * len(choice) for choice in item["choices"]]
            best = max(lengths)
            picked += (lengths[item["answer"]] == best) / lengths.count(best)
        assert picked / len(ITEMS) < 0.3


def test_no_two_items_are_alike() -> None:
    assert [(one["id"], other["id"]) for one, other in combinations(ITEMS, 2) if alike(one, other)] == []
    questions = Counter(item["question"].lower() for item in ITEMS)
    assert [question for question, times in questions.items() if times > 1] == []


def test_a_reworded_item_is_seen_as_alike() -> None:
    one = Item(id="a", category="a", question="What is the opposite of hot?", choices=["cold", "red"], answer=0)
    other = Item(id="b", category="a", question="What is the opposite of hot tea?", choices=["big", "Cold"], answer=1)
    assert alike(one, other)
    assert not alike(one, {**other, "answer": 0})
    assert not alike(one, {**other, "question": "Ice is not hot but ..."})
