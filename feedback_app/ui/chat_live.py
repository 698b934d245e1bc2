"""Answers that are being written, each by a task of its own, so that a reload or a second tab follows on.

A stream belongs to one conversation. Stopping closes the generator: what had come is kept by `collect`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import dataclass, field

from feedback_app.collect.answer import Delta, Event, Failed, Started, Waiting
from feedback_app.errors import AlignloopError

log = logging.getLogger(__name__)
TICK_S = 0.1  # ten updates a second are smooth, and more would only cost
STOP_GRACE_S = 1.0  # how long the next piece may take before a stop stops waiting for it


@dataclass
class Stream:
    """One answer on its way; `place` is how many go before it while it waits for its turn."""

    text: str = ""
    place: int | None = None
    failed: str = ""
    refused: AlignloopError | None = None
    started: asyncio.Event = field(default_factory=asyncio.Event)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    done: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None

    async def run(self, events: AsyncGenerator[Event]) -> None:
        """Follow the events to their end, or until somebody stops them."""
        stop = asyncio.ensure_future(self.stopping.wait())
        following: asyncio.Task[Event] | None = None
        try:
            while True:
                following = asyncio.ensure_future(anext(events))
                await asyncio.wait({following, stop}, return_when=asyncio.FIRST_COMPLETED)
                if not following.done():  # a stop: one more piece may come, then it is cut
                    await asyncio.wait({following}, timeout=STOP_GRACE_S)
                if not following.done():
                    following.cancel()
                    with contextlib.suppress(asyncio.CancelledError, StopAsyncIteration):
                        await following
                    return
                self._take(following.result())
                if self.stopping.is_set():
                    return
        except StopAsyncIteration:
            pass
        except AlignloopError as error:
            self.refused = error
        except Exception:
            log.exception("an answer broke off")
            self.failed = "The answer broke off; the log says why. Try again."
        finally:
            stop.cancel()
            await events.aclose()
            self.started.set()
            self.done.set()

    def _take(self, event: Event) -> None:
        if isinstance(event, Started):
            self.started.set()
        elif isinstance(event, Waiting):
            self.place = event.place
        elif isinstance(event, Delta):
            self.place = None
            self.text += event.text
        elif isinstance(event, Failed):
            self.failed = event.sentence


@dataclass(frozen=True, slots=True)
class Live:
    """An answer as it stands: its text, its place while it waits, why it broke off, and whether this is its end."""

    text: str
    place: int | None = None
    failed: str = ""
    done: bool = False


class Streams:
    """Every answer on its way in this process, by conversation."""

    def __init__(self) -> None:
        self._streams: dict[str, Stream] = {}

    def get(self, conversation_id: str) -> Stream | None:
        """The conversation's stream while it runs."""
        return self._streams.get(conversation_id)

    async def start(self, conversation_id: str, make: Callable[[], AsyncGenerator[Event]]) -> Stream:
        """Begin an answer and wait until it has started or was refused; one at a time in a conversation."""
        if conversation_id in self._streams:
            return self._streams[conversation_id]
        stream = Stream()
        self._streams[conversation_id] = stream
        stream.task = asyncio.create_task(stream.run(make()))
        stream.task.add_done_callback(lambda _: self._streams.pop(conversation_id, None))
        await stream.started.wait()
        return stream

    async def stop(self, conversation_id: str) -> None:
        """Stop an answer and wait until what had come is kept."""
        stream = self._streams.get(conversation_id)
        if stream is not None:
            stream.stopping.set()
            await stream.done.wait()

    async def follow(self, conversation_id: str) -> AsyncIterator[Live]:
        """The answer so far, at most ten times a second and when it has changed, and its end."""
        stream = self._streams.get(conversation_id)
        if stream is None:
            yield Live("", done=True)
            return
        shown = None
        while not stream.done.is_set():
            if (live := Live(stream.text, stream.place)) != shown:
                shown = live
                yield shown
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stream.done.wait(), TICK_S)
        yield Live(stream.text, failed=stream.failed, done=True)
