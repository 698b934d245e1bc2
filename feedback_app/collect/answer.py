"""Answering in a conversation: reply, retry, stop.

Every answer that a person sees is stored with its version, settings, tokens and time, and gets a ticket, so
that it can be liked, disliked or corrected; nobody is answered while nothing can be stored. `policy` is looked up
at each request. What is not done here: judging, and anything about how a page looks.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from alignment.dataset.reading.prompts import Prompt, behind
from feedback_app.collect.admission import Admission, Claim, Load
from feedback_app.collect.generate import POLICY, Generation, Sampling, Served, sentence, served
from feedback_app.collect.people import require
from feedback_app.collect.reserving import Reserving
from feedback_app.collect.text import clean
from feedback_app.collect.window import ChatMessage, Reading, fit, longest_token_of, window_of
from feedback_app.domain.conversations import Speaker
from feedback_app.domain.judging import Kind
from feedback_app.domain.people import Role
from feedback_app.errors import AlignloopError, NotFound, UsageError
from feedback_app.store.database import Store
from feedback_app.store.tables import Completion, Conversation, Message, Person, Task, Ticket, new_id
from serving.errors import ServingError

if TYPE_CHECKING:
    from feedback_app.settings import Settings
    from serving.client import VllmClient
    from serving.model_check import ModelFacts

T = TypeVar("T")
TITLE_LENGTH = 60


@dataclass(frozen=True, slots=True)
class Started:
    """The question is stored and `version` begins to answer.

    `reading_from` is the message where the model starts reading, None when it reads the whole conversation.
    """

    user_message_id: str
    version: str
    reading_from: str | None


@dataclass(frozen=True, slots=True)
class Waiting:
    """The answer waits for its turn; `place` others go before it. Said again whenever the place has changed."""

    place: int


@dataclass(frozen=True, slots=True)
class Delta:
    """The next piece of the answer."""

    text: str


@dataclass(frozen=True, slots=True)
class Finished:
    """The answer is stored and may be judged."""

    message_id: str
    ticket_id: str
    version: str
    finish_reason: str


@dataclass(frozen=True, slots=True)
class Failed:
    """The answer broke off; what had come is stored as `message_id` (None when nothing had)."""

    sentence: str
    message_id: str | None = None


Event = Started | Waiting | Delta | Finished | Failed


class Answers:
    """Answers people in their conversations, when `admission` lets them. `rng` draws the sampling seeds."""

    def __init__(
        self,
        store: Store,
        vllm: VllmClient,
        settings: Settings,
        facts: ModelFacts | None,
        rng: random.Random | None = None,
        admission: Admission | None = None,
    ) -> None:
        self.admission = admission or Admission()
        self.store = store
        self.vllm = vllm
        self.settings = settings
        self.facts = facts
        self.rng = rng or random.SystemRandom()
        self.reserving = Reserving(store, settings.request_deadline_s)
        self._saving: set[asyncio.Task[Any]] = set()

    async def reply(self, person: Person, conversation_id: str, text: str) -> AsyncGenerator[Event]:
        """Add what the person wrote and answer it; closing the generator stops the answer and keeps it.

        Raises before anything is stored: `NotFound` on another person's conversation, `TooLong` on a message
        that does not fit the window, `Unavailable` while there is no model or nothing can be stored, `TooMany` when
        too much waits already. Later failures are a `Failed`, also that no place became free in time.
        """
        came = self.admission.clock()
        require(person, Role.CHATTER)
        text = clean(text)
        if not text.strip():
            raise UsageError("There is nothing to answer yet. Write a message first.")
        conversation = await asyncio.to_thread(self._conversation, person, conversation_id)
        path = await asyncio.to_thread(self._path, conversation.head_id)
        if path and path[-1].role == Speaker.USER:
            path.pop()  # it was never answered: the new message takes its place, so that turns alternate
        ticket_id = new_id()
        promised = self.reserving.begin(person, ticket_id)
        target = await self.served()
        reading = await self.read([*map(_turn, path), {"role": Speaker.USER, "content": text}], target)
        await promised
        with self.claim(person, reading, came) as claim:
            question = await asyncio.to_thread(self._ask, conversation, path[-1].id if path else None, text)
            async with aclosing(self._answer(person, [*path, question], reading, target, claim, ticket_id)) as events:
                async for event in events:
                    yield event

    async def retry(self, person: Person, message_id: str) -> AsyncGenerator[Event]:
        """Answer again: a sibling of this answer, or a first answer to this question. As `reply` otherwise."""
        came = self.admission.clock()
        require(person, Role.CHATTER)
        path = await asyncio.to_thread(self._path, message_id)
        await asyncio.to_thread(self._conversation, person, path[0].conversation_id)
        while path and path[-1].role != Speaker.USER:
            path.pop()
        if not path:
            raise UsageError("There is no question above this message to answer again.")
        ticket_id = new_id()
        promised = self.reserving.begin(person, ticket_id)
        target = await self.served()
        reading = await self.read([_turn(message) for message in path], target)
        await promised
        with self.claim(person, reading, came) as claim:
            async with aclosing(self._answer(person, path, reading, target, claim, ticket_id)) as events:
                async for event in events:
                    yield event

    async def served(self, name: str = POLICY) -> Served:
        """What `policy` means now, or the version of this name; see `generate.served`."""
        return await asyncio.to_thread(served, self.store, name)

    async def read(self, turns: Sequence[ChatMessage], target: Served, system: str | None = None) -> Reading:
        """Which of these turns the model reads, behind the settings' system text unless another is given.

        Raises `TooLong`, and `Unavailable` while vLLM is away.
        """
        head = self.settings.system_prompt if system is None else system

        async def count(messages: list[ChatMessage]) -> int:
            return await self.vllm.tokenize(messages, model=target.model)

        window = self.window_tokens
        try:
            limit = window - self.sampling.max_tokens
            return await fit(turns, head, count, limit, longest_token_of(self.facts))
        except ServingError as error:
            raise sentence(error, target.version) from error

    async def read_prompt(self, prompt: Prompt, target: Served) -> Reading:
        """What the model reads of a prompt: its own system text behind that of the settings. Raises as `read`."""
        head, *_ = messages = behind(self.settings.system_prompt, prompt.messages)
        system = head.content if head.role == Speaker.SYSTEM else ""
        turns = [{"role": each.role, "content": each.content} for each in messages[bool(system) :]]
        return await self.read(turns, target, system)

    @property
    def window_tokens(self) -> int:
        """Prompt and answer together, tokens: the setting, at most what the model allows."""
        return window_of(self.settings, self.facts)

    @property
    def sampling(self) -> Sampling:
        """How answers are sampled: the settings', else the model's own temperature, else 1."""
        temperature = self.settings.temperature
        if temperature is None:
            temperature = self.facts.temperature if self.facts and self.facts.temperature is not None else 1.0
        return Sampling(temperature, min(self.settings.max_tokens, self.window_tokens // 2))

    def claim(self, person: Person, reading: Reading, came: float, n: int = 1) -> Claim:
        """A claim to `n` answers at once; `came` is when they were asked for. Raises `TooMany`."""
        load = Load(reading.tokens, self.sampling.max_tokens, n, sum(len(turn["content"]) for turn in reading.messages))
        return self.admission.claim(person.id, load, self.settings.request_deadline_s, came)

    def generation(self, target: Served, messages: Sequence[ChatMessage], claim: Claim) -> Generation:
        """An answer to be generated once the claim has its place, with a fresh seed."""
        return Generation(
            vllm=self.vllm,
            claim=claim,
            served=target,
            messages=messages,
            sampling=self.sampling,
            seed=self.rng.randrange(2**31),
            deadline_s=self.settings.request_deadline_s,
            template_hash=self.facts.template_hash if self.facts else "",
            turn_tokens=self.facts.turn_tokens if self.facts else (),
        )

    async def keep(self, work: Callable[[], T]) -> T:
        """Run database work in a thread and see it through, even when the caller is cancelled meanwhile."""
        task = asyncio.ensure_future(_in_thread(work))
        self._saving.add(task)
        task.add_done_callback(self._saving.discard)
        return await asyncio.shield(task)

    async def _answer(
        self,
        person: Person,
        path: Sequence[Message],
        reading: Reading,
        target: Served,
        claim: Claim,
        ticket_id: str,
    ) -> AsyncGenerator[Event]:
        generation = self.generation(target, reading.messages, claim)
        generation.prompt_tokens = reading.tokens
        sent = [message for message in reading.messages if message["role"] == Speaker.SYSTEM]
        sources = [*sent, *(message.id for message in path[reading.first :])]

        def save() -> tuple[Message, Ticket]:
            completion = generation.completion(sources, self.store.now())
            return store_answer(self.store, person, path[-1], generation.text, completion, self._expiry(), ticket_id)

        kept = False  # set before the saving starts: an answer is stored once, however this ends
        try:
            yield Started(path[-1].id, target.version.name, path[reading.first].id if reading.first else None)
            async with aclosing(claim.places()) as places:
                async for place in places:
                    yield Waiting(place)
            async with aclosing(generation.deltas()) as deltas:
                async for delta in deltas:
                    yield Delta(delta)
            claim.done()
            kept = True
            message, ticket = await self.keep(save)
            yield Finished(message.id, ticket.id, target.version.name, generation.finish_reason)
        except AlignloopError as error:
            saved = None
            if generation.text and not kept:
                kept = True
                saved = await self.keep(save)
            yield Failed(str(error), saved[0].id if saved else None)
        except (GeneratorExit, asyncio.CancelledError):
            if generation.text and not kept:
                await self.keep(save)
            raise

    def _expiry(self) -> float:
        return self.store.now() + self.settings.ticket_ttl_s

    def _conversation(self, person: Person, conversation_id: str) -> Conversation:
        conversation = self.store.conversations.conversation(conversation_id)
        if conversation is None or conversation.person_id != person.id:
            raise NotFound("There is no such conversation of yours. Start a new one.")
        return conversation

    def _path(self, message_id: str | None) -> list[Message]:
        return self.store.conversations.path(message_id) if message_id else []

    def _ask(self, conversation: Conversation, parent_id: str | None, text: str) -> Message:
        if not conversation.title:
            self.store.conversations.rename(conversation.id, _title(text))
        return self.store.conversations.add_message(conversation.id, parent_id, "user", text)


def store_answer(
    store: Store,
    person: Person,
    question: Message,
    text: str,
    completion: Completion,
    expires_at: float,
    ticket_id: str | None = None,
) -> tuple[Message, Ticket]:
    """Store an answer, how it came to be, and the ticket by which its reader may judge it, as it was promised."""
    message = store.conversations.add_reply(question.conversation_id, question.id, text, completion)
    return message, like_ticket(store, person, question.id, message.id, expires_at, ticket_id)


def like_ticket(
    store: Store,
    person: Person,
    context_id: str | None,
    message_id: str,
    expires_at: float,
    ticket_id: str | None = None,
) -> Ticket:
    """A like-task on one answer, and its ticket for the person who reads it now."""
    task = Task(
        kind=Kind.LIKE,
        context_id=context_id,
        candidates=[message_id],
        scripted=person.scripted,
        created_at=store.now(),
    )
    ticket, _ = store.tasks.offer(task, person.id, [message_id], expires_at, ticket_id)
    return ticket


def reading_from(path: Sequence[Message], completion: Completion) -> str | None:
    """Where the model started reading for a stored answer, as in `Started`; `path` is the answer's own."""
    read = [source for source in completion.sent if isinstance(source, str)]
    return read[0] if read and path and read[0] != path[0].id else None


async def _in_thread(work: Callable[[], T]) -> T:
    return await asyncio.to_thread(work)


def _turn(message: Message) -> ChatMessage:
    return {"role": message.role, "content": message.content}


def _title(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= TITLE_LENGTH else line[: TITLE_LENGTH - 1].rstrip() + "…"
