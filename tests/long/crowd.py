"""A hundred people chat for two minutes: through the HTTP door and through the chat page, against one real app.

    python -m tests.long.crowd [--people 100] [--seconds 120] [--bare-seconds 40] [--out FILE]

Each person asks, reads the answer, thinks for up to two seconds and asks again. An attempt ends as an *answer*, as a
*sentence* (429 or 503 with Retry-After, or the page's own line), or is *lost*; what is lost is what this looks
for. The same questions are then put straight to the same vLLM by as many clients, for the tokens per second. App,
vLLM and clients are processes of their own on one machine.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import psutil

from tests.serving.real import real_vllm
from tests.serving.real_app import NAMES, PASSWORD, SHIPPED, RealApp, real_app

THINK_S = 2.0
LONGEST = 96  # tokens of an answer through the door; the page's own are the settings'
ON_PAGES = 5  # one person in so many uses the page
DEADLINE_S = 120.0
QUESTIONS = (
    *("Hello, how are you?", "Tell me a very short story about a cat.", "What is the capital of France?"),
    *("How much is 3 + 4?", "Why is the sky blue? Please explain it to me slowly.", "Name three animals."),
)


@dataclass
class Tally:
    """What became of every attempt. Times are in seconds."""

    answers: int = 0
    sentences: Counter[str] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)
    first_s: list[float] = field(default_factory=list)
    whole_s: list[float] = field(default_factory=list)
    tokens: int = 0
    waited: int = 0  # answers before which the page told a place in the queue
    tickets: list[str] = field(default_factory=list)


Chat = Callable[[random.Random, int], Awaitable[None]]


def door_chat(
    session: aiohttp.ClientSession, url: str, model: str, key: str, tally: Tally, messages: list[dict[str, str]]
) -> Chat:
    """Ask through an OpenAI-compatible address, the conversation growing to six turns and then beginning anew."""

    async def ask(rng: random.Random, seed: int) -> None:
        if len(messages) >= 6:
            messages.clear()
        messages.append({"role": "user", "content": rng.choice(QUESTIONS)})
        body = {
            "model": model,
            "messages": messages,
            "max_tokens": LONGEST,
            "seed": seed,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        began, first, text, ended = time.perf_counter(), None, "", False
        async with session.post(f"{url}/v1/chat/completions", json=body, headers=headers) as reply:
            if reply.status in (429, 503) and "retry-after" in reply.headers:
                messages.pop()
                tally.sentences[(await reply.json())["error"]["message"].split(":")[0]] += 1
                return
            if reply.status != 200:
                raise RuntimeError(f"{reply.status} {(await reply.text())[:200]}")
            async for line in reply.content:
                if line.startswith(b"data: [DONE]"):
                    ended = True
                elif line.startswith(b"data: {"):
                    event = json.loads(line[6:])
                    if "error" in event:
                        raise RuntimeError(str(event["error"])[:200])
                    piece = "".join(each["delta"].get("content") or "" for each in event.get("choices") or ())
                    if piece and first is None:
                        first = time.perf_counter() - began
                    text += piece
                    tally.tokens += (event.get("usage") or {}).get("completion_tokens", 0)
            if not ended:
                raise RuntimeError("the stream had no end")
            if "x-alignloop-ticket" in reply.headers:
                tally.tickets.append(reply.headers["x-alignloop-ticket"])
        messages.append({"role": "assistant", "content": text})
        tally.answers += 1
        tally.whole_s.append(time.perf_counter() - began)
        if first is not None:
            tally.first_s.append(first)

    return ask


async def page_chat(session: aiohttp.ClientSession, url: str, name: str, tally: Tally) -> Chat:
    """Ask on the chat page, as its script does: send, then look until the answer stands there."""
    async with session.post(
        f"{url}/sign-in", data={"name": name, "password": PASSWORD}, allow_redirects=False
    ) as reply:
        assert reply.status == 303, reply.status
    async with asyncio.timeout(120):
        while True:
            async with session.get(f"{url}/config") as reply:
                if reply.content_type == "application/json":
                    component = (await reply.json())["components"][0]["id"]
                    break
            await asyncio.sleep(0.5)

    async def act(**data: Any) -> dict[str, Any]:
        body = {"data": data, "component_id": component, "fn_name": "act", "session_hash": name}
        async with session.post(f"{url}/gradio_api/component_server/", json=body) as reply:
            if reply.status != 200:
                raise RuntimeError(f"{reply.status} {(await reply.text())[:200]}")
            answer: dict[str, Any] = await reply.json()
            return answer

    conversation = ""

    async def ask(rng: random.Random, seed: int) -> None:
        nonlocal conversation
        if seed % 3 == 0:
            conversation = ""
        began = time.perf_counter()
        answer = await act(do="send", text=rng.choice(QUESTIONS), conversation=conversation)
        if answer["error"]:
            tally.sentences[answer["error"].split(":")[0]] += 1
            return
        conversation = answer["state"]["conversation"]
        async with asyncio.timeout(DEADLINE_S + 10):
            while answer["state"]["busy"]:
                await asyncio.sleep(0.5)
                answer = await act(do="show", conversation=conversation)
        if 'id="unanswered"' in answer["regions"]["thread"]:
            # A browser that listens shows the sentence; what is left on the page is the offer to ask again.
            if time.perf_counter() - began < DEADLINE_S / 2:
                raise RuntimeError("the page shows no answer, though the wait for it was not over")
            tally.sentences["This has no answer yet"] += 1
            return
        tally.answers += 1
        tally.whole_s.append(time.perf_counter() - began)

    return ask


async def chatter(number: int, ask: Chat, until: float, tally: Tally) -> None:
    """One person until the time is over; the last answer is waited for."""
    rng = random.Random(number)
    await asyncio.sleep(rng.random() * THINK_S)
    for turn in itertools.count():
        if time.perf_counter() >= until:
            return
        began = time.perf_counter()
        try:
            async with asyncio.timeout(DEADLINE_S + 15):
                await ask(rng, 1000 * number + turn)
        except Exception as error:  # whatever a client can meet is what is being counted
            tally.lost.append(f"{type(error).__name__}: {error} after {time.perf_counter() - began:.1f} s"[:200])
        await asyncio.sleep(rng.random() * THINK_S)


async def crowd(app: RealApp, people: list[str], seconds: float) -> dict[str, Any]:
    """Everybody at once through the app."""
    tally, pages = Tally(), Tally()
    process = psutil.Process(app.pid)
    timeout, connector = aiohttp.ClientTimeout(total=None), _connector()
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        # Cookies of an address without a name are refused by default.
        jars = [aiohttp.CookieJar(unsafe=True) for _ in people[::ON_PAGES]]
        sessions = [aiohttp.ClientSession(timeout=timeout, cookie_jar=jar, connector=_connector()) for jar in jars]
        try:
            chats: list[tuple[Chat, Tally]] = []
            for own, name in zip(sessions, people[::ON_PAGES], strict=True):
                chats.append((await page_chat(own, app.url, name, pages), pages))
            talkers = [name for number, name in enumerate(people) if number % ON_PAGES]
            chats += [(door_chat(session, app.url, "policy", app.keys[name], tally, []), tally) for name in talkers]
            resident = [process.memory_info().rss / 2**20]  # the pages are loaded by now
            began = time.perf_counter()
            running = [
                asyncio.create_task(chatter(number, ask, began + seconds, of)) for number, (ask, of) in enumerate(chats)
            ]
            await asyncio.sleep(seconds / 2)
            resident.append(process.memory_info().rss / 2**20)
            await asyncio.gather(*running)
            took = time.perf_counter() - began
            resident.append(process.memory_info().rss / 2**20)
        finally:
            for own in sessions:
                await own.close()
    stored, missing = await asyncio.to_thread(_stored, app.database, tally.tickets)
    return {
        "door": _line(tally),
        "pages": _line(pages),
        "tickets_missing": missing,
        "tokens_per_s": round(stored / took, 1),
        "seconds": round(took, 1),
        "resident_mib": [round(size) for size in resident],
    }


async def bare(vllm_url: str, people: int, seconds: float) -> dict[str, Any]:
    """As many clients put the same questions straight to vLLM."""
    tally = Tally()
    timeout, connector = aiohttp.ClientTimeout(total=None), _connector()
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        began = time.perf_counter()
        chats = [door_chat(session, vllm_url, "base", "", tally, []) for _ in range(people)]
        await asyncio.gather(*(chatter(number, ask, began + seconds, tally) for number, ask in enumerate(chats)))
        took = time.perf_counter() - began
    return {**_line(tally), "tokens_per_s": round(tally.tokens / took, 1), "seconds": round(took, 1)}


def _connector() -> aiohttp.TCPConnector:
    # Servers here close what was idle for five seconds; a browser would ask again where this client counts a loss.
    return aiohttp.TCPConnector(limit=0, keepalive_timeout=2)


def _stored(database: str, tickets: list[str]) -> tuple[int, int]:
    """Tokens of every answer that was stored, and how many tickets of answers are not there."""
    from sqlalchemy import text

    from feedback_app.store.database import open_store

    store = open_store(database)
    try:
        missing = sum(store.tasks.ticket(ticket) is None for ticket in tickets)
        with store.database.read() as session:
            tokens = session.execute(text("select coalesce(sum(completion_tokens), 0) from completion")).scalar()
        return int(tokens or 0), missing
    finally:
        store.close()


def _line(tally: Tally) -> dict[str, Any]:
    def spread(values: list[float]) -> dict[str, float]:
        ordered = sorted(values)
        at = {"median": 0.5, "p95": 0.95, "longest": 1.0}
        return {name: round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 2) for name, share in at.items()}

    return {
        "answers": tally.answers,
        "sentences": dict(tally.sentences),
        "lost": tally.lost,
        "first_token_s": spread(tally.first_s) if tally.first_s else None,
        "whole_s": spread(tally.whole_s) if tally.whole_s else None,
    }


def run(folder: Path, people: int, seconds: float, bare_seconds: float, **settings: str) -> dict[str, Any]:
    """The whole measurement, with an app and a vLLM of its own."""
    names = [f"p{number}" for number in range(people)]
    with real_vllm(SHIPPED, folder, served_names=NAMES) as vllm, real_app(vllm.url, folder, names, **settings) as app:
        found = {"people": people, "app": asyncio.run(crowd(app, names, seconds))}
        if bare_seconds:
            found["bare"] = asyncio.run(bare(vllm.url, people, bare_seconds))
            found["ratio"] = round(found["app"]["tokens_per_s"] / found["bare"]["tokens_per_s"], 3)
    return found


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line; exit 1 when an attempt was lost."""
    from tests.long.lines import provenance

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--bare-seconds", type=float, default=40)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "crowd.jsonl")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="alignloop-crowd-") as folder:
        found = run(Path(folder), options.people, options.seconds, options.bare_seconds)
    with options.out.open("a") as file:
        file.write(json.dumps({**provenance(), **found}) + "\n")
    print(json.dumps(found, indent=1))
    return 1 if found["app"]["door"]["lost"] or found["app"]["pages"]["lost"] else 0


if __name__ == "__main__":
    sys.exit(main())
