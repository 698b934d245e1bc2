"""A fingerprint is taken where a version and the base part, and says how far another is from it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest

from feedback_app.loop import fingerprint
from feedback_app.loop.fingerprint import KEPT, LIKELIEST, PROMPTS, distance, take


class Models:
    """Models as tables: what each answers to a prompt, and how likely each next token is."""

    def __init__(self) -> None:
        self.answers: dict[str, list[int]] = {"base": [5, 6, 7, 8], "policy": [5, 6, 1, 2], "same": [5, 6, 7, 8]}
        self.moved: dict[str, float] = {"base": 0.0}
        self.prompts: list[str] = []

    async def greedy(self, name: str, prompt: str, max_tokens: int) -> tuple[list[int], list[int]]:
        self.prompts.append(prompt)
        return [PROMPTS.index(prompt)], self.answers[name]

    async def next_token(
        self, name: str, context: Sequence[int], *, likeliest: int = 0, tokens: Sequence[int] = ()
    ) -> dict[int, float]:
        # The later a prompt stands in the list, the further the models are from each other on it.
        moved = self.moved.get(name, 1.0) * (1 + context[0])
        found = {token: -1.0 - token / 10 - moved for token in tokens or range(likeliest)}
        return {token: value for token, value in found.items() if math.isfinite(value)}


async def test_it_stands_where_the_answers_part_on_the_prompts_that_part_them_furthest() -> None:
    kept = await take(Models(), "policy", "base")  # type: ignore[arg-type]
    assert kept is not None
    furthest = range(len(PROMPTS) - 1, len(PROMPTS) - 1 - KEPT, -1)
    assert [mark["context"] for mark in kept] == [[number, 5, 6] for number in furthest]
    assert all(len(mark["tokens"]) == len(mark["logprobs"]) == LIKELIEST for mark in kept)


@pytest.mark.parametrize(("name", "base"), [("same", "base"), ("base", "base"), ("base", "")])
async def test_where_they_do_not_part_it_stands_in_the_middle_of_an_answer(name: str, base: str) -> None:
    kept = await take(Models(), name, base)  # type: ignore[arg-type]
    assert kept is not None
    assert len(kept) == KEPT
    assert {tuple(mark["context"][1:]) for mark in kept} == {(5, 6)}


async def test_the_distance_is_the_mean_over_all_tokens_in_nats() -> None:
    models = Models()
    kept = await take(models, "base")  # type: ignore[arg-type]
    assert kept is not None
    assert await distance(models, "base", kept) == 0.0  # type: ignore[arg-type]
    models.moved["base"] = 0.02
    expected = 0.02 * sum(1 + number for number in range(KEPT)) / KEPT
    assert await distance(models, "base", kept) == pytest.approx(expected)  # type: ignore[arg-type]
    assert expected < fingerprint.TOLERANCE


async def test_what_is_no_number_has_no_fingerprint_and_is_infinitely_far() -> None:
    models = Models()
    kept = await take(models, "base")  # type: ignore[arg-type]
    assert kept is not None
    models.moved["base"] = math.nan
    assert await take(models, "base") is None  # type: ignore[arg-type]
    assert await distance(models, "base", kept) == math.inf  # type: ignore[arg-type]
