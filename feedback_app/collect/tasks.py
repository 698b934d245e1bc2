"""Comparing and ranking: which answers a person sees next, and on which ticket.

The server draws prompts, versions, seeds and sides; the client gets a ticket. A pair is made by a task of
this process that outlives the page, so that a reload follows it and an abandoned pair waits as an open
ticket. What is not done here: reading verdicts (`judge`), loading versions.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

from alignment.dataset.reading.prompts import Prompt, plain
from feedback_app.collect.admission import Claim
from feedback_app.collect.answer import Answers
from feedback_app.collect.blind import Blind, blind_vote
from feedback_app.collect.generate import Generation, Served, served
from feedback_app.collect.hidden_checks import mixed_in
from feedback_app.collect.people import require
from feedback_app.collect.prompts import PromptOrder
from feedback_app.collect.text import clean
from feedback_app.collect.window import Reading
from feedback_app.domain.conversations import FinishReason, Purpose, Speaker
from feedback_app.domain.judging import Kind
from feedback_app.domain.people import Role
from feedback_app.errors import TooLong, UsageError
from feedback_app.store.tables import Completion, Person, Task, Ticket, new_id

log = logging.getLogger(__name__)

Side = Literal["a", "b"]
RANK_SIZES = (3, 4, 5)
SAME_TRIES = 4  # further seeds when answers are identical
PROMPT_TRIES = 5  # further prompts when every seed gives the same answer


@dataclass(frozen=True, slots=True)
class Turn:
    """One message before the prompt: `role` is system, user or assistant."""

    role: str
    text: str


@dataclass(frozen=True, slots=True)
class PairStarted:
    """A prompt to compare answers to; a page begins afresh at it. `generated`: the answers are being written now.

    `earlier` are the messages before the prompt, oldest first.
    """

    prompt: str
    generated: bool
    earlier: tuple[Turn, ...] = ()


@dataclass(frozen=True, slots=True)
class PairDelta:
    """The next piece of the left (a) or right (b) answer."""

    side: Side
    text: str


@dataclass(frozen=True, slots=True)
class PairReady:
    """The pair may be judged. The texts are final: they replace what was streamed.

    One that is `cut` came to the longest answer that is allowed.
    """

    ticket_id: str
    a_text: str
    b_text: str
    a_cut: bool = False
    b_cut: bool = False


@dataclass(frozen=True, slots=True)
class PairWaiting:
    """The answers wait for their turn; `place` requests go before them. Said again whenever the place has changed."""

    place: int


PairEvent = PairWaiting | PairStarted | PairDelta | PairReady


@dataclass(frozen=True, slots=True)
class Candidate:
    """One answer of a ranking; `id` is the key of ranks and corrections in a verdict. `cut`: at the longest length."""

    id: str
    text: str
    cut: bool = False


@dataclass(frozen=True, slots=True)
class RankTicket:
    """Answers to put in order, as shown, top first. `earlier` are the messages before the prompt, oldest first."""

    ticket_id: str
    prompt: str
    candidates: tuple[Candidate, ...]
    earlier: tuple[Turn, ...] = ()


@dataclass(frozen=True, slots=True)
class _Shown:
    """What a ticket shows: the prompt, what goes before it, and the candidates in its order."""

    prompt: str
    earlier: tuple[Turn, ...]
    candidates: tuple[Candidate, ...]

    def pair(self, ticket_id: str) -> PairReady:
        a, b = self.candidates
        return PairReady(ticket_id, a.text, b.text, a.cut, b.cut)


@dataclass
class _Making:
    """A pair that is being made: what has happened so far, for everyone who follows."""

    events: list[PairEvent] = field(default_factory=list)
    task: asyncio.Task[None] | None = None
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def add(self, event: PairEvent) -> None:
        self.events.append(event)
        self.wake()

    def wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def follow(self) -> AsyncGenerator[PairEvent]:
        """Every event from the first; raises what ended the making."""
        assert self.task is not None
        seen = 0
        while True:
            changed = self._changed
            while seen < len(self.events):
                seen += 1
                yield self.events[seen - 1]
            if self.task.done():
                self.task.result()
                return
            await changed.wait()


class Comparing:
    """Gives people pairs and rankings. `rng` draws sides and orders; `answers` does the asking."""

    def __init__(self, answers: Answers, prompts: Sequence[Prompt | str], rng: random.Random | None = None) -> None:
        self._answers = answers
        self._store = answers.store
        self._order = PromptOrder(answers.store, prompts)
        self._rng = rng or random.SystemRandom()
        self.making: dict[str, _Making] = {}  # by person: the pair with a drawn prompt that is being made
        self._rankings: dict[tuple[str, int], asyncio.Task[tuple[Ticket, Task]]] = {}  # by person and size, likewise
        self._claims: dict[tuple[str, int], Claim] = {}  # of the rankings that are being made
        self._tasks: set[asyncio.Task[Any]] = set()

    async def next_pair(self, person: Person, prompt: str | None = None) -> AsyncGenerator[PairEvent]:
        """The person's next pair: one that is ready, one that is being made, or a new one.

        With `prompt`, always a new one on that prompt. While there is a blind vote (`blind`), every pair is between
        its two versions. Raises `NotAllowed` below annotator, `TooLong`, and `Unavailable` while vLLM is
        away; `UsageError` when the model gives the same answer to a typed prompt every time.
        """
        require(person, Role.ANNOTATOR)
        if prompt is not None:
            prompt = clean(prompt)
            if not prompt.strip():
                raise UsageError("There is nothing to compare answers to yet. Write a prompt first.")
            making = self._start(person, prompt)
        else:
            ready = await asyncio.to_thread(self._ready, person, Kind.COMPARE)
            if ready is not None:
                seen = await asyncio.to_thread(self._shown, *ready)
                yield PairStarted(seen.prompt, generated=False, earlier=seen.earlier)
                yield seen.pair(ready[0].id)
                return
            making = self.making.get(person.id) or self._start(person, None)
        async with aclosing(making.follow()) as events:
            async for event in events:
                if isinstance(event, PairReady):
                    await asyncio.to_thread(self._store.tasks.show, event.ticket_id)
                yield event

    async def prepare(self, person: Person) -> None:
        """Begin the pair after the one that is shown, unless it is there already. Returns at once."""
        require(person, Role.ANNOTATOR)
        if person.id in self.making:
            return
        open_tickets = await asyncio.to_thread(self._open, person, Kind.COMPARE)
        if len(open_tickets) < 2 and person.id not in self.making:
            self._start(person, None)

    async def idle(self) -> None:
        """Wait until nothing is being made."""
        while self._tasks:
            await asyncio.wait(set(self._tasks))

    async def close(self) -> None:
        """Stop what is being made."""
        for task in self._tasks:
            task.cancel()
        await self.idle()

    async def next_ranking(self, person: Person, k: int = 4) -> RankTicket:
        """`k` different answers of `policy` to one prompt, in an order the server drew. Raises as `next_pair`."""
        require(person, Role.ANNOTATOR)
        if k not in RANK_SIZES:
            raise UsageError(f"A ranking has 3, 4 or 5 answers, not {k}.")
        ready = await asyncio.to_thread(self._ready, person, Kind.RANK, lambda task: len(task.candidates) == k)
        if ready is None:
            # Shielded: a page that is closed meanwhile must not end what the next one will find ready.
            ready = await asyncio.shield(self._ranking(person, k))
            await asyncio.to_thread(self._store.tasks.show, ready[0].id)
        seen = await asyncio.to_thread(self._shown, *ready)
        return RankTicket(ready[0].id, seen.prompt, seen.candidates, seen.earlier)

    async def prepare_ranking(self, person: Person, k: int) -> None:
        """Begin the ranking after the one that is shown, unless it is there already. Returns at once."""
        require(person, Role.ANNOTATOR)
        open_tickets = await asyncio.to_thread(self._open, person, Kind.RANK)
        if sum(len(task.candidates) == k for _, task in open_tickets) < 2:
            self._ranking(person, k)

    def ranking_place(self, person: Person, k: int) -> int | None:
        """How many requests go before the ranking that is being made for this person; None when it does not wait."""
        claim = self._claims.get((person.id, k))
        return None if claim is None or claim.running else claim.place

    # Making

    def _ranking(self, person: Person, k: int) -> asyncio.Task[tuple[Ticket, Task]]:
        """The ranking of `k` that is being made for this person, or a new one."""
        key = (person.id, k)
        if key in self._rankings:
            return self._rankings[key]
        task = asyncio.create_task(self._make_ranking(person, k))
        self._rankings[key] = task
        self._tasks.add(task)

        def ended(task: asyncio.Task[tuple[Ticket, Task]]) -> None:
            self._tasks.discard(task)
            del self._rankings[key]
            self._claims.pop(key, None)
            if not task.cancelled() and (error := task.exception()) is not None:
                log.info("a ranking could not be made: %s", error)  # who waits for it gets the error itself

        task.add_done_callback(ended)
        return task

    def _start(self, person: Person, prompt: str | None) -> _Making:
        making = _Making()
        making.task = asyncio.create_task(self._make(person, prompt, making))
        if prompt is None:
            self.making[person.id] = making
        self._tasks.add(making.task)

        def ended(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            if self.making.get(person.id) is making:
                del self.making[person.id]
            if not task.cancelled() and (error := task.exception()) is not None:
                log.info("a pair could not be made: %s", error)  # who follows it gets the error itself
            making.wake()

        making.task.add_done_callback(ended)
        return making

    async def _make(self, person: Person, typed: str | None, making: _Making) -> None:
        known = await asyncio.to_thread(self._mixed_in, person) if typed is None else None
        if known is not None:
            seen = await asyncio.to_thread(self._shown, *known)
            making.add(PairStarted(seen.prompt, generated=False, earlier=seen.earlier))
            making.add(seen.pair(known[0].id))
            return
        came = self._answers.admission.clock()
        too_long: TooLong | None = None
        for _ in range(PROMPT_TRIES if typed is None else 1):
            prompt = await asyncio.to_thread(self._order.draw, person) if typed is None else plain(typed)
            targets, blind = await asyncio.to_thread(self._targets)
            self._rng.shuffle(targets)
            ticket_id = new_id()
            promised = self._answers.reserving.begin(person, ticket_id)
            try:
                reading = await self._answers.read_prompt(prompt, targets[0])
            except TooLong as error:
                await promised
                if typed is not None:
                    raise
                too_long = error  # a set of one's own may hold such ones; another prompt may fit
                continue
            await promised
            with self._answers.claim(person, reading, came, n=2) as claim:
                async with aclosing(claim.places()) as places:
                    async for place in places:
                        making.add(PairWaiting(place))
                making.add(PairStarted(prompt.asked, generated=True, earlier=_earlier(prompt)))
                pair = await self._pair(targets, reading, claim, making)
            if pair[0].text == pair[1].text:
                continue
            offer = partial(
                self._offer, person, Kind.COMPARE, prompt, pair, reading, blind, ticket_id, typed is not None
            )
            ticket, _ = await self._answers.keep(offer)
            making.add(PairReady(ticket.id, pair[0].text, pair[1].text, _is_cut(pair[0]), _is_cut(pair[1])))
            return
        if too_long is not None:
            raise too_long
        raise UsageError("The model gives the same answer every time. Try another prompt, or a higher temperature.")

    async def _pair(
        self, targets: Sequence[Served], reading: Reading, claim: Claim, making: _Making
    ) -> list[Generation]:
        """Two answers, the second one with further seeds while it is the same as the first."""
        pair = [self._answers.generation(target, reading.messages, claim) for target in targets]
        pair[1].seed = _another(self._answers.rng, pair[0].seed)
        await _together(_stream(pair[0], "a", making), _stream(pair[1], "b", making))
        for _ in range(SAME_TRIES):
            if pair[0].text != pair[1].text:
                break
            pair[1] = self._answers.generation(targets[1], reading.messages, claim)
            await pair[1].run()
        return pair

    async def _make_ranking(self, person: Person, k: int) -> tuple[Ticket, Task]:
        came = self._answers.admission.clock()
        too_long: TooLong | None = None
        for _ in range(PROMPT_TRIES):
            prompt = await asyncio.to_thread(self._order.draw, person)
            target = await self._answers.served()
            ticket_id = new_id()
            promised = self._answers.reserving.begin(person, ticket_id)
            try:
                reading = await self._answers.read_prompt(prompt, target)
            except TooLong as error:
                await promised
                too_long = error
                continue
            await promised
            with self._answers.claim(person, reading, came, n=k) as claim:
                self._claims[person.id, k] = claim
                await claim.started()
                different = await self._different(k, target, reading, claim)
            if len(different) == k:
                return await self._answers.keep(
                    partial(self._offer, person, Kind.RANK, prompt, different, reading, None, ticket_id)
                )
        if too_long is not None:
            raise too_long
        raise UsageError(f"The model does not give {k} different answers. Ask for fewer, or raise the temperature.")

    async def _different(self, k: int, target: Served, reading: Reading, claim: Claim) -> list[Generation]:
        """`k` different answers, or fewer when the model goes on giving the same ones."""
        different: dict[str, Generation] = {}
        for _ in range(SAME_TRIES):
            wave = [self._answers.generation(target, reading.messages, claim) for _ in range(k - len(different))]
            await _together(*(generation.run() for generation in wave))
            for generation in wave:
                different.setdefault(generation.text, generation)
            if len(different) == k:
                break
        return list(different.values())

    # In the store: synchronous, called in a thread

    def _targets(self) -> tuple[list[Served], Blind | None]:
        """The two that answer, and the blind vote that they answer for."""
        policy = served(self._store)
        blind = blind_vote(self._store)
        if blind is None:
            return [policy, policy], None
        return [served(self._store, blind.against), served(self._store, blind.judged)], blind

    def _mixed_in(self, person: Person) -> tuple[Ticket, Task] | None:
        """Now and then, a ticket on a pair that tells how far this person can be relied on."""
        task = mixed_in(self._store, self._answers.settings, person, self._rng)
        return self._issue(task, person) if task is not None else None

    def _issue(self, task: Task, person: Person) -> tuple[Ticket, Task]:
        """This person's ticket on a task that is there, its answers in an order that is drawn now."""
        order = list(task.candidates)
        self._rng.shuffle(order)
        return self._store.tasks.issue(task.id, person.id, order, self._expiry()), task

    def _offer(
        self,
        person: Person,
        kind: str,
        prompt: Prompt,
        shown: Sequence[Generation],
        reading: Reading,
        blind: Blind | None,
        ticket_id: str,
        typed: bool = False,
    ) -> tuple[Ticket, Task]:
        """Store the answers in the order they are shown, and the promised ticket that holds this order.

        A `typed` prompt is the person's own words and goes with them when they withdraw; a drawn one is not.
        """
        now = self._store.now()
        system = [message for message in shown[0].messages if message["role"] == Speaker.SYSTEM]
        replies = [(generation.text, generation.completion(system, now)) for generation in shown]
        context, answers = self._store.conversations.add_candidates(
            person.id,
            Purpose.TYPED if typed else kind,
            prompt.asked,
            replies,
            earlier=[(message.role, message.content) for message in prompt.earlier],
            read=len(reading.messages) - len(system) - 1,  # the system text stands in what was sent
        )
        order = [answer.id for answer in answers]
        task = Task(
            kind=kind,
            context_id=context.id,
            candidates=sorted(order),  # a task has no order of its own; its tickets do
            challenger=blind.judged if blind else None,
            incumbent=blind.against if blind else None,
            scripted=person.scripted,
            created_at=now,
        )
        return self._store.tasks.offer(task, person.id, order, self._expiry(), ticket_id)

    def _expiry(self) -> float:
        return self._store.now() + self._answers.settings.ticket_ttl_s

    def _open(self, person: Person, kind: str) -> list[tuple[Ticket, Task]]:
        """Open tickets that still serve what is asked now: on the present blind vote, or on none."""
        now = self._store.now()
        blind = blind_vote(self._store) if kind == Kind.COMPARE else None
        wanted = blind.judged if blind else None
        tickets = self._store.tasks.open_for(person.id, kind, now)
        # A task that wants nobody came through the HTTP door and is judged there.
        return [(ticket, task) for ticket, task in tickets if task.challenger == wanted and task.wanted]

    def _ready(
        self, person: Person, kind: str, fits: Callable[[Task], bool] = lambda task: True
    ) -> tuple[Ticket, Task] | None:
        """An open ticket of this person, or a new one on a task that others have judged; shown from now."""
        for ticket, task in self._open(person, kind):
            if fits(task):
                self._store.tasks.show(ticket.id)
                return ticket, task
        blind = blind_vote(self._store) if kind == Kind.COMPARE else None
        waiting = self._store.tasks.waiting(person, kind, self._store.now(), blind.judged if blind else None)
        if waiting is None or not fits(waiting):
            return None
        ticket, _ = self._issue(waiting, person)
        self._store.tasks.show(ticket.id)
        return ticket, waiting

    def _shown(self, ticket: Ticket, task: Task) -> _Shown:
        """What a ticket shows, in its order."""
        conversations = self._store.conversations
        path = conversations.path(task.context_id) if task.context_id else []
        messages, written = conversations.messages(ticket.order), conversations.completions(ticket.order)
        return _Shown(
            path[-1].content if path else "",
            tuple(Turn(message.role, message.content) for message in path[:-1]),
            tuple(Candidate(id, messages[id].content, id in written and _is_cut(written[id])) for id in ticket.order),
        )


def _earlier(prompt: Prompt) -> tuple[Turn, ...]:
    return tuple(Turn(message.role, message.content) for message in prompt.earlier)


def _is_cut(answer: Generation | Completion) -> bool:
    return answer.finish_reason == FinishReason.LENGTH


async def _stream(generation: Generation, side: Side, making: _Making) -> None:
    async with aclosing(generation.deltas()) as deltas:
        async for delta in deltas:
            making.add(PairDelta(side, delta))


async def _together(*work: Coroutine[None, None, None]) -> None:
    """Run all at once; the first failure ends the others and is raised as it is."""
    tasks = [asyncio.create_task(each) for each in work]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()


def _another(rng: random.Random, seed: int) -> int:
    """A seed that is not `seed`."""
    other = rng.randrange(2**31 - 1)
    return other + (other >= seed)
