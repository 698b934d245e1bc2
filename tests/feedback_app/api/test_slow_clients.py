"""Half requests, slow bodies and endless heads end; answers that stream do not."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse

from feedback_app.api.slow_clients import LARGEST_HEAD, Patience, PatientH11, patient_protocol
from tests.waiting import until

PATIENT_S = 0.5
GET = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"


@dataclass
class Server:
    """A server that loses its patience soon, and what its app was asked."""

    port: int
    uvicorn: uvicorn.Server
    seen: list[str]

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def talk(self, *parts: bytes, gap_s: float = 0.0) -> bytes:
        """Send these, one by one until something comes back that ends it, and read until the server closes."""
        reader, writer = await self.connect()
        reading = asyncio.create_task(reader.read())
        try:
            for part in parts:
                with contextlib.suppress(ConnectionError):
                    writer.write(part)
                    await writer.drain()
                await asyncio.wait({reading}, timeout=gap_s)
                if reading.done():
                    break
            return await asyncio.wait_for(reading, 20)
        finally:
            writer.close()


@pytest.fixture(params=["h11", "httptools"])
async def server(request: pytest.FixtureRequest) -> AsyncIterator[Server]:
    """One for each of uvicorn's parsers."""
    base = PatientH11 if request.param == "h11" else patient_protocol()
    assert (base is PatientH11) == (request.param == "h11")
    bounds = {"head_s": PATIENT_S, "pace_s": PATIENT_S, "pace_bytes": 1000, "take_s": PATIENT_S, "most_idle": 20}
    protocol = type("Hasty", (base,), bounds)
    seen: list[str] = []
    app = FastAPI()

    @app.get("/")
    async def hello() -> str:
        return "hello"

    @app.get("/stream")
    async def stream() -> StreamingResponse:
        async def pieces() -> AsyncIterator[bytes]:
            for _ in range(4):
                yield b"piece "
                await asyncio.sleep(PATIENT_S)
            yield b"end"

        return StreamingResponse(pieces())

    @app.get("/endless")
    async def endless() -> StreamingResponse:
        async def pieces() -> AsyncIterator[bytes]:
            try:
                while True:
                    yield b"x" * 2**16
                    await asyncio.sleep(0)  # where nobody listens any more, sending alone never waits
            finally:
                seen.append("ended")

        return StreamingResponse(pieces())

    @app.post("/")
    async def take(request: Request) -> int:
        size = 0
        try:
            async for chunk in request.stream():
                size += len(chunk)
        except Exception as error:
            seen.append(type(error).__name__)
            raise
        seen.append(f"{size} {[name for name in request.headers if name.startswith('t')]}")
        return size

    running = uvicorn.Server(
        uvicorn.Config(app, port=0, log_level="critical", lifespan="off", http=protocol, timeout_keep_alive=1)
    )
    task = asyncio.create_task(running.serve())
    await until(lambda: running.started)
    try:
        yield Server(running.servers[0].sockets[0].getsockname()[1], running, seen)
    finally:
        running.should_exit = True
        await task


def post(length: int) -> bytes:
    return f"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n".encode()


async def test_a_request_that_comes_is_answered_and_the_connection_kept(server: Server) -> None:
    said = await server.talk(GET, GET + GET, post(3) + b"abc", post(3), b"ab", b"c")
    assert said.count(b"200 OK") == 5
    assert b"408" not in said


@pytest.mark.parametrize("half", [b"G", b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nhost: x\r\na: b"])
async def test_half_a_head_is_408_and_closed(server: Server, half: bytes) -> None:
    began = time.monotonic()
    said = await server.talk(half)
    assert said.startswith(b"HTTP/1.1 408 ")
    assert b"connection: close" in said
    assert PATIENT_S * 0.9 < time.monotonic() - began < 10


async def test_a_head_that_drips_is_408_however_often_a_byte_comes(server: Server) -> None:
    began = time.monotonic()
    said = await server.talk(b"GET / HTTP/1.1\r\n", *[b"a"] * 100, gap_s=PATIENT_S / 10)
    assert b"408" in said
    assert time.monotonic() - began < 15


async def test_a_drip_after_an_answer_is_408_too(server: Server) -> None:
    said = await server.talk(GET, b"GET /", *[b"x"] * 30, gap_s=PATIENT_S / 10)
    assert b"200 OK" in said
    assert b"408" in said


async def test_who_says_nothing_is_closed_without_a_word(server: Server) -> None:
    assert await server.talk() == b""


async def test_a_body_that_drips_is_408_and_the_app_hears_that_its_client_left(server: Server) -> None:
    said = await server.talk(post(5000), *[b"x"] * 40, gap_s=PATIENT_S / 10)
    assert said.startswith(b"HTTP/1.1 408 ")
    assert server.seen == ["ClientDisconnect"]
    assert not server.uvicorn.server_state.tasks


async def test_a_body_that_comes_slowly_but_comes_is_taken(server: Server) -> None:
    said = await server.talk(post(10_000), *[b"x" * 500] * 20, gap_s=PATIENT_S / 5)
    assert b"200 OK" in said
    assert server.seen == ["10000 []"]


async def test_an_answer_that_streams_for_longer_than_any_bound_is_whole(server: Server) -> None:
    reader, writer = await server.connect()
    writer.write(b"GET /stream HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
    said = await asyncio.wait_for(reader.read(), 30)
    writer.close()
    assert said.count(b"piece ") == 4
    assert b"end" in said


async def test_an_answer_that_nobody_takes_ends_and_one_that_is_taken_slowly_does_not(server: Server) -> None:
    _, writer = await server.connect()
    slow, its_writer = await server.connect()
    for each in (writer, its_writer):
        each.write(b"GET /endless HTTP/1.1\r\nhost: x\r\n\r\n")
    until_s = time.monotonic() + 6 * PATIENT_S
    while time.monotonic() < until_s or not server.seen:
        assert time.monotonic() < until_s + 20
        await slow.readexactly(2**18)
        await asyncio.sleep(PATIENT_S / 10)
    assert server.seen == ["ended"]
    assert len(server.uvicorn.server_state.connections) == 1
    its_writer.close()
    await until(lambda: server.seen == ["ended", "ended"])
    writer.close()


async def test_a_head_without_end_is_refused_while_it_comes(server: Server) -> None:
    said = await server.talk(b"GET / HTTP/1.1\r\nhost: x\r\n", *[b"a: " + b"b" * 1000 + b"\r\n"] * 200)
    assert said[:13] in (b"HTTP/1.1 431 ", b"HTTP/1.1 400 ")  # h11 has a bound of its own
    assert LARGEST_HEAD < 200 * 1000


async def test_trailers_after_a_body_are_not_kept(server: Server) -> None:
    head = b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n"
    said = await server.talk(head, b"3\r\nabc\r\n0\r\n", b"trailer: x\r\n" * 50 + b"\r\n")
    assert b"200 OK" in said
    assert server.seen == ["3 ['transfer-encoding']"]


async def test_however_many_wait_somebody_who_asks_is_answered(server: Server) -> None:
    waiting = [await server.connect() for _ in range(60)]
    for _, writer in waiting:
        writer.write(b"GET / HTTP/1.1\r\n")
    assert b"200 OK" in await server.talk(GET[:-2] + b"connection: close\r\n\r\n")
    assert len(server.uvicorn.server_state.connections) <= Patience.most_idle
    first = await asyncio.wait_for(waiting[0][0].read(), 5)
    assert first[:13] in (b"", b"HTTP/1.1 408 ")
    for _, writer in waiting:
        writer.close()


async def test_nothing_is_left_of_a_connection_that_went(server: Server) -> None:
    for _ in range(5):
        _, writer = await server.connect()
        writer.write(b"GET / HT")
        await writer.drain()
        writer.close()
    idle = server.uvicorn.server_state.__dict__["idle_connections"]
    await until(lambda: not server.uvicorn.server_state.connections)
    assert not idle
