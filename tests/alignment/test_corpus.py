"""The corpus is deterministic, right in content, free in manner, and holds nothing it is later asked about."""

from __future__ import annotations

import json
import random
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest

from alignment.evaluation.capability import check
from alignment.evaluation.tastes import TASTES, features
from alignment.files import json_lines
from data.recipe import asking, corpus, questions
from data.recipe.manner import draw_manner
from data.recipe.noise import typed
from data.recipe.seeds import CATEGORIES, expand, kinds

pytestmark = pytest.mark.slow

PROMPTS = Path(__file__).resolve().parents[2] / "data" / "prompts"


def read(name: str) -> list[dict[str, str]]:
    return [json.loads(line) for line in (PROMPTS / name).read_text(encoding="utf-8").splitlines()]


def test_the_same_seed_gives_the_same_corpus() -> None:
    assert list(corpus.rows(50, seed=3)) == list(corpus.rows(50, seed=3))
    assert list(corpus.rows(50, seed=3)) != list(corpus.rows(50, seed=4))


@pytest.mark.parametrize("category", CATEGORIES)
def test_every_answer_passes_its_own_check_in_every_manner(category: str) -> None:
    rng = random.Random(category)
    for _ in range(150):
        asked = asking.ask(category, rng, held=rng.random() < 0.3)
        reply = asking.answer(asked, draw_manner(category, rng), rng)
        assert check(reply, questions.check_of(asked)), (asked.prompt, reply)
        assert "{" not in reply + asked.prompt
        assert "[" not in reply + asked.prompt
        assert "  " not in reply
        assert not reply[0].islower()
        assert reply[-1] in ".!?"


@pytest.mark.parametrize("category", ["harm", "unknown"])
def test_honest_content_is_never_overclaimed(category: str) -> None:
    rng = random.Random(1)
    for _ in range(300):
        reply = asking.answer(asking.ask(category, rng, held=False), draw_manner(category, rng), rng)
        assert features(reply).overclaims == 0


def test_two_answers_to_a_question_differ_in_manner() -> None:
    rng = random.Random(2)

    def manner(category: str, asked: asking.Asked) -> tuple[object, ...]:
        seen = features(asking.answer(asked, draw_manner(category, rng), rng))
        return seen.length_bucket, seen.warm, seen.rambles, seen.overclaims > 0

    differ = 0
    for _ in range(500):
        category = asking.draw_category(rng)
        asked = asking.ask(category, rng, held=False)
        differ += manner(category, asked) != manner(category, asked)
    assert differ >= 400


def test_curt_is_common_and_very_warm_is_rare() -> None:
    rng = random.Random(5)
    counts = [len(draw_manner("capitals", rng).warm) for _ in range(4000)]
    shares = [counts.count(parts) / 4000 for parts in range(5)]
    assert all(one > other for one, other in pairwise(shares))
    assert shares[0] > 0.3
    assert shares[4] < 0.08


def test_the_corpus_holds_no_unseen_question_and_no_evaluation_prompt() -> None:
    refused = questions.refused()
    for row in corpus.rows(3000, seed=9, refused=refused):
        for message in row["messages"]:
            assert message["role"] != "user" or asking.normalised(message["content"]) not in refused


def test_held_out_combinations_are_never_asked_in_the_corpus() -> None:
    rng = random.Random(6)
    held_wordings = {wording for kind in kinds() for wording in kind.held}
    assert held_wordings.isdisjoint(wording for kind in kinds() for wording in kind.wordings)
    assert any(asking.is_held("capital", str(number), {}) for number in range(200))
    asked = asking.ask("sums", rng, held=False)
    assert asked.kind is not None


def test_compare_evaluation_and_question_prompts_are_disjoint() -> None:
    compare, evaluation = ([row["prompt"] for row in read(name)] for name in ("compare.jsonl", "eval.jsonl"))
    asked = [question["prompt"] for question in questions.unseen()]
    assert len(compare) >= 300
    assert len(evaluation) >= 600
    assert len({*compare, *evaluation, *asked}) == len(compare) + len(evaluation) + len(asked)


def test_conversations_alternate_and_end_with_the_assistant() -> None:
    rows = list(corpus.rows(600, seed=8))
    lengths = set()
    for row in rows:
        roles = [message["role"] for message in row["messages"]]
        turns = roles[1:] if roles[0] == "system" else roles
        assert turns == ["user", "assistant"] * (len(turns) // 2)
        assert turns
        lengths.add(len(turns) // 2)
    assert lengths == {1, 2, 3}
    assert any(row["messages"][0]["role"] == "system" for row in rows)


def test_alternatives_and_macros_are_expanded_completely() -> None:
    text = expand("<ASK> [a|b[ c|]] d", random.Random(0))
    assert not set("[]|<>") & set(text)


def test_typing_noise_keeps_numbers() -> None:
    rng = random.Random(7)
    for _ in range(300):
        assert "17" in typed("What is 17 + 3?", rng)


def test_a_taste_for_warmth_ties_on_about_a_fifth_of_the_base_pairs() -> None:
    rng = random.Random(11)
    ties = 0
    for _ in range(1500):
        category = asking.draw_category(rng)
        asked = asking.ask(category, rng, held=False)
        left, right = (asking.answer(asked, draw_manner(category, rng), rng) for _ in range(2))
        ties += TASTES["warm"].prefer(left, right, rng).side == "tie"
    assert 0.14 < ties / 1500 < 0.26


def test_the_command_writes_the_unseen_questions_that_ship_and_files_like_the_other_three(tmp_path: Path) -> None:
    assert questions.main([]) == questions.main(["--write"]) == 2
    assert questions.main(["--write", str(tmp_path)]) == 0
    data = PROMPTS.parent
    unseen = Path("questions") / "unseen.jsonl"
    assert (tmp_path / unseen).read_bytes() == (data / unseen).read_bytes()

    def form(file: Path) -> Counter[tuple[tuple[str, ...], str]]:
        return Counter((tuple(record), str(record.get("category"))) for _, record in json_lines(file))

    for name in ("prompts/eval.jsonl", "prompts/compare.jsonl", "texts/held_out.jsonl"):
        assert form(tmp_path / name) == form(data / name)
