"""What people do with answers without being asked: kept only where the settings turn it on, off by default.

Each is one thing done by one person with one answer in a conversation of their own: asked for another answer
(`retry`), copied it, stopped it, rewrote it (`edit`, with how much of it changed), left the conversation right
after it for a new one (`abandoned`, until they come back and go on), thanked for it. Only of people who have
accepted the line on what is kept, and that line then says so. What a signal is worth is `alignment.dataset.compile`'s
business. Nothing here ever fails an act of the page: a signal that cannot be kept is not kept.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from feedback_app.collect.consent import has_consented
from feedback_app.domain.conversations import FinishReason, Speaker
from feedback_app.domain.judging import Signal
from feedback_app.errors import AlignloopError, Conflict, NotAllowed
from feedback_app.store.database import Store

if TYPE_CHECKING:
    from feedback_app.store.tables import Message, Person

log = logging.getLogger(__name__)
LONGEST_THANKS = 8  # words: a longer message is about something else too
MOST_WORDS = 400  # of each text that an edit's distance looks at
_THANKS = re.compile(r"\b(thanks?|thank you|thx|cheers|danke|merci|gracias|obrigad[oa]|grazie)\b", re.IGNORECASE)
_BUT = re.compile(r"\b(no|not|but|anyway|aber|nein|mais|non|pero|wrong)\b|n['’]t\b", re.IGNORECASE)


class Signals:
    """Keeps signals of the kinds in `kinds`. Synchronous: called in a thread."""

    def __init__(self, store: Store, kinds: frozenset[Signal]) -> None:
        self._store = store
        self.kinds = kinds

    def did(self, person: Person, kind: Signal, message_id: str, amount: float = 1.0) -> None:
        """This person did this with this answer."""
        if kind in self.kinds and has_consented(person):
            with _quietly():
                self._store.signals.keep(person.id, message_id, kind.value, amount)

    def given(self, person: Person, kind: Signal, message_id: str, amount: float = 1.0) -> None:
        """A program says that this was done; sending it is consent. Raises `NotAllowed` and `Conflict`."""
        if kind not in self.kinds:
            raise NotAllowed(f"Signals of the kind {kind} are not kept here. ALIGNLOOP_SIGNALS turns them on.")
        if not self._store.signals.keep(person.id, message_id, kind.value, amount):
            raise Conflict("This signal is not kept: you have withdrawn, or no model of ours wrote the answer.")

    def stopped(self, person: Person, conversation_id: str) -> None:
        """This person stopped the answer that the conversation ends with."""
        answer = self._last_answer(person, conversation_id) if Signal.STOP in self.kinds else None
        completion = self._store.conversations.completion(answer.id) if answer is not None else None
        if answer is not None and completion is not None and completion.finish_reason == FinishReason.STOPPED:
            self.did(person, Signal.STOP, answer.id)

    def edited(self, person: Person, message_id: str, text: str) -> None:
        """This person rewrote an answer as `text`."""
        answer = self._store.conversations.message(message_id) if Signal.EDIT in self.kinds else None
        if answer is not None:
            self.did(person, Signal.EDIT, message_id, edit_distance(answer.content, text))

    def left(self, person: Person, conversation_id: str) -> None:
        """This person began a new conversation with this one in front of them."""
        answer = self._last_answer(person, conversation_id) if Signal.ABANDONED in self.kinds else None
        if answer is not None:
            self.did(person, Signal.ABANDONED, answer.id)

    def before_message(self, person: Person, conversation_id: str) -> str | None:
        """The answer that the conversation ends with, to be told `said` once the person's message is accepted."""
        if not self.kinds & {Signal.ABANDONED, Signal.THANKS}:
            return None
        answer = self._last_answer(person, conversation_id)
        return None if answer is None else answer.id

    def said(self, person: Person, message_id: str, text: str) -> None:
        """This person went on with `text` after this answer."""
        if Signal.ABANDONED in self.kinds:
            with _quietly():
                self._store.signals.end(person.id, message_id, Signal.ABANDONED.value)
        if is_thanks(text):
            self.did(person, Signal.THANKS, message_id)

    def _last_answer(self, person: Person, conversation_id: str) -> Message | None:
        conversation = self._store.conversations.conversation(conversation_id) if conversation_id else None
        if conversation is None or conversation.person_id != person.id or conversation.head_id is None:
            return None
        head = self._store.conversations.message(conversation.head_id)
        return head if head is not None and head.role == Speaker.ASSISTANT else None


@contextmanager
def _quietly() -> Iterator[None]:
    """The person is doing something else: what goes wrong with a signal stands in the log alone."""
    try:
        yield
    except AlignloopError as error:
        log.warning("a signal was not kept: %s", error)


def is_thanks(text: str) -> bool:
    """Whether a message thanks and says nothing against: short, with a word of thanks and no "but"."""
    return len(text.split()) <= LONGEST_THANKS and bool(_THANKS.search(text)) and not _BUT.search(text)


def edit_distance(before: str, after: str) -> float:
    """How much of a text changed, 0 to 1: word insertions, deletions and replacements over the longer one's words.

    Levenshtein (1966), over at most `MOST_WORDS` words of each.

    >>> edit_distance("The sky is blue", "The sky is green today")
    0.4
    """
    old, new = before.split()[:MOST_WORDS], after.split()[:MOST_WORDS]
    row = list(range(len(new) + 1))
    for place, word in enumerate(old, 1):
        diagonal, row[0] = row[0], place
        for column, other in enumerate(new, 1):
            diagonal, row[column] = row[column], min(diagonal + (word != other), row[column] + 1, row[column - 1] + 1)
    return row[-1] / max(len(old), len(new), 1)
