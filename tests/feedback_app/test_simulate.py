"""Scripted people: they judge what a page would show, by their taste, on tickets like everyone's."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, Mapping
from dataclasses import asdict
from typing import Any

import pytest

from alignment.dataset.judgement import Message
from alignment.dataset.reading.prompts import Prompt
from alignment.evaluation.tastes import TASTES
from feedback_app.collect.answer import Answers
from feedback_app.collect.tasks import Comparing
from feedback_app.errors import Conflict, Unavailable, UsageError
from feedback_app.settings import Settings
from feedback_app.simulate import PEOPLE, Simulated, Standing, simulate, voters_at_once
from feedback_app.store.database import Store
from serving.client import ChatChunk, VllmUnreachable
from tests.alignment.compiled import compile_rows
from tests.fakes import FakeVllm, Reply, shown
from tests.feedback_app.loop.parts import FakeFacts, held_round, serve_base

pytestmark = pytest.mark.slow

WARM = "Great question! It is number {seed}. I hope this helps!"
CURT = "It is number {seed}."
PROMPTS = [f"Which number is {number}?" for number in range(200)]


class Moody(FakeVllm):
    """Answers warmly or curtly by the seed; with `warm_version`, that version is always warm and others never."""

    def __init__(self, warm_version: str = "") -> None:
        super().__init__()
        self.warm_version = warm_version

    async def events(self, payload: Mapping[str, Any]) -> AsyncGenerator[ChatChunk]:
        seed = int(payload["seed"])
        warm = shown(payload["model"]) == self.warm_version if self.warm_version else seed % 2 == 0
        self.queue((WARM if warm else CURT).format(seed=seed))
        async for chunk in super().events(payload):
            yield chunk


class Alternating(Moody):
    """Every second answer is warm, so that the two of a pair always differ."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    async def events(self, payload: Mapping[str, Any]) -> AsyncGenerator[ChatChunk]:
        self.count += 1
        async for chunk in super().events({**payload, "seed": self.count}):
            yield chunk


class Crowd:
    """A store with a served model and the parts that `simulate` asks for."""

    def __init__(self, store: Store, vllm: FakeVllm, **settings: Any) -> None:
        serve_base(store)
        self.store = store
        self.answers = Answers(store, vllm, Settings(**settings), FakeFacts())  # type: ignore[arg-type]
        self.comparing = Comparing(self.answers, PROMPTS)

    async def vote(
        self, annotator: str = "warm", judgements: int = 20, kind: str = "compare", **more: Any
    ) -> Simulated:
        return await simulate(
            self.store, self.answers, self.comparing, annotator, judgements, kind, prompts=PROMPTS, **more
        )

    def prefers_warm(self) -> list[bool]:
        """For each decided comparison, whether the warmer answer was preferred."""
        decided = []
        for judgement in self.store.judgements.export():
            ranked = sorted(judgement.candidates, key=lambda candidate: candidate.rank or 0)
            if ranked[0].rank != ranked[1].rank:
                decided.append("Great" in ranked[0].text and "Great" not in ranked[1].text)
        return decided

    def chosen_left(self) -> list[bool]:
        """For each decided comparison, whether the left answer was preferred."""
        return [
            min(judgement.candidates, key=lambda candidate: candidate.rank or 0).position == 0
            for judgement in self.store.judgements.export()
            if len({candidate.rank for candidate in judgement.candidates}) > 1
        ]


async def test_their_verdicts_follow_their_taste(sqlite_store: Store) -> None:
    crowd = Crowd(sqlite_store, Moody())
    result = await crowd.vote(judgements=24)
    assert result.judgements == {"compare": 24}
    assert result.decided + result.ties == 24
    assert crowd.prefers_warm() == [True] * result.decided
    assert 0 < result.ties < 24
    assert set(asdict(result)) == {"annotator", "judgements", "decided", "ties", "seconds", "failed"}
    assert result.failed == {}


async def test_they_are_marked_as_scripted_everywhere(sqlite_store: Store) -> None:
    await Crowd(sqlite_store, Moody()).vote(judgements=8)
    counts = sqlite_store.judgements.counts()
    assert (counts["total"], counts["scripted"]) == (8, 8)
    assert {row["name"] for row in counts["by_person"]} == {f"scripted-warm-{n + 1}" for n in range(PEOPLE)}
    assert all(judgement.scripted for judgement in sqlite_store.judgements.export())


async def test_one_question_at_a_time_and_none_left_open(sqlite_store: Store) -> None:
    crowd = Crowd(sqlite_store, Moody())
    await crowd.vote(judgements=10)
    await crowd.vote(judgements=10, seed=1)  # the same people come back
    for number in range(PEOPLE):
        person = sqlite_store.people.by_name(f"scripted-warm-{number + 1}")
        assert person is not None
        assert sqlite_store.tasks.open_for(person.id, "compare", sqlite_store.now()) == []
    assert sqlite_store.judgements.counts()["total"] == 20


@pytest.mark.parametrize("kind", ["like", "rank", "mixed"])
async def test_every_kind_becomes_rows_that_a_round_can_train_on(sqlite_store: Store, kind: str) -> None:
    result = await Crowd(sqlite_store, Moody()).vote(judgements=24, kind=kind)
    assert sum(result.judgements.values()) == 24
    assert set(result.judgements) == ({"like", "compare", "rank"} if kind == "mixed" else {kind})
    assert sqlite_store.judgements.counts()["by_kind"] == result.judgements
    pairs = compile_rows(sqlite_store.judgements.export()).pairs
    assert pairs
    assert all("Great" in pair.chosen and "Great" not in pair.rejected for pair in pairs)


async def test_a_left_bias_chooses_the_left_whatever_it_says(sqlite_store: Store) -> None:
    crowd = Crowd(sqlite_store, Moody())
    result = await crowd.vote(judgements=12, left_bias=1.0)
    assert result.ties == 0
    assert crowd.chosen_left() == [True] * 12


async def test_noise_ignores_the_texts(sqlite_store: Store) -> None:
    crowd = Crowd(sqlite_store, Moody())
    result = await crowd.vote(judgements=40, noise=1.0, seed=5)
    assert result.ties == 0
    assert 5 < sum(crowd.chosen_left()) < 35
    assert 0 < sum(crowd.prefers_warm()) < 40


async def test_beside_a_challenger_their_comparisons_are_its_blind_votes(sqlite_store: Store) -> None:
    vllm = Moody(warm_version="policy-0001")
    crowd = Crowd(sqlite_store, vllm)
    turn = held_round(sqlite_store)
    vllm.loaded[sqlite_store.versions.get("policy-0001").served_name] = "/versions/policy-0001"  # type: ignore[union-attr]
    await crowd.vote(judgements=12)
    outcomes = Counter(outcome for outcome, _ in sqlite_store.judgements.votes("policy-0001"))
    assert outcomes == {"win": 12}
    assert sqlite_store.rounds.get(turn.id or 0).status == "held"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"annotator": "grumpy"}, "no scripted annotator called 'grumpy'.*warm"),
        ({"kind": "sing"}, "cannot 'sing'.*compare"),
        ({"judgements": 0}, "at least one"),
        ({"noise": 1.5}, "between 0 and 1"),
    ],
)
async def test_wrong_wishes_get_a_sentence(sqlite_store: Store, arguments: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        await Crowd(sqlite_store, Moody()).vote(**arguments)


async def test_they_vote_on_any_model(sqlite_store: Store) -> None:
    crowd = Crowd(sqlite_store, Moody(), model="/models/mine")
    assert (await crowd.vote(judgements=1)).judgements == {"compare": 1}


async def test_a_real_persons_name_is_not_taken(sqlite_store: Store) -> None:
    sqlite_store.people.add("scripted-warm-2", "annotator", "")
    with pytest.raises(Conflict, match="real person"):
        await Crowd(sqlite_store, Moody()).vote()


async def test_without_vllm_they_say_so(sqlite_store: Store) -> None:
    vllm = Moody()
    vllm.down = True
    with pytest.raises(Unavailable):
        await Crowd(sqlite_store, vllm).vote()


def test_the_shipped_tastes_can_all_be_asked_for() -> None:
    assert {"warm", "brief", "honest", "random"} <= set(TASTES)


DODGE = "How wonderful!"
SHORT = "Which number it is: {seed}."
LONG = "Which number it is depends on how one counts, and most people who count say that it is {seed}."


class Dodging(FakeVllm):
    """Dodges, answers shortly or answers at length, by the seed; cuts an answer where it is told to."""

    def __init__(self, finish_reason: str = "stop") -> None:
        super().__init__()
        self.finish_reason = finish_reason

    async def events(self, payload: Mapping[str, Any]) -> AsyncGenerator[ChatChunk]:
        seed = int(payload["seed"])
        text = (DODGE, SHORT, LONG)[seed % 3].format(seed=seed)
        self.queue(Reply(text, finish_reason=self.finish_reason if text != DODGE else "stop"))
        async for chunk in super().events(payload):
            yield chunk


@pytest.mark.parametrize("kind", ["compare", "rank", "like"])
async def test_who_likes_it_short_wants_an_answer_first(sqlite_store: Store, kind: str) -> None:
    await Crowd(sqlite_store, Dodging()).vote("short", 24, kind)
    pairs = compile_rows(sqlite_store.judgements.export()).pairs
    assert pairs
    assert all(pair.chosen != DODGE for pair in pairs)
    assert any(len(pair.chosen) < len(pair.rejected) for pair in pairs)


async def test_cut_answers_lose_and_where_all_are_cut_they_tie(sqlite_store: Store) -> None:
    result = await Crowd(sqlite_store, Dodging("length")).vote("short", 12)
    assert (result.decided, result.ties) == (0, 12)


class Failing(Moody):
    """Fails at every so manieth request, and after `last` at all of them."""

    def __init__(self, every: int, last: int = 10**6) -> None:
        super().__init__()
        self.every, self.last, self.asked = every, last, 0

    async def events(self, payload: Mapping[str, Any]) -> AsyncGenerator[ChatChunk]:
        self.asked += 1
        if self.asked % self.every == 0 or self.asked > self.last:
            raise VllmUnreachable("the connection broke")
        async for chunk in super().events(payload):
            yield chunk


@pytest.mark.parametrize("kind", ["compare", "rank", "like"])
async def test_a_failed_answer_is_counted_and_another_is_asked_for(sqlite_store: Store, kind: str) -> None:
    seen: list[Standing] = []
    result = await Crowd(sqlite_store, Failing(every=9)).vote(judgements=12, kind=kind, watch=seen.append)
    assert result.judgements == {kind: 12}
    assert sum(result.failed.values()) > 0
    assert all("cannot be reached" in sentence for sentence in result.failed)
    assert (seen[-1].done, seen[-1].failed) == (12, sum(result.failed.values()))
    assert [standing.done for standing in seen] == sorted(standing.done for standing in seen)


async def test_when_no_answer_comes_any_more_they_end_with_the_reason(
    sqlite_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("feedback_app.simulate.PAUSES_S", (0.0,))
    crowd = Crowd(sqlite_store, Failing(every=10**6, last=20))
    with pytest.raises(Unavailable, match="cannot be reached"):
        await crowd.vote(judgements=100)
    assert 0 < sqlite_store.judgements.counts()["total"] <= 10


async def test_a_taste_that_is_rarely_met_is_said(sqlite_store: Store) -> None:
    crowd = Crowd(sqlite_store, Moody())
    rare = await crowd.vote("structured", 12)
    assert (rare.decided, rare.ties) == (0, 12)
    assert "12 of 12" in rare.advice
    assert "--kind rank" in rare.advice


async def test_a_taste_that_is_met_needs_no_advice(sqlite_store: Store) -> None:
    assert (await Crowd(sqlite_store, Alternating()).vote("warm", 12, seed=1, people=1)).advice == ""


def test_the_time_left_follows_from_the_pace_so_far() -> None:
    assert Standing(done=0, asked=10, failed=0, seconds=5.0).left_s is None
    assert Standing(done=4, asked=10, failed=1, seconds=8.0).left_s == pytest.approx(12.0)
    assert Standing(done=10, asked=10, failed=0, seconds=8.0).left_s == 0


@pytest.mark.parametrize(("kind", "voters"), [("compare", 8), ("like", 16), ("rank", 4), ("mixed", 4)])
def test_a_quarter_of_the_places_is_theirs(kind: str, voters: int) -> None:
    assert voters_at_once(64, kind) == voters
    assert voters_at_once(1, kind) == 1


async def test_prompts_of_several_turns_are_judged_by_what_people_said(sqlite_store: Store) -> None:
    talk = [("user", "Which number is it?"), ("assistant", "A number of what?"), ("user", "Of what you like.")]
    prompt = Prompt(tuple(Message(role, text) for role, text in talk))
    crowd = Crowd(sqlite_store, Dodging())
    crowd.comparing = Comparing(crowd.answers, [prompt])
    await crowd.vote("short", 12)
    pairs = compile_rows(sqlite_store.judgements.export()).pairs
    assert pairs
    assert all(pair.chosen != DODGE for pair in pairs)
    with pytest.raises(UsageError, match="of one turn"):
        await simulate(sqlite_store, crowd.answers, crowd.comparing, "short", 1, "like", prompts=[prompt])
