"""Scripted people of known taste, voting through the same tickets as everyone.

They let anyone see the loop work in a minute, and let tests prove it. Each is a person marked as scripted
who asks `collect` for an answer, a pair or a ranking, looks at the texts that a page would show, and hands
in a verdict on the ticket. Nothing is written around `collect`, and nothing else about the answers is known
to them: a blind vote stays blind. An answer that is slow or fails is counted, and asked for again on another prompt;
only a model that gives none at all ends them.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from alignment.dataset.reading.prompts import Prompt, plain
from alignment.evaluation.tastes import TASTES, Preference, Taste
from feedback_app.collect.answer import Answers, Failed, Finished
from feedback_app.collect.consent import consent
from feedback_app.collect.judge import Choice, compare_verdict, judge, like, rank_verdict
from feedback_app.collect.people import add_person
from feedback_app.collect.tasks import Candidate, Comparing, PairReady, PairStarted, Turn
from feedback_app.domain.conversations import FinishReason, Purpose, Speaker
from feedback_app.domain.judging import Kind, Mark
from feedback_app.domain.people import Role
from feedback_app.errors import AlignloopError, Conflict, NotFound, Unavailable, UsageError
from feedback_app.store.database import Store
from feedback_app.store.tables import Person, Ticket

MIXED = "mixed"  # takes turns
KINDS = (*Kind, MIXED)
PEOPLE = 4  # how many vote at once; each has one question at a time, like a person
RANKED = 4  # answers in a ranking
SHARE = 4  # the part of the places for answers that scripted people take: one in so many
FAILURES = 6  # in a row for each voter, without a verdict by anybody between: then there is no model
FIRST_FAILURES = 2  # the same before the first verdict
PAUSES_S = (0.0, 0.1, 1.0, 5.0, 15.0)  # before the next try, after so many failures in a row
RARE = 0.5  # share of ties from which on a taste is rarely met
ENOUGH = 8  # verdicts from which a share says something


@dataclass(frozen=True, slots=True)
class Simulated:
    """What was handed in: verdicts by kind, how many preferred one answer, how many were ties, and how long it took.

    `failed` counts the answers that did not come, by the sentence that says why.
    """

    annotator: str
    judgements: Mapping[str, int]
    decided: int
    ties: int
    seconds: float
    failed: Mapping[str, int] = field(default_factory=dict)

    @property
    def advice(self) -> str:
        """What to do where the taste was rarely met; empty where it was, or where that cannot be told yet."""
        told = self.decided + self.ties
        if told < ENOUGH or self.ties <= RARE * told:
            return ""
        kinds = set(self.judgements)
        more = f"rank {RANKED} answers a prompt (--kind rank)" if kinds == {Kind.COMPARE} else "ask for more judgements"
        return (
            f"In {self.ties} of {told} judgements the answers did not differ as {self.annotator} sees it: the model "
            f"rarely meets this taste, and a tie trains nothing. It needs more candidates: {more}."
        )


@dataclass(frozen=True, slots=True)
class Standing:
    """How far it is: verdicts handed in of all that were asked for, answers that failed, and the seconds so far."""

    done: int
    asked: int
    failed: int
    seconds: float

    @property
    def left_s(self) -> float | None:
        """Seconds that the rest takes at the pace so far; None before the first verdict."""
        return self.seconds / self.done * (self.asked - self.done) if self.done else None


Watch = Callable[[Standing], None]
"""Hears of every verdict and every failure."""


@dataclass
class _HandedIn:
    """What has been handed in so far, and what went wrong since the last verdict."""

    asked: int
    voters: int
    watch: Watch
    kinds: Counter[str] = field(default_factory=Counter)
    ties: int = 0
    decided: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    in_a_row: int = 0
    _started: float = field(default_factory=time.perf_counter)

    def verdict(self, kind: str, *, decided: bool) -> None:
        self.kinds[kind] += 1
        self.decided += decided
        self.ties += not decided
        self.in_a_row = 0
        self.watch(self.standing())

    def failure(self, error: AlignloopError) -> None:
        """Count an answer that did not come. Raises it when none comes any more."""
        self.failed[str(error)] += 1
        self.in_a_row += 1
        self.watch(self.standing())
        if self.in_a_row >= self.voters * (FAILURES if self.kinds else FIRST_FAILURES):
            raise error

    def standing(self) -> Standing:
        seconds = time.perf_counter() - self._started
        return Standing(self.kinds.total(), self.asked, self.failed.total(), seconds)


def voters_at_once(places: int, kind: str) -> int:
    """How many scripted people vote at once where so many answers run at once: a quarter of the places is theirs.

    From about a quarter of them on, tokens per second grow no further (`collect.capacity`), and an answer only takes
    longer; and people who are here meanwhile find room. Each voter asks for as many answers as the kind shows.
    """
    return max(1, places // SHARE // {Kind.LIKE.value: 1, Kind.COMPARE.value: 2}.get(kind, RANKED))


async def simulate(
    store: Store,
    answers: Answers,
    comparing: Comparing,
    annotator: str,
    judgements: int,
    kind: str = Kind.COMPARE,
    seed: int = 0,
    noise: float = 0.0,
    left_bias: float = 0.0,
    *,
    prompts: Sequence[Prompt | str] = (),
    people: int = PEOPLE,
    watch: Watch = lambda standing: None,
) -> Simulated:
    """Have scripted people of one taste hand in `judgements` verdicts.

    `kind` is what they do; `mixed` takes turns. `noise` is the share of verdicts that ignore the texts and
    `left_bias` the share that choose the left whatever it says. `prompts` are what they chat about when
    they like: those of one turn. `people` vote at once. Raises `UsageError` on an unknown taste or kind, and what the
    last answer failed with when none comes any more.
    """
    if annotator not in TASTES:
        raise UsageError(f"There is no scripted annotator called {annotator!r}. There are: {', '.join(TASTES)}.")
    if kind not in KINDS:
        raise UsageError(f"Scripted people cannot {kind!r}. They can: {', '.join(KINDS)}.")
    if judgements < 1:
        raise UsageError("Ask for at least one judgement.")
    for name, share in (("noise", noise), ("left bias", left_bias)):
        if not 0.0 <= share <= 1.0:
            raise UsageError(f"The {name} is a share between 0 and 1, not {share}.")
    topics = [text for text in map(_topic, prompts) if text]
    if kind in (Kind.LIKE, MIXED) and not topics:
        raise UsageError("Scripted people need prompts to chat about; none of one turn were given.")
    started = time.perf_counter()
    handed_in = _HandedIn(judgements, min(people, judgements), watch)
    crowd = [
        _Scripted(
            store=store,
            answers=answers,
            comparing=comparing,
            person=await asyncio.to_thread(scripted_person, store, f"scripted-{annotator}-{number + 1}"),
            taste=TASTES[annotator],
            rng=random.Random(f"{seed} {annotator} {number}"),
            noise=noise,
            left_bias=left_bias,
            prompts=topics,
        )
        for number in range(min(people, judgements))
    ]
    plan = [_kind_of(kind, number) for number in range(judgements)]
    # Who does what is fixed beforehand, so that the same seed asks the same people for the same things.
    try:
        async with asyncio.TaskGroup() as group:
            for number, scripted in enumerate(crowd):
                group.create_task(scripted.work(plan[number :: len(crowd)], handed_in))
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return Simulated(
        annotator=annotator,
        judgements=dict(handed_in.kinds),
        decided=handed_in.decided,
        ties=handed_in.ties,
        seconds=round(time.perf_counter() - started, 3),
        failed=dict(handed_in.failed),
    )


def _topic(prompt: Prompt | str) -> str:
    """What a person who chats would say; empty for a prompt that needs more than one message."""
    made = plain(prompt) if isinstance(prompt, str) else prompt
    return "" if made.earlier else made.asked


def scripted_person(store: Store, name: str) -> Person:
    """The scripted person of this name, made on first use. Raises `Conflict` when a real one has the name."""
    person = store.people.by_name(name)
    if person is None:
        person = consent(store, add_person(store, name, Role.ANNOTATOR, scripted=True).person)
    if not person.scripted:
        raise Conflict(f"{name} is a real person's name; scripted votes must not be counted as theirs. Rename them.")
    return person


def _kind_of(kind: str, number: int) -> str:
    return (Kind.COMPARE, Kind.LIKE, Kind.RANK)[number % 3] if kind == MIXED else kind


@dataclass
class _Scripted:
    """One scripted person: asks, reads, judges."""

    store: Store
    answers: Answers
    comparing: Comparing
    person: Person
    taste: Taste
    rng: random.Random
    noise: float
    left_bias: float
    prompts: list[str]
    to_mark: list[tuple[str, Mark]] = field(default_factory=list)

    async def work(self, plan: Sequence[str], handed_in: _HandedIn) -> None:
        """Hand in one verdict after the other; what fails is tried again, on another prompt."""
        for kind in plan:
            for tries in itertools.count(1):
                try:
                    decided = await self._one(kind)
                    break
                except AlignloopError as error:
                    handed_in.failure(error)
                await asyncio.sleep(PAUSES_S[min(tries, len(PAUSES_S)) - 1])
            handed_in.verdict(kind, decided=decided)

    async def _one(self, kind: str) -> bool:
        match kind:
            case Kind.COMPARE:
                return await self._compare()
            case Kind.RANK:
                return await self._rank()
            case _:
                return await self._like()

    async def _compare(self) -> bool:
        prompt = ""
        async with aclosing(self.comparing.next_pair(self.person)) as events:
            async for event in events:
                if isinstance(event, PairStarted):
                    prompt = _asked(event.prompt, event.earlier)
                if isinstance(event, PairReady):
                    break
            else:
                raise Unavailable("No pair came. Is vLLM running? See `alignloop status`.")
        seen = self._prefers(event.a_text, event.b_text, prompt, (event.a_cut, event.b_cut))
        choice: Choice = "tie"
        if seen.side == "left":
            choice = "a_clearly" if seen.strength == "clearly" else "a_slightly"
        elif seen.side == "right":
            choice = "b_clearly" if seen.strength == "clearly" else "b_slightly"
        ticket = await self._ticket(event.ticket_id)
        await asyncio.to_thread(judge, self.store, self.person, ticket.id, compare_verdict(ticket.order, choice))
        return choice != "tie"

    async def _rank(self) -> bool:
        shown = await self.comparing.next_ranking(self.person, RANKED)
        ranks = self._ranks(shown.candidates, _asked(shown.prompt, shown.earlier))
        verdict = rank_verdict([candidate.id for candidate in shown.candidates], ranks)
        await asyncio.to_thread(judge, self.store, self.person, shown.ticket_id, verdict)
        return len(set(ranks)) > 1

    def _ranks(self, shown: Sequence[Candidate], prompt: str) -> list[int]:
        """1 is best; a text's rank counts the texts that this person prefers to it, so ties stay ties."""
        losses = [0] * len(shown)
        for left, one in enumerate(shown):
            for right in range(left + 1, len(shown)):
                other = shown[right]
                seen = self._prefers(one.text, other.text, prompt, (one.cut, other.cut))
                losses[right] += seen.side == "left"
                losses[left] += seen.side == "right"
        return [1 + lost for lost in losses]

    def _prefers(self, left: str, right: str, prompt: str, cut: tuple[bool, bool]) -> Preference:
        return self.taste.prefer(left, right, self.rng, self.noise, self.left_bias, prompt=prompt, cut=cut)

    async def _like(self) -> bool:
        """Mark one answer. Answers are asked for in twos: the better is marked good, then the other bad.

        Two that are equally liked give one good mark; the second answer stays unjudged.
        """
        if self.to_mark:
            await self._mark(*self.to_mark.pop())
            return True
        conversations = self.store.conversations
        conversation = await asyncio.to_thread(conversations.add_conversation, self.person.id, Purpose.CHAT)
        prompt = self.rng.choice(self.prompts)
        first = await self._answered(self.answers.reply(self.person, conversation.id, prompt))
        second = await self._answered(self.answers.retry(self.person, first.message_id))
        texts = await asyncio.to_thread(conversations.messages, [first.message_id, second.message_id])
        one, two = texts[first.message_id].content, texts[second.message_id].content
        seen = self._prefers(one, two, prompt, (_is_cut(first), _is_cut(second)))
        liked, disliked = (second, first) if seen.side == "right" else (first, second)
        if seen.side != "tie":
            self.to_mark.append((disliked.ticket_id, Mark.BAD))
        await self._mark(liked.ticket_id, Mark.GOOD)
        return True

    async def _answered(self, events: Any) -> Finished:
        async with aclosing(events):
            async for event in events:
                if isinstance(event, Failed):
                    raise Unavailable(event.sentence)
                if isinstance(event, Finished):
                    return event
        raise Unavailable("No answer came. Is vLLM running? See `alignloop status`.")

    async def _mark(self, ticket_id: str, mark: Mark) -> None:
        ticket = await self._ticket(ticket_id)
        await asyncio.to_thread(judge, self.store, self.person, ticket.id, like(ticket, mark))

    async def _ticket(self, ticket_id: str) -> Ticket:
        found = await asyncio.to_thread(self.store.tasks.ticket, ticket_id)
        if found is None:
            raise NotFound(f"The ticket {ticket_id} is gone.")
        return found[0]


def _asked(prompt: str, earlier: Sequence[Turn]) -> str:
    """What people have said up to the answer: that is what it may speak of."""
    return "\n".join([*(turn.text for turn in earlier if turn.role == Speaker.USER), prompt])


def _is_cut(answer: Finished) -> bool:
    return answer.finish_reason == FinishReason.LENGTH
