"""What happens on the chat page: each act of the browser, answered with the regions that changed.

The page holds no truth: every act names the conversation, and everything shown is read from the store. What is
judged is read from the ticket.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any, TypedDict

from markupsafe import Markup

from feedback_app.collect import consent
from feedback_app.collect.judge import undo
from feedback_app.collect.signals import Signals
from feedback_app.domain.conversations import Purpose, Speaker
from feedback_app.domain.judging import Signal
from feedback_app.errors import AlignloopError, NotFound, VerdictStands
from feedback_app.parts import Parts
from feedback_app.ui import chat_thread, theme
from feedback_app.ui.chat_live import Streams
from feedback_app.ui.chat_ratings import rate
from feedback_app.ui.chat_turns import leaf, read_conversation
from feedback_app.ui.island import Act, Answer
from feedback_app.ui.markup import button, html, prose
from feedback_app.ui.model_status import ModelWatch
from feedback_app.ui.waiting import waiting_line

if TYPE_CHECKING:
    from feedback_app.store.tables import Person

RATED_ELSEWHERE = (
    "This answer was rated elsewhere meanwhile, and this changed nothing. The page shows now what stands; what you "
    "typed is kept. Say it again if you still mean it."
)
EXAMPLES = ("What can you do?", "Tell me a very short story.", "How much is 3 + 4?")


def read_examples(parts: Parts) -> tuple[str, ...]:
    """The example prompts that ship with the model; three general ones with another model or none shipped."""
    path = parts.settings.data / "prompts" / "examples.json"
    if not parts.settings.embedded or not path.is_file():
        return EXAMPLES
    return tuple(str(text) for text in json.loads(path.read_text("utf-8")))


class LiveAnswer(TypedDict):
    """An answer that is being written: `html` so far, or that it waits, in words; `error` and `done` end it."""

    conversation: str
    html: Markup
    waiting: str
    error: str
    done: bool


class ChatEvents:
    """Acts of the chat page, for every person and tab."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.store = parts.store
        self.streams = Streams()
        self._watch = ModelWatch(parts)
        self._examples = read_examples(parts)
        self._signals = Signals(parts.store, parts.settings.kept_signals)
        self._acts: dict[str, Callable[[Person, Act], Any]] = {
            "start": self._open,
            "open": self._open,
            "show": self._open,
            "new": self._new,
            "pulse": self._pulse,
            "send": self._send,
            "stop": self._stop,
            "retry": self._retry,
            "sibling": self._sibling,
            "rename-open": self._rename_open,
            "rename": self._rename,
            "delete": self._delete,
            "mark": self._rate,
            "reason": self._rate,
            "comment": self._rate,
            "undo": self._undo,
            "edit": self._edit,
            "edit-close": self._open,
            "correct": self._correct,
            "copied": self._copied,
        }

    async def act(self, person: Person, act: Act) -> Answer:
        """One act. An unknown one is refused with a sentence."""
        do = self._acts.get(str(act.get("do")))
        if do is None:
            raise NotFound("This page is older than the server. Reload it.")
        answer: Answer = await do(person, act)
        return answer

    async def listen(self, person: Person, act: Act) -> AsyncIterator[LiveAnswer]:
        """The answer that is being written in one of this person's conversations, as HTML so far."""
        conversation_id = str(act.get("conversation"))
        owner = await asyncio.to_thread(self.store.conversations.conversation, conversation_id)
        if owner is None or owner.person_id != person.id:
            return
        async for live in self.streams.follow(conversation_id):
            waits = "" if live.place is None else waiting_line(live.place)
            yield {
                "conversation": conversation_id,
                "html": prose(live.text),
                "waiting": waits,
                "error": live.failed,
                "done": live.done,
            }

    # Conversations

    async def _open(self, person: Person, act: Act) -> Answer:
        wanted = str(act.get("of") or act.get("conversation") or "")
        return await self._page(person, wanted)

    async def _new(self, person: Person, act: Act) -> Answer:
        await asyncio.to_thread(self._signals.left, person, str(act.get("conversation") or ""))
        return await self._page(person, "")

    async def _pulse(self, person: Person, act: Act) -> Answer:
        state = await self._watch.state()
        return Answer({"model": theme.loading_model(state, self.store.now())}, {"ready": state.ready})

    async def _rename_open(self, person: Person, act: Act) -> Answer:
        conversations = await asyncio.to_thread(self.store.conversations.of, person.id, Purpose.CHAT)
        current = str(act.get("conversation") or "")
        return Answer(
            {"side": chat_thread.side_bar(conversations, current, renaming=str(act["of"]))}, {"renaming": True}
        )

    async def _rename(self, person: Person, act: Act) -> Answer:
        await self._own(person, str(act["of"]))
        title = " ".join(str(act.get("title", "")).split())[:120]
        if title:
            await asyncio.to_thread(self.store.conversations.rename, str(act["of"]), title)
        return await self._page(person, str(act.get("conversation") or ""))

    async def _delete(self, person: Person, act: Act) -> Answer:
        await self._own(person, str(act["of"]))
        await self.streams.stop(str(act["of"]))
        await asyncio.to_thread(self.store.conversations.delete, str(act["of"]))
        current = str(act.get("conversation") or "")
        return await self._page(person, "" if current == act["of"] else current)

    async def _sibling(self, person: Person, act: Act) -> Answer:
        conversation_id, message_id = str(act["conversation"]), str(act["message"])
        await self._own(person, conversation_id)
        messages = await asyncio.to_thread(self.store.conversations.thread, conversation_id)
        await asyncio.to_thread(self.store.conversations.set_head, conversation_id, leaf(messages, message_id))
        return await self._page(person, conversation_id)

    # Answers

    async def _send(self, person: Person, act: Act) -> Answer:
        text, conversation_id = str(act.get("text", "")), str(act.get("conversation") or "")
        fresh = not conversation_id
        if fresh:
            conversation_id = (
                await asyncio.to_thread(self.store.conversations.add_conversation, person.id, Purpose.CHAT)
            ).id
        before = await asyncio.to_thread(self._signals.before_message, person, conversation_id)
        stream = await self.streams.start(
            conversation_id, lambda: self.parts.answers.reply(person, conversation_id, text)
        )
        if stream.refused is not None:
            if fresh:
                await asyncio.to_thread(self.store.conversations.delete, conversation_id)
            return Answer(error=stream.refused.outside, where="composer")
        if before is not None:
            await asyncio.to_thread(self._signals.said, person, before, text)
        if not consent.has_consented(person):
            await asyncio.to_thread(consent.consent, self.store, person)
        answer = await self._page(person, conversation_id)
        answer.state["sent"] = True
        return answer

    async def _retry(self, person: Person, act: Act) -> Answer:
        conversation_id, message_id = str(act["conversation"]), str(act["message"])
        await self._own(person, conversation_id)
        if self.streams.get(conversation_id) is None:
            path = await asyncio.to_thread(self.store.conversations.path, message_id)
            if path[0].conversation_id != conversation_id:
                raise NotFound("There is no such message in this conversation.")
            question = next(message for message in reversed(path) if message.role == Speaker.USER)
            await asyncio.to_thread(self.store.conversations.set_head, conversation_id, question.id)
            stream = await self.streams.start(conversation_id, lambda: self.parts.answers.retry(person, message_id))
            if stream.refused is not None:
                await asyncio.to_thread(self.store.conversations.set_head, conversation_id, message_id)
                answer = await self._page(person, conversation_id)
                answer.error, answer.where = stream.refused.outside, "composer"
                return answer
            if path[-1].role == Speaker.ASSISTANT:
                await asyncio.to_thread(self._signals.did, person, Signal.RETRY, message_id)
        return await self._page(person, conversation_id)

    async def _stop(self, person: Person, act: Act) -> Answer:
        conversation_id = str(act["conversation"])
        await self._own(person, conversation_id)
        running = self.streams.get(conversation_id) is not None
        await self.streams.stop(conversation_id)
        if running:
            await asyncio.to_thread(self._signals.stopped, person, conversation_id)
        return await self._page(person, conversation_id)

    # Ratings: see `chat_ratings`

    async def _rate(self, person: Person, act: Act) -> Answer:
        try:
            await asyncio.to_thread(rate, self.store, person, act)
        except VerdictStands:
            return await self._rated_elsewhere(person, act)
        return await self._page(person, str(act["conversation"]), saved=str(act["message"]))

    async def _correct(self, person: Person, act: Act) -> Answer:
        try:
            await asyncio.to_thread(rate, self.store, person, act)
            await asyncio.to_thread(self._signals.edited, person, str(act["message"]), str(act.get("correction", "")))
            return await self._page(person, str(act["conversation"]), saved=str(act["message"]))
        except VerdictStands:
            return await self._rated_elsewhere(person, act, editing=str(act["message"]))
        except AlignloopError as error:
            answer = await self._page(person, str(act["conversation"]), editing=str(act["message"]))
            answer.error = error.outside
            return answer

    async def _copied(self, person: Person, act: Act) -> Answer:
        await asyncio.to_thread(self._signals.did, person, Signal.COPY, str(act["message"]))
        return Answer()

    async def _edit(self, person: Person, act: Act) -> Answer:
        return await self._page(person, str(act["conversation"]), editing=str(act["message"]))

    async def _undo(self, person: Person, act: Act) -> Answer:
        try:
            await asyncio.to_thread(undo, self.store, person, str(act["judgement"]))
        except VerdictStands:
            return await self._rated_elsewhere(person, act)
        return await self._page(person, str(act["conversation"]))

    async def _rated_elsewhere(self, person: Person, act: Act, editing: str = "") -> Answer:
        """Nothing was changed: the page showed another rating than the one that stands. Here is what does."""
        answer = await self._page(person, str(act["conversation"]), editing=editing)
        answer.error = RATED_ELSEWHERE
        return answer

    # What is shown

    async def _own(self, person: Person, conversation_id: str) -> None:
        conversation = await asyncio.to_thread(self.store.conversations.conversation, conversation_id)
        if conversation is None or conversation.person_id != person.id:
            raise NotFound("There is no such conversation of yours. Start a new one.")

    async def _page(self, person: Person, conversation_id: str, saved: str = "", editing: str = "") -> Answer:
        talked = None
        stream = self.streams.get(conversation_id)
        if conversation_id:
            talked = await asyncio.to_thread(read_conversation, self.store, person, conversation_id)
            if stream is not None and stream.done.is_set():
                # Its end came while the conversation was read, perhaps before its answer could be seen there.
                stream = None
                talked = await asyncio.to_thread(read_conversation, self.store, person, conversation_id)
        # A stream that ends from here on is still shown as running: whoever listens to it is told of its end.
        conversations = await asyncio.to_thread(self.store.conversations.of, person.id, Purpose.CHAT)
        state = await self._watch.state()
        current = talked.id if talked else ""
        writing = talked is not None and stream is not None
        body = chat_thread.thread(talked, writing, saved, editing)
        answer = Answer(
            {
                "top": theme.top_bar("/", person.name, person.role, chat_menu()),
                "model": theme.loading_model(state, self.store.now()),
                "side": chat_thread.side_bar(conversations, current),
                "thread": body or chat_thread.welcome(self._examples, consent.line(self._signals.kinds)),
            },
            {
                "person": person.id,
                "conversation": current,
                "title": (talked.title if talked else "") or "New conversation",
                "busy": writing,
                "ready": state.ready,
                "sent": False,
                "copies": Signal.COPY in self._signals.kinds,
            },
        )
        if conversation_id and talked is None:
            answer.error = "There is no such conversation of yours. Here is a new one."
        return answer


def chat_menu() -> Markup:
    """The button that unfolds the side bar on a phone."""
    return html('<span class="only-phone">{}</span>', button("menu", symbol="menu", label="Conversations"))
