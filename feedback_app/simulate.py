"""Scripted people of known taste, voting through the same tickets as everyone.

They let anyone see the loop work in a minute, and let tests prove it. Each is a person marked as scripted
who asks `collect` for an answer, a pair or a ranking, looks at the texts that a page would show, and hands
in a verdict on the ticket. Nothing is written around `collect`, and nothing else about the answers is known
to them: a blind vote stays blind.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from alignment.evaluation.tastes import TASTES, Taste
from feedback_app.collect.answer import Answers, Failed, Finished
from feedback_app.collect.consent import consent
from feedback_app.collect.judge import Choice, compare_verdict, judge, like, rank_verdict
from feedback_app.collect.people import add_person
from feedback_app.collect.tasks import Comparing, PairReady
from feedback_app.domain.conversations import Purpose
from feedback_app.domain.judging import Kind, Mark
from feedback_app.domain.people import Role
from feedback_app.errors import Conflict, NotFound, Unavailable, UsageError
from feedback_app.store.database import Store
from feedback_app.store.tables import Person, Ticket

if TYPE_CHECKING:
    from feedback_app.settings import Settings

MIXED = "mixed"  # takes turns
KINDS = (*Kind, MIXED)
PEOPLE = 4  # how many vote at once; each has one question at a time, like a person
RANKED = 4  # answers in a ranking


@dataclass(frozen=True, slots=True)
class Simulated:
    """What was handed in: verdicts by kind, how many preferred one answer, how many were ties, and how long it took."""

    annotator: str
    judgements: Mapping[str, int]
    decided: int
    ties: int
    seconds: float


@dataclass
class _HandedIn:
    """What has been handed in so far."""

    kinds: Counter[str] = field(default_factory=Counter)
    ties: int = 0
    decided: int = 0


def check_embedded(settings: Settings, *, yes: bool) -> None:
    """Refuse to vote on somebody's own model by mistake. Raises `UsageError` without `--yes`."""
    if not settings.embedded and not yes:
        raise UsageError(
            f"Scripted people would vote on {settings.model_name}, and their tastes were made for the embedded model. "
            "Add --yes if you mean it."
        )


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
    prompts: Sequence[str] = (),
    people: int = PEOPLE,
    yes: bool = False,
) -> Simulated:
    """Have scripted people of one taste hand in `judgements` verdicts.

    `kind` is what they do; `mixed` takes turns. `noise` is the share of verdicts that ignore the texts and
    `left_bias` the share that choose the left whatever it says. `prompts` are what they chat about when
    they like. Raises `UsageError` on an unknown taste or kind or on a model that is not the embedded one without
    `yes`, and `Unavailable` while there is no model.
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
    check_embedded(answers.settings, yes=yes)
    started = time.perf_counter()
    handed_in = _HandedIn()
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
            prompts=list(prompts),
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
    )


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
        """Hand in one verdict after the other."""
        for kind in plan:
            match kind:
                case Kind.COMPARE:
                    decided = await self._compare()
                case Kind.RANK:
                    decided = await self._rank()
                case _:
                    decided = await self._like()
            handed_in.kinds[kind] += 1
            handed_in.decided += decided
            handed_in.ties += not decided

    async def _compare(self) -> bool:
        async with aclosing(self.comparing.next_pair(self.person)) as events:
            async for event in events:
                if isinstance(event, PairReady):
                    break
            else:
                raise Unavailable("No pair came. Is vLLM running? See `alignloop status`.")
        seen = self.taste.prefer(event.a_text, event.b_text, self.rng, self.noise, self.left_bias)
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
        texts = [candidate.text for candidate in shown.candidates]
        ranks = self._ranks(texts)
        verdict = rank_verdict([candidate.id for candidate in shown.candidates], ranks)
        await asyncio.to_thread(judge, self.store, self.person, shown.ticket_id, verdict)
        return len(set(ranks)) > 1

    def _ranks(self, texts: Sequence[str]) -> list[int]:
        """1 is best; a text's rank counts the texts that this person prefers to it, so ties stay ties."""
        losses = [0] * len(texts)
        for left in range(len(texts)):
            for right in range(left + 1, len(texts)):
                seen = self.taste.prefer(texts[left], texts[right], self.rng, self.noise, self.left_bias)
                losses[right] += seen.side == "left"
                losses[left] += seen.side == "right"
        return [1 + lost for lost in losses]

    async def _like(self) -> bool:
        """Mark one answer. Answers are asked for in twos: the better is marked good, then the other bad.

        Two that are equally liked give one good mark; the second answer stays unjudged.
        """
        if self.to_mark:
            await self._mark(*self.to_mark.pop())
            return True
        if not self.prompts:
            raise UsageError("Scripted people need prompts to chat about; none were given.")
        conversations = self.store.conversations
        conversation = await asyncio.to_thread(conversations.add_conversation, self.person.id, Purpose.CHAT)
        first = await self._answered(self.answers.reply(self.person, conversation.id, self.rng.choice(self.prompts)))
        second = await self._answered(self.answers.retry(self.person, first.message_id))
        texts = await asyncio.to_thread(conversations.messages, [first.message_id, second.message_id])
        one, two = texts[first.message_id].content, texts[second.message_id].content
        seen = self.taste.prefer(one, two, self.rng, self.noise, self.left_bias)
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
