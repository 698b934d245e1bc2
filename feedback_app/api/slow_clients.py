"""Clients that keep a connection and say little: uvicorn waits for them forever, so this counts the seconds.

    connected ── HEAD_S ──► no whole head of a request: 408 where some of one came, and closed
    head too large ───────► 431, and closed
    body ── every PACE_S ─► fewer than PACE_BYTES came: 408, and closed
    answering ────────────► never cut while its client takes it: answers stream for as long as they do
    answer ── TAKE_S ─────► not a byte of what waits was taken: closed, and who answers hears that the client left

Of connections without a request at most `MOST_IDLE` are kept, and the one that has waited longest goes first: however
many somebody opens, a client that says what it wants is heard, also behind a proxy whose address everybody shares.
Between two requests uvicorn's own keep-alive counts. How large a body may be is for `api.limits`.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_S = 10.0
LARGEST_HEAD = 64 * 1024
PACE_S = 10.0
PACE_BYTES = 4096
TAKE_S = 30.0
MOST_IDLE = 1000

_PHRASES = {408: "Request Timeout", 431: "Request Header Fields Too Large"}
_SAID = {
    408: "The request did not come within the time that is waited for it. Send it again.",
    431: f"The request's head is larger than {LARGEST_HEAD // 1024} KiB. Send fewer or shorter headers.",
}


class Patience:
    """Mixed into one of uvicorn's HTTP protocols; its attributes are the bounds of the module."""

    head_s = HEAD_S
    pace_s = PACE_S
    pace_bytes = PACE_BYTES
    take_s = TAKE_S
    most_idle = MOST_IDLE

    # What uvicorn's protocols have. `super()` is the protocol that this is mixed into, which a type checker cannot
    # know here: hence its being told to ignore each such call.
    loop: asyncio.AbstractEventLoop
    transport: Any
    cycle: Any
    flow: Any
    server_state: Any

    def connection_made(self, transport: Any) -> None:
        """A client is there, and has `head_s` to say what it wants."""
        super().connection_made(transport)  # type: ignore[misc]
        self._timer: asyncio.TimerHandle | None = None
        self._taking: asyncio.TimerHandle | None = None
        self._latest: object = None  # the newest request whose head is whole
        self._came = 0  # bytes since the head, or the present span of a body, began
        # One dict for a server, in the order in which its connections became idle.
        self._idle: dict[Patience, None] = self.server_state.__dict__.setdefault("idle_connections", {})
        self._wait_for_head()
        if len(self._idle) > self.most_idle:
            next(iter(self._idle))._end(408)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone."""
        self._rest()
        self._taken()
        super().connection_lost(exc)  # type: ignore[misc]

    def data_received(self, data: bytes) -> None:
        """Some bytes of a head or a body."""
        self._came += len(data)
        super().data_received(data)  # type: ignore[misc]
        if self.transport.is_closing() or self.transport.get_protocol() is not self:
            self._rest()  # closed, or a web socket now
        elif self.cycle is not None and self.cycle is not self._latest:
            self._latest = self.cycle
            self._rest()
            if self.cycle.more_body:
                self._wait_for_body()
        elif self.cycle is None or self.cycle.response_complete:
            if self._timer is None:
                self._came = len(data)
                self._wait_for_head()
            elif self._came > LARGEST_HEAD:
                self._end(431)

    def pause_writing(self) -> None:
        """More of an answer waits than is kept: its client has `take_s` to take some, or holds what makes it."""
        super().pause_writing()  # type: ignore[misc]
        self._wait_for_taking()

    def resume_writing(self) -> None:
        """What waited was taken."""
        self._taken()
        super().resume_writing()  # type: ignore[misc]

    def on_response_complete(self) -> None:
        """An answer has been given; the connection is idle unless the next request has come already."""
        super().on_response_complete()  # type: ignore[misc]
        if self.cycle.response_complete and not self.transport.is_closing():
            self._rest()
            self._came = 0
            self._idle[self] = None

    def _wait_for_head(self) -> None:
        self._rest()
        self._idle[self] = None
        self._timer = self.loop.call_later(self.head_s, self._end, 408)

    def _wait_for_body(self) -> None:
        self._came = 0
        self._timer = self.loop.call_later(self.pace_s, self._look)

    def _look(self) -> None:
        """A span of a body is over: end it where too little came, unless it is we who do not read or have not asked."""
        self._timer = None
        cycle = self.cycle
        if cycle.response_complete or not cycle.more_body:
            return
        ours = self.flow.read_paused or getattr(cycle, "waiting_for_100_continue", False)
        if self._came < self.pace_bytes and not ours:
            self._end(408)
        else:
            self._wait_for_body()

    def _wait_for_taking(self) -> None:
        self._taken()
        waits = self.transport.get_write_buffer_size()
        self._taking = self.loop.call_later(self.take_s, self._look_at_taking, waits)

    def _look_at_taking(self, waited: int) -> None:
        """Nothing is added while writing is paused, so what waits is as much as before only where nobody reads."""
        self._taking = None
        if self.transport.get_write_buffer_size() >= waited:
            self.transport.abort()  # closing would wait for the client to take the rest
        else:
            self._wait_for_taking()

    def _taken(self) -> None:
        if self._taking is not None:
            self._taking.cancel()
            self._taking = None

    def _rest(self) -> None:
        self._idle.pop(self, None)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _end(self, status: int) -> None:
        """Say why, where something was asked and nothing is being answered, and close."""
        waiting = self in self._idle
        self._rest()
        if self.transport.is_closing():
            return
        cycle = self.cycle
        answering = cycle is not None and cycle.response_started and not cycle.response_complete
        if not answering and (self._came or not waiting):
            said = _SAID[status].encode()
            head = (
                f"HTTP/1.1 {status} {_PHRASES[status]}\r\ncontent-type: text/plain; charset=utf-8\r\n"
                f"content-length: {len(said)}\r\nconnection: close\r\n\r\n"
            )
            self.transport.write(head.encode() + said)
        if cycle is not None and not cycle.response_complete:
            cycle.disconnected = True  # whoever waits for the rest of it hears that it will not come
            cycle.message_event.set()
        self.transport.close()


class PatientH11(Patience, H11Protocol):
    """uvicorn's protocol in Python, with the bounds above."""


def patient_protocol() -> type[asyncio.Protocol]:
    """uvicorn's faster protocol where its parser is installed, else the one in Python; with the bounds above."""
    try:
        from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
    except ImportError:
        return PatientH11

    class PatientHttpTools(Patience, HttpToolsProtocol):
        """Also without trailers after a body: nobody reads them, and their number has no end."""

        _head_is_whole = False

        def on_message_begin(self) -> None:
            self._head_is_whole = False
            super().on_message_begin()

        def on_header(self, name: bytes, value: bytes) -> None:
            if not self._head_is_whole:
                super().on_header(name, value)

        def on_headers_complete(self) -> None:
            self._head_is_whole = True
            super().on_headers_complete()

    return PatientHttpTools
