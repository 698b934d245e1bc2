"""Suites are put to versions by parts, within a time, and what is known is not asked again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from alignment.dataset.judgement import Message
from alignment.evaluation.suites.asking import PART, Answered, ask_items, ask_suites
from alignment.evaluation.suites.conditions import read_check
from alignment.evaluation.suites.items import Asked, Choice, Suite
from alignment.evaluation.suites.scores import score_suite
from alignment.stage.sampler import Sample, Sampling

WORDS = {"red": (1,), "blue": (2,), "deep blue": (3, 2), "deep red": (3, 1)}


@dataclass
class FakeModel:
    """A token a word; each version likes some tokens, and answers everything with one text. A request takes a second.

    `likes` has a log-probability by version and token, -9 where nothing is said.
    """

    likes: dict[str, dict[int, float]] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    now: float = 0.0
    contexts: list[tuple[str, tuple[int, ...]]] = field(default_factory=list)
    tokenized: int = 0

    def clock(self) -> float:
        return self.now

    def sample(self, version: str, prompts: Sequence[Sequence[Message]], sampling: Sampling) -> list[list[Sample]]:
        assert sampling.temperature == 0
        self.now += len(prompts)
        return [[Sample(self.texts.get(version, "yes"), "stop")] for _ in prompts]

    def continued(
        self, version: str, prompts: Sequence[Sequence[Message]], lead: str, texts: Sequence[Sequence[str]]
    ) -> list[tuple[list[int], list[list[int]]] | None]:
        self.tokenized += len(prompts)
        assert lead == "Answer:"
        return [
            None if "melts" in some else ([9], [list(WORDS.get(text, (sum(map(ord, text)),))) for text in some])
            for some in texts
        ]

    def next_logprobs(
        self, version: str, contexts: Sequence[Sequence[int]], tokens: Sequence[Sequence[int]]
    ) -> list[dict[int, float]]:
        self.now += len(contexts)
        self.contexts += [(version, tuple(context)) for context in contexts]
        liked = self.likes.get(version, {})
        return [{token: liked.get(token, -9.0) for token in some} for some in tokens]


def choice(id_: str, *choices: str, answer: int = 0, category: str = "colours") -> Choice:
    return Choice(id_, category, f"Which, {id_}?", choices, answer)


def asked(id_: str, category: str = "words") -> Asked:
    return Asked(id_, category, f"Say, {id_}.", read_check({"exact": "yes"}))


def test_choices_are_compared_by_their_first_tokens_with_one_request_an_item() -> None:
    model = FakeModel(likes={"new": {1: -0.1, 2: -0.2}})
    items = [choice("a", "red", "blue"), choice("b", "red", "blue", answer=1), choice("c", "blue", "deep red")]
    assert ask_items(model, "new", items, {}, 8) == {"a": True, "b": False, "c": True}
    assert model.contexts == [("new", (9,))], "one context, asked once for all that share it"


def test_choices_that_begin_alike_are_compared_by_their_whole_texts() -> None:
    model = FakeModel(likes={"new": {3: -0.1, 1: -0.2, 2: -5.0}})
    items = [choice("a", "deep red", "deep blue"), choice("b", "deep blue", "deep red", answer=0)]
    assert ask_items(model, "new", items, {}, 8) == {"a": True, "b": False}
    assert sorted(model.contexts) == [("new", (9,)), ("new", (9, 3))]


def test_a_tie_is_no_answer_and_what_cannot_be_told_apart_is_not_asked() -> None:
    model = FakeModel()
    items = [choice("a", "red", "blue"), choice("b", "melts", "blue")]
    assert ask_items(model, "new", items, {}, 8) == {"a": False, "b": None}


def test_a_prompt_without_a_sample_is_not_counted_as_wrong() -> None:
    class Refusing(FakeModel):
        def sample(self, version, prompts, sampling):  # type: ignore[no-untyped-def]
            return [[] for _ in prompts]

        def next_logprobs(self, version, contexts, tokens):  # type: ignore[no-untyped-def]
            return [{} for _ in contexts]

    assert ask_items(Refusing(), "new", [asked("a"), choice("b", "red", "blue")], {}, 8) == {"a": None, "b": None}


def suite(name: str, count: int, kind: str = "choice") -> Suite:
    items = tuple(
        choice(f"{name}{at}", "red", "blue") if kind == "choice" else asked(f"{name}{at}") for at in range(count)
    )
    return Suite(name, f"hash-{name}", items)


def test_within_the_time_every_version_is_asked_everything_once() -> None:
    model, one = FakeModel(), suite("one", 3 * PART, "asked")
    known, said = {"one": Answered()}, []
    versions = ["new", "old"]
    ask_suites(
        model, versions, [one], known, max_tokens=8, seconds=1e9, clock=model.clock,
        step=lambda done, of, left: said.append((done, of, left)),
    )  # fmt: skip
    assert {name: len(rights) for name, rights in known["one"].rights.items()} == {"new": 96, "old": 96}
    assert said == [(64, 192, 128.0), (128, 192, 64.0), (192, 192, 0.0)], "the time left is that of the pace so far"
    before = model.now
    ask_suites(model, versions, [one], known, max_tokens=8, seconds=0, clock=model.clock)
    assert model.now == before, "nothing is asked twice"


def test_when_the_time_is_up_the_same_items_were_asked_of_all_and_of_every_suite() -> None:
    model = FakeModel()
    suites = [suite("one", 10 * PART, "asked"), suite("two", 10 * PART, "asked")]
    known = {each.name: Answered() for each in suites}
    kept: list[str] = []
    ask_suites(
        model, ["new", "old"], suites, known, max_tokens=8, seconds=7 * PART, clock=model.clock,
        keep=lambda name, answered: kept.append(name),
    )  # fmt: skip
    assert kept == ["one", "two", "one"], "a fourth part of 64 answers would have ended after the time"
    for each in suites:
        asked_of = [set(rights) for rights in known[each.name].rights.values()]
        assert asked_of[0] == asked_of[1]
    assert len(known["one"].of_all(suites[0].items, ["new", "old"])) == 2 * PART


def test_a_time_that_is_too_short_still_asks_one_part_of_each() -> None:
    model, suites = FakeModel(), [suite("one", 5 * PART, "asked"), suite("two", 5 * PART, "asked")]
    known = {each.name: Answered() for each in suites}
    ask_suites(model, ["new"], suites, known, max_tokens=8, seconds=0.0, clock=model.clock)
    assert [len(known[each.name].rights["new"]) for each in suites] == [PART, PART]


def test_what_is_known_of_a_version_is_counted_though_the_time_is_up() -> None:
    model, one = FakeModel(), suite("one", 3 * PART, "asked")
    known = {"one": Answered({"new": {item.id: True for item in one.items}})}
    ask_suites(model, ["new", "old"], [one], known, max_tokens=8, seconds=1.5 * PART, clock=model.clock)
    assert len(known["one"].of_all(one.items, ["new", "old"])) == PART
    assert model.now == PART, "only the other version was asked"


def test_tokens_are_asked_for_once_for_all_versions() -> None:
    model, one = FakeModel(), suite("one", PART)
    ask_suites(model, ["new", "old", "base"], [one], {"one": Answered()}, max_tokens=8, seconds=1e9)
    assert model.tokenized == PART


def test_a_score_counts_by_category_what_all_three_answered() -> None:
    one = Suite("one", "h", (choice("a", "red", "blue"), choice("b", "red", "blue"), asked("c"), choice("d", "x", "y")))
    answered = Answered(
        {
            "new": {"a": False, "b": True, "c": True, "d": None},
            "old": {"a": True, "b": False, "c": True, "d": None},
            "base": {"a": True, "b": True, "c": True},
        }
    )
    score = score_suite(one, answered, "new", "old", "base")
    assert (score.n, score.items, score.left_out, score.chance) == (3, 4, 1, pytest.approx(1 / 3))
    colours = score.capability.categories["colours"]
    assert (colours.n, colours.lost, colours.gained, colours.challenger, colours.base) == (2, 1, 1, 0.5, 1.0)
    assert score.capability.categories["words"].chance == 0
    assert score.capability.vs_base.lost == 1
    low, high = score.interval
    assert low < 2 / 3 < high
    assert not score.enough


def test_a_suite_fits_where_the_base_is_surely_better_than_a_blind_answer() -> None:
    one = suite("one", 100)
    knows = {item.id: at < 70 for at, item in enumerate(one.items)}
    guesses = {item.id: at < 55 for at, item in enumerate(one.items)}
    for base, fits in ((knows, True), (guesses, False)):
        answered = Answered({"new": dict(knows), "base": dict(base)})
        assert score_suite(one, answered, "new", "base", "base").fits is fits
