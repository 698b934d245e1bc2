"""Which prompt a person compares next: those of the set in use, in an order of their own, none twice until all are."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Sequence

from alignment.dataset.reading.prompts import Prompt, plain
from feedback_app.domain.conversations import DRAWN
from feedback_app.store.database import Store
from feedback_app.store.tables import Person


class PromptOrder:
    """Draws prompts; a text is a prompt of one turn.

    The order depends on the person's name alone; what was used is read from the store once, by its first message.
    """

    def __init__(self, store: Store, prompts: Sequence[Prompt | str]) -> None:
        self._store = store
        self._prompts = [plain(prompt) if isinstance(prompt, str) else prompt for prompt in prompts]
        self._used: dict[str, Counter[str]] = {}
        self._lock = threading.Lock()

    def draw(self, person: Person) -> Prompt:
        """The person's next prompt; it counts as used from now on. Synchronous and safe in threads."""
        order = self._prompts.copy()
        random.Random(f"prompts of {person.name}").shuffle(order)
        with self._lock:
            if person.id not in self._used:
                self._used[person.id] = Counter(self._store.conversations.first_messages(person.id, DRAWN))
            used = self._used[person.id]
            prompt = min(order, key=lambda prompt: used[_first(prompt)])  # the first of those used least
            used[_first(prompt)] += 1
        return prompt


def _first(prompt: Prompt) -> str:
    return prompt.messages[0].content
