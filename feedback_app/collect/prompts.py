"""Which prompt a person compares next: the shipped ones, in an order of their own, none twice until all are used."""

from __future__ import annotations

import json
import random
import threading
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from feedback_app.domain.conversations import DRAWN
from feedback_app.errors import UsageError
from feedback_app.store.database import Store
from feedback_app.store.tables import Person


def load_prompts(path: Path) -> list[str]:
    """The prompts of a JSON Lines file of {"prompt": …}. Raises `UsageError` that names the line that is wrong."""
    prompts = []
    try:
        # Not `splitlines`: U+2028 within a prompt ends no line.
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"The prompts in {path} cannot be read: {error}.") from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            prompts.append(str(json.loads(line)["prompt"]))
        except (ValueError, KeyError, TypeError) as error:
            raise UsageError(f'{path}, line {number} is not a JSON object with a "prompt".') from error
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
