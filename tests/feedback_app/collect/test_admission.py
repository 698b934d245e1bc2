"""Who runs next: laws of the queue over any order of comings and goings, and each bound by itself."""

from __future__ import annotations

import asyncio
import gc
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from feedback_app.collect.admission import LARGEST_PERSON, LAST_PRIORITY, Admission, Claim, Load
from feedback_app.errors import Busy, TooMany
from serving.rollouts import BEHIND_PEOPLE
from tests.fakes import Clock

ONE = Load(10, 20)
DEADLINE_S = 100.0
PEOPLE = ("ada", "ben", "cai", "dot", "eli")


def admission(answers: int = 8, **more: object) -> Admission:
    return Admission(answers, clock=Clock(0.0), **more)  # type: ignore[arg-type]


class Watched(Claim):
    """Holds the law of order at the moment a place is given away."""

    def start(self, now: float, priority: int) -> None:
        queue, mine = self._admission, self._person
        for other in vars(queue)["_people"].values():
            if other is mine or not other.waiting:
                continue
            head = other.waiting[0]
            leaves_as_much = other.running + head.weight <= queue.answers - queue.running - head.weight
            if not other.running or leaves_as_much:
                assert other.running >= mine.running, "somebody waits behind another with more running"
                if other.running == mine.running:
                    assert (other.served, head.number) > (mine.served, self.number), "served less, or came first"
        super().start(now, priority)


class Queue(RuleBasedStateMachine):
    """People come and go in any order, with requests of any weight; what must hold is looked at after each step."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock(0.0)
        self.admission = Admission(16, 1600, per_person=6, in_all=20, clock=self.clock)
        self.claims: list[tuple[str, Claim]] = []
        self.watching = patch("feedback_app.collect.admission.Claim", Watched)
        self.watching.start()

    def teardown(self) -> None:
        self.watching.stop()

    def held(self, person: str) -> int:
        return sum(claim.weight for who, claim in self.claims if who == person and claim.running)

    @rule(person=st.sampled_from(PEOPLE), n=st.sampled_from((1, 1, 1, 2, 4, 16)), prompt=st.sampled_from((0, 40, 300)))
    def come(self, person: str, n: int, prompt: int) -> None:
        theirs = sum(who == person for who, _ in self.claims)
        try:
            claim = self.admission.claim(person, Load(prompt, 20, n), DEADLINE_S)
        except TooMany:
            assert theirs == 6 or len(self.claims) == 20
        else:
            assert theirs < 6
            assert len(self.claims) < 20
            self.claims.append((person, claim))

    @precondition(lambda self: self.claims)
    @rule(at=st.integers(0, 100), seconds=st.floats(0, 30))
    def leave(self, at: int, seconds: float) -> None:
        """Some request ends, is given up, or is refused: whichever, running or waiting."""
        self.clock.pass_s(seconds)
        _, claim = self.claims.pop(at % len(self.claims))
        claim.release()
        claim.release()  # leaving twice does nothing

    @precondition(lambda self: self.claims)
    @rule(at=st.integers(0, 100))
    def be_answered(self, at: int) -> None:
        """The answer has come and is being recorded: the place is another's, the request still counts."""
        self.claims[at % len(self.claims)][1].done()

    @invariant()
    def never_above_the_limit(self) -> None:
        assert self.admission.running == sum(claim.weight for _, claim in self.claims if claim.running) <= 16

    @invariant()
    def nothing_leaks(self) -> None:
        waiting = sum(claim.started_at is None for _, claim in self.claims)
        counts = {"weight": self.admission.running, "running": len(self.claims) - waiting, "waiting": waiting}
        assert self.admission.counts() == counts
        if not self.claims:
            assert vars(self.admission)["_people"] == vars(self.admission)["_absent"] == {}

    @invariant()
    def somebody_runs_while_anybody_waits(self) -> None:
        assert self.admission.running > 0 or all(claim.started_at is not None for _, claim in self.claims)

    @invariant()
    def who_runs_nothing_waits_only_for_room(self) -> None:
        idle = [head for who, head in self.heads() if self.held(who) == 0]
        if idle:
            assert min(head.weight for head in idle) <= 16
            assert max(head.weight for head in idle) > 16 - self.admission.running

    @invariant()
    def places_are_told_apart(self) -> None:
        waiting = [claim.place for _, claim in self.claims if claim.started_at is None]
        assert sorted(waiting) == list(range(len(waiting)))

    def heads(self) -> list[tuple[str, Claim]]:
        first: dict[str, Claim] = {}
        for who, claim in self.claims:
            if claim.started_at is None:
                first.setdefault(who, claim)
        return list(first.items())


Queue.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestQueue = Queue.TestCase


def test_the_next_place_goes_to_whoever_has_the_fewest_running() -> None:
    queue = admission(4)
    hers = [queue.claim("ada", ONE, DEADLINE_S) for _ in range(10)]
    assert [claim.running for claim in hers] == [True, True] + [False] * 8  # half of the places stay free
    bens, cais = queue.claim("ben", ONE, DEADLINE_S), queue.claim("cai", ONE, DEADLINE_S)
    assert bens.running
    assert cais.running
    dots = queue.claim("dot", ONE, DEADLINE_S)
    assert dots.place == 0
    assert hers[2].place == 1
    hers[0].release()
    assert dots.running
    assert not hers[2].running


def test_many_answers_of_one_request_weigh_as_many_requests() -> None:
    queue = admission(64)
    greedy = [queue.claim("ada", Load(10, 900, 16), DEADLINE_S) for _ in range(64)]
    assert [claim.running for claim in greedy].count(True) == 2
    assert queue.running == 32
    assert all(queue.claim(f"p{number}", ONE, DEADLINE_S).running for number in range(32))


def test_tokens_weigh_where_the_cache_is_small() -> None:
    queue = admission(64, tokens=6400)
    assert queue.weight(Load(50, 50)) == 1
    assert queue.weight(Load(500, 500)) == 10
    assert queue.weight(Load(500, 500, 16)) == 64  # 85 by its tokens: it runs alone, but it runs


@pytest.mark.parametrize("heavy", [2, 4, 8])
def test_a_heavy_request_is_not_passed_forever(heavy: int) -> None:
    queue = admission(8)
    running = [queue.claim(f"p{number}", ONE, DEADLINE_S) for number in range(8)]
    big = queue.claim("ada", Load(1, 1, heavy), DEADLINE_S)
    for number in range(heavy):
        later = queue.claim(f"later-{number}", ONE, DEADLINE_S)
        assert not later.running
        running[number].release()
    assert big.running


def test_over_time_everybody_is_served_alike_whatever_they_ask_for() -> None:
    """Somebody whose requests are eight answers long gets no more of the machine than others who always ask for one."""
    queue = admission(8)
    clock = queue.clock
    assert isinstance(clock, Clock)
    loads = {"heavy": Load(1, 1, 8), **{f"p{number}": ONE for number in range(7)}}
    claims = {who: queue.claim(who, load, 1e9) for who, load in loads.items()}
    got = dict.fromkeys(loads, 0.0)
    for _ in range(4000):
        clock.pass_s(1.0)
        for who, load in loads.items():
            if claims[who].running:
                got[who] += claims[who].weight
                claims[who].release()
                claims[who] = queue.claim(who, load, 1e9)
    others = [share for who, share in got.items() if who != "heavy"]
    assert max(others) - min(others) <= 16
    assert 0.8 * min(others) <= got["heavy"] <= min(others) + 16


def test_staying_away_saves_nothing_up_and_loses_nothing() -> None:
    queue = admission(1)
    clock = queue.clock
    assert isinstance(clock, Clock)
    ada = queue.claim("ada", ONE, 1e9)
    clock.pass_s(1000)
    waits = queue.claim("cai", ONE, 1e9)  # came while ada ran: it starts from where the present ones stand
    ada.release()
    assert waits.running
    again, newcomer = queue.claim("ada", ONE, 1e9), queue.claim("ben", ONE, 1e9)
    waits.release()
    assert newcomer.running  # ada had more of the machine a moment ago, and waits although she came first
    newcomer.release()
    assert again.running
    again.release()
    assert queue.counts() == {"weight": 0, "running": 0, "waiting": 0}


def test_requests_of_one_person_and_of_all_are_bounded_and_so_are_their_bytes() -> None:
    queue = admission(2, per_person=3, in_all=4)
    hers = [queue.claim("ada", ONE, DEADLINE_S) for _ in range(3)]
    with pytest.raises(TooMany, match="You have 3 requests running or waiting already"):
        queue.claim("ada", ONE, DEADLINE_S)
    queue.claim("ben", ONE, DEADLINE_S)
    with pytest.raises(TooMany, match="More people are asking") as refused:
        queue.claim("cai", ONE, DEADLINE_S)
    assert refused.value.http_status == 429
    assert refused.value.retry_after_s > 0
    hers[0].release()
    assert queue.claim("cai", ONE, DEADLINE_S)
    large = Load(1, 1, 1, LARGEST_PERSON // 2 + 1)
    roomy = admission(8)
    roomy.claim("ada", large, DEADLINE_S)
    with pytest.raises(TooMany):
        roomy.claim("ada", large, DEADLINE_S)
    for number in range(14):
        roomy.claim(f"p{number}", large, DEADLINE_S)
    with pytest.raises(TooMany, match="More people"):
        roomy.claim("ben", Load(1, 1, 1, LARGEST_PERSON), DEADLINE_S)


async def test_half_of_the_deadline_is_the_longest_wait_and_counts_from_when_the_request_came() -> None:
    queue = Admission(1)
    with queue.claim("ada", ONE, 100):
        with pytest.raises(Busy, match="waited 10 s for its turn"):
            await queue.claim("ben", ONE, 20, queue.clock() - 10).started()
        with pytest.raises(Busy):
            async with asyncio.timeout(5):
                await queue.claim("ben", ONE, 0.2).started()
        assert queue.counts()["waiting"] == 0


async def test_who_waits_is_told_the_place_and_again_when_it_changes() -> None:
    queue = Admission(2)
    running = [queue.claim(who, ONE, 100) for who in ("ada", "ben")]
    ahead, mine = queue.claim("cai", ONE, 100), queue.claim("dot", ONE, 100)
    told = []

    async def follow() -> None:
        async for place in mine.places(0.01):
            told.append(place)

    following = asyncio.create_task(follow())
    await asyncio.sleep(0.05)
    running[0].release()
    assert ahead.running
    await asyncio.sleep(0.05)
    running[1].release()
    await asyncio.wait_for(following, 5)
    assert told == [1, 0]
    assert mine.running
    assert [place async for place in mine.places()] == []


async def test_who_gives_up_while_waiting_or_just_when_it_may_run_leaves_nothing_behind() -> None:
    queue = Admission(1)

    async def ask(who: str) -> None:
        with queue.claim(who, ONE, 100) as claim:
            await claim.started()
            await asyncio.sleep(100)

    first = asyncio.create_task(ask("ada"))
    others = [asyncio.create_task(ask(who)) for who in PEOPLE[1:]]
    await asyncio.sleep(0)
    assert queue.counts() == {"weight": 1, "running": 1, "waiting": 4}
    others[0].cancel()
    first.cancel()  # in the same turn of the loop as the place passes on
    others[1].cancel()
    await asyncio.gather(first, *others[:2], return_exceptions=True)
    assert queue.counts() == {"weight": 1, "running": 1, "waiting": 1}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    gc.collect()
    assert queue.counts() == {"weight": 0, "running": 0, "waiting": 0}


def test_further_requests_of_one_person_are_read_behind_a_newcomers_and_before_a_policy_in_training() -> None:
    queue = admission(64, priorities=True)
    hers = [queue.claim("ada", ONE, DEADLINE_S).priority for _ in range(20)]
    assert hers[:3] == [0, 1, 2]
    assert max(hers) == LAST_PRIORITY < BEHIND_PEOPLE
    assert queue.claim("ben", ONE, DEADLINE_S).priority == 0
    assert {admission(64).claim("ada", ONE, DEADLINE_S).priority for _ in range(3)} == {0}


@given(answers=st.integers(1, 200), n=st.integers(1, 64), tokens=st.integers(0, 10**6), asked=st.integers(0, 10**6))
def test_every_request_can_run_by_itself(answers: int, n: int, tokens: int, asked: int) -> None:
    queue = admission(answers, tokens=tokens)
    assert queue.claim("ada", Load(asked, 10, n), DEADLINE_S).running
