"""Turns at looking at passwords, which costs tens of milliseconds and 19 MiB each: few at once, and fairly.

Two lanes with one thread each: one for browsers and sessions that are known, one for strangers, so that no
number of strangers makes somebody known wait. In a lane, whoever asks (an address, a device, a person) gets
turns in rotation with the others, and only so many may wait. When the lane is full, the longest line gives
way: its newest is refused. The app's own threads are never held while somebody waits.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from feedback_app.errors import Crowded

T = TypeVar("T")
MOST_WAITING = 256  # in a lane
MOST_OF_ONE = 64  # a class behind one address signs in within seconds
RETRY_AFTER_S = 2.0


class Lane:
    """One thread and the lines before it. Used from one event loop."""

    def __init__(self, name: str, most: int = MOST_WAITING, of_one: int = MOST_OF_ONE) -> None:
        self._thread = ThreadPoolExecutor(1, name)
        self._most, self._of_one = most, of_one
        self._lines: dict[str, deque[asyncio.Future[None]]] = {}  # in the order of their next turn
        self._waiting = 0
        self._busy = False

    async def run(self, who: str, work: Callable[[], T]) -> T:
        """`work` in the lane's thread when it is `who`'s turn. Raises `Crowded` when too much waits."""
        if self._busy:
            await self._wait(who)
        self._busy = True
        doing = asyncio.get_running_loop().run_in_executor(self._thread, work)
        doing.add_done_callback(self.next_turn)  # also when nobody waits for the answer any more
        return await asyncio.shield(doing)

    async def _wait(self, who: str) -> None:
        line = self._lines.setdefault(who, deque())
        if len(line) >= self._of_one:
            raise Crowded(RETRY_AFTER_S)
        if self._waiting >= self._most:
            longest = max(self._lines.values(), key=len)
            if len(longest) <= len(line) + 1:
                if not line:
                    del self._lines[who]
                raise Crowded(RETRY_AFTER_S)
            given_up = longest.pop()
            self._waiting -= 1
            if not given_up.done():
                given_up.set_exception(Crowded(RETRY_AFTER_S))
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        line.append(turn)
        self._waiting += 1
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.next_turn()  # whoever went away had just been given the turn
            raise

    def next_turn(self, done: object = None) -> None:
        """The lane is free: the next line's first gets it, and that line goes to the end."""
        while self._lines:
            who = next(iter(self._lines))
            line = self._lines.pop(who)
            turn = line.popleft()
            self._waiting -= 1
            if line:
                self._lines[who] = line
            if not turn.done():  # whoever went away has cancelled theirs
                turn.set_result(None)
                return
        self._busy = False


class Turns:
    """The two lanes."""

    def __init__(self) -> None:
        self.strangers = Lane("password-stranger")
        self.known = Lane("password-known")

    async def run(self, who: str, known: bool, work: Callable[[], T]) -> T:
        """`work` when it is `who`'s turn among the known or the strangers. Raises `Crowded`."""
        return await (self.known if known else self.strangers).run(who, work)
