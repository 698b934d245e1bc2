"""Which prompt a person compares next: the shipped ones, in an order of their own, none twice until all are used."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from alignment.files import BrokenLine, made_of_lines
from feedback_app.domain.conversations import DRAWN
from feedback_app.errors import UsageError
from feedback_app.store.database import Store
from feedback_app.store.tables import Person


def load_prompts(path: Path) -> list[str]:
    """The prompts of a JSON Lines file of {"prompt": …}. Raises `UsageError` that names the line that is wrong."""
    try:
        prompts = [prompt for _, prompt in made_of_lines(path, lambda value: str(value["prompt"]))]
    except BrokenLine as error:
        raise UsageError(f'{path}, line {error.number} is not a JSON object with a "prompt".') from error
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"The prompts in {path} cannot be read: {error}.") from error
    if not prompts:
        raise UsageError(f"{path} holds no prompts.")
    return list(dict.fromkeys(prompts))


class PromptOrder:
    """Draws prompts. The order depends on the person's name alone; what was used is read from the store once."""

    def __init__(self, store: Store, prompts: Sequence[str]) -> None:
        self._store = store
        self._prompts = list(prompts)
        self._used: dict[str, Counter[str]] = {}
        self._lock = threading.Lock()

    def draw(self, person: Person) -> str:
        """The person's next prompt; it counts as used from now on. Synchronous and safe in threads."""
        order = self._prompts.copy()
        random.Random(f"prompts of {person.name}").shuffle(order)
        with self._lock:
            if person.id not in self._used:
                self._used[person.id] = Counter(self._store.conversations.first_messages(person.id, DRAWN))
            used = self._used[person.id]
            prompt = min(order, key=lambda prompt: used[prompt])  # the first of those used least
            used[prompt] += 1
        return prompt
