"""A ticket is promised before its answer: nobody is answered when nothing can be stored.

`Reserving` writes promises while the model reads the prompt; those that come together are one commit. `written`
lets a verdict wait for the answer that it is about. What a promise is: `store.reservations`.
"""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor

from feedback_app.errors import StillWritten
from feedback_app.store.database import Store
from feedback_app.store.tables import Person

GRACE_S = 60.0  # from the longest life of a request to the time by which its answer is stored
WAIT_S = 5.0  # how long a verdict waits for its answer
POLL_S = 0.1  # another process may be storing it, so the database is asked


class Reserving:
    """Promises tickets, for one event loop. `deadline_s` is the longest life of a request for an answer."""

    def __init__(self, store: Store, deadline_s: float) -> None:
        self._store = store
        self._lifetime_s = deadline_s + GRACE_S
        self._asked: list[tuple[tuple[str, str], asyncio.Future[None]]] = []
        self._writing: asyncio.Task[None] | None = None
        # One thread of its own: a promise never waits behind answers that are being stored.
        self._thread = ThreadPoolExecutor(1, "reserve")

    def begin(self, person: Person, ticket_id: str) -> asyncio.Future[None]:
        """Promise this ticket; done once that is committed. Raises `Unavailable` where it is awaited."""
        loop = asyncio.get_running_loop()
        committed: asyncio.Future[None] = loop.create_future()
        committed.add_done_callback(_noticed)
        self._asked.append(((ticket_id, person.id), committed))
        if self._writing is None or self._writing.done():
            self._writing = loop.create_task(self._write())
        return committed

    async def _write(self) -> None:
        loop, add = asyncio.get_running_loop(), self._store.reservations.add
        while self._asked:
            batch, self._asked = self._asked, []
            refused: Exception | None = None
            try:
                await loop.run_in_executor(self._thread, add, [promise for promise, _ in batch], self._lifetime_s)
            except Exception as error:
                refused = error
            for _, committed in batch:
                if committed.cancelled():
                    continue
                if refused is None:
                    committed.set_result(None)
                else:
                    committed.set_exception(refused)


async def written(store: Store, person: Person, ticket_id: str) -> None:
    """Return once the answer of a ticket that is promised to this person is stored; at once for any other ticket.

    Raises `StillWritten` when that takes longer than a moment.
    """
    until = time.monotonic() + WAIT_S
    while await asyncio.to_thread(store.reservations.waits, ticket_id, person.id):
        if time.monotonic() >= until:
            raise StillWritten("The answer is still being written. Send the verdict again when it has ended.")
        await asyncio.sleep(POLL_S)


def _noticed(committed: asyncio.Future[None]) -> None:
    """A promise that failed after its request had ended for another reason is nobody's news."""
    if not committed.cancelled():
        committed.exception()
