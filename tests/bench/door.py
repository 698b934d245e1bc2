"""What our door costs over vLLM asked directly, and whether swapping adapters under load loses a request.

    python -m tests.bench.door [--model DIR] [--json FILE] [--rounds N] [--swaps N]

Both ways are measured in the same run against the same vLLM, interleaved round by round and in turns as to
which goes first; a ratio is the median of the rounds' own ratios. The load generator, the door and vLLM are
three processes, as in life. Each request asks for a fixed number of tokens, so tokens are counted exactly.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp

from tests.ports import free_port
from tests.serving.real import real_vllm
from tests.waiting import until

if TYPE_CHECKING:
    from openai import AsyncOpenAI

    from feedback_app.store.database import Store
    from serving.client import VllmClient
    from serving.inflight import InFlight

LEVELS = (1, 8, 32)
PROMPT = "Tell me a very short story about a cat."


@dataclass
class DoorUnderTest:
    """A door in this process, and everything behind it."""

    url: str
    key: str
    store: Store
    vllm: VllmClient
    inflight: InFlight

    def openai(self) -> AsyncOpenAI:
        """OpenAI's client for it; no second tries, so that every failure counts."""
        import httpx
        from openai import AsyncOpenAI

        return AsyncOpenAI(
            base_url=f"{self.url}/v1",
            api_key=self.key,
            max_retries=0,
            http_client=httpx.AsyncClient(trust_env=False, timeout=120),
        )


@dataclass(frozen=True)
class Load:
    """One measured batch: tokens per second over all streams, seconds to each stream's first token."""

    tokens_per_s: float
    first_token_s: float
    failed: int


@dataclass
class Swaps:
    """What happened to the requests that ran while versions were swapped."""

    swaps: int = 0
    requests: int = 0
    failed: int = 0
    failures: list[str] = field(default_factory=list)
    versions_seen: int = 0
    seconds_per_swap: float = 0.0


NAMES = ("base", "base-b")  # what vLLM must answer to for the base of `prepare`


def prepare(database: str) -> str:
    """Make a database in which `policy` means the base model; returns an operator's key."""
    from feedback_app.collect.people import new_key
    from feedback_app.store.database import open_store
    from feedback_app.store.tables import Version

    store = open_store(database)
    store.versions.add(Version(name="base", kind="base", form="full", path="", base_hash="b", created_at=store.now()))
    store.versions.publish("base", "first")
    key = new_key(store, store.people.add("bench", "operator", ""))
    store.close()
    return key


@contextlib.asynccontextmanager
async def door_over(
    vllm_url: str, database: str, port: int = 0, key: str | None = None
) -> AsyncIterator[DoorUnderTest]:
    """The door over a vLLM, served in this process on loopback. Without a key the database is made first."""
    import uvicorn
    from fastapi import FastAPI

    from feedback_app.api.openai_routes import build_door
    from feedback_app.settings import Settings
    from feedback_app.store.database import open_store
    from serving.client import VllmClient
    from serving.inflight import InFlight

    if key is None:
        key = await asyncio.to_thread(prepare, database)
    store, inflight = open_store(database), InFlight()
    async with VllmClient(vllm_url, timeout_s=120) as vllm:
        app = FastAPI()
        app.include_router(build_door(store=store, vllm=vllm, settings=Settings(), inflight=inflight))
        server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="error", lifespan="off"))
        task = asyncio.create_task(server.serve())
        await until(lambda: server.started)
        try:
            port = server.servers[0].sockets[0].getsockname()[1]
            yield DoorUnderTest(f"http://127.0.0.1:{port}", key, store, vllm, inflight)
        finally:
            server.should_exit = True
            await task
            store.close()


@contextlib.asynccontextmanager
async def door_process(vllm_url: str, folder: Path) -> AsyncIterator[tuple[str, str]]:
    """The same in a process of its own: its URL and a key."""
    database = f"sqlite:///{folder / 'door.db'}"
    key, port = await asyncio.to_thread(prepare, database), free_port()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.bench.door", "--serve", vllm_url, database, str(port)),
        stdin=asyncio.subprocess.PIPE,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        async with aiohttp.ClientSession() as session, asyncio.timeout(120):
            while True:
                with contextlib.suppress(aiohttp.ClientError):
                    async with session.get(f"{url}/v1/models"):
                        break
                await asyncio.sleep(0.1)
        yield url, key
    finally:
        process.terminate()
        await process.wait()


async def _serve(vllm_url: str, database: str, port: int) -> None:
    async with door_over(vllm_url, database, port, key=""):
        # The other end of standard input is the measuring process: this one ends with it.
        await asyncio.to_thread(sys.stdin.read)


async def measure(url: str, key: str, model: str, streams: int, requests: int, max_tokens: int) -> Load:
    """`requests` streamed requests over `streams` connections. Failures are counted and give no tokens."""
    firsts: list[float] = []
    failed = 0
    waiting = list(range(requests))

    async def stream(session: aiohttp.ClientSession) -> None:
        nonlocal failed
        while waiting:
            number = waiting.pop()
            body = {
                "model": model,
                "messages": [{"role": "user", "content": f"{PROMPT} ({number})"}],
                "max_tokens": max_tokens,
                "ignore_eos": True,
                "temperature": 1.0,
                "seed": number,
                "stream": True,
            }
            began = time.perf_counter()
            first, last = None, b""
            async with session.post(f"{url}/v1/chat/completions", json=body) as reply:
                async for chunk in reply.content.iter_any():
                    first = first or time.perf_counter() - began
                    last = (last + chunk)[-32:]
                if reply.status != 200 or not last.endswith(b"data: [DONE]\n\n") or first is None:
                    failed += 1
                    continue
            firsts.append(first)

    connector, headers = aiohttp.TCPConnector(limit=0), {"Authorization": f"Bearer {key}"}
    timeout = aiohttp.ClientTimeout(total=600)
    async with aiohttp.ClientSession(connector=connector, headers=headers, timeout=timeout) as session:
        began = time.perf_counter()
        await asyncio.gather(*(stream(session) for _ in range(streams)))
        seconds = time.perf_counter() - began
    tokens = (requests - failed) * max_tokens
    return Load(tokens / seconds, statistics.median(firsts) if firsts else float("nan"), failed)


async def compare(vllm_url: str, folder: Path, rounds: int, max_tokens: int) -> dict[str, Any]:
    """Door and vLLM in turns, at each number of streams."""
    measured: dict[int, list[tuple[Load, Load]]] = {level: [] for level in LEVELS}
    async with door_process(vllm_url, folder) as (url, key):
        ways = {"direct": (vllm_url, "", "base"), "door": (url, key, "policy")}
        for way in ways.values():  # warm both before anything is measured
            await measure(*way, 4, 4, max_tokens)
        for number in range(rounds):
            for level in LEVELS:
                names = ("direct", "door") if number % 2 else ("door", "direct")
                requests = max(4, 2 * level)
                loads = {name: await measure(*ways[name], level, requests, max_tokens) for name in names}
                measured[level].append((loads["direct"], loads["door"]))
    return {str(level): _summary(pairs) for level, pairs in measured.items()}


def _summary(pairs: Sequence[tuple[Load, Load]]) -> dict[str, Any]:
    def row(name: str) -> dict[str, float]:
        direct = [getattr(pair[0], name) for pair in pairs]
        door = [getattr(pair[1], name) for pair in pairs]
        ratios = [ours / bare for ours, bare in zip(door, direct, strict=True)]
        return {
            "direct": statistics.median(direct),
            "door": statistics.median(door),
            "ratio": statistics.median(ratios),
            "ratio_min": min(ratios),
            "ratio_max": max(ratios),
        }

    return {
        "rounds": len(pairs),
        "tokens_per_s": row("tokens_per_s"),
        "first_token_s": row("first_token_s"),
        "failed": {"direct": sum(pair[0].failed for pair in pairs), "door": sum(pair[1].failed for pair in pairs)},
    }


async def swap_under_load(
    door: DoorUnderTest, adapters: Sequence[Path], *, swaps: int = 20, concurrency: int = 8, max_tokens: int = 48
) -> Swaps:
    """Swap versions while requests run: load under a new name, publish, drain the old one, unload it.

    `adapters` are copied, one folder per version, because a published adapter never changes.
    """
    from feedback_app.store.tables import Version

    result, seen = Swaps(swaps=swaps), set[str]()
    stop = asyncio.Event()

    async def load(client: AsyncOpenAI) -> None:
        while not stop.is_set():
            result.requests += 1
            try:
                raw = await client.chat.completions.with_raw_response.create(
                    model="policy",
                    messages=[{"role": "user", "content": PROMPT}],
                    max_tokens=max_tokens,
                    stream=True,
                    extra_body={"ignore_eos": True},
                )
                reason = None
                async for chunk in raw.parse():
                    seen.add(chunk.model)
                    reason = chunk.choices[0].finish_reason or reason
                if reason != "length":
                    raise RuntimeError(f"the answer ended with {reason}")
            except Exception as error:  # whatever a client can meet is what is being counted
                result.failed += 1
                result.failures.append(f"{type(error).__name__}: {error}"[:200])

    loaded: dict[str, str] = {}  # the names that vLLM knows, by the versions'

    async def swap(number: int, old: str) -> str:
        name = f"policy-{number:04d}"
        path = folder / name
        await asyncio.to_thread(shutil.copytree, adapters[number % len(adapters)], path)
        row = Version(name=name, kind="aligned", form="adapter", path=str(path), base_hash="b", created_at=number)
        served_name = row.served_name
        await door.vllm.load(served_name, str(path))
        await door.vllm.probe(served_name)
        await asyncio.to_thread(door.store.versions.add, row)
        await asyncio.to_thread(door.store.versions.publish, name, "promoted")
        # A request may have looked up the old meaning just before: it is in flight by the time this returns.
        await asyncio.sleep(0.5)
        await until(lambda: not door.inflight.counts().get(old), 120)
        if old != "base":
            await door.vllm.unload(loaded.pop(old))
        loaded[name] = served_name
        return name

    with tempfile.TemporaryDirectory(prefix="alignloop-swaps-") as temporary:
        folder = Path(temporary)
        async with door.openai() as client:
            workers = [asyncio.create_task(load(client)) for _ in range(concurrency)]
            current, began = "base", time.perf_counter()
            try:
                for number in range(1, swaps + 1):
                    current = await swap(number, current)
                result.seconds_per_swap = (time.perf_counter() - began) / swaps
            finally:
                stop.set()
                await asyncio.gather(*workers)
        # vLLM may read an adapter's files again while it is loaded, so they go last.
        await asyncio.to_thread(door.store.versions.publish, "base", "rollback")
        await door.vllm.unload(loaded[current])
    result.versions_seen = len(seen)
    return result


async def bench(model: Path, folder: Path, rounds: int, swaps: int, max_tokens: int) -> dict[str, Any]:
    """Everything, with a vLLM of its own."""
    from tests.serving.conftest import make_adapter

    adapters = [await asyncio.to_thread(make_adapter, model, folder / f"adapter-{seed}", seed) for seed in (1, 2)]
    starting = time.perf_counter()
    manager = real_vllm(model, folder, served_names=NAMES)
    vllm = await asyncio.to_thread(manager.__enter__)
    try:
        started_s = time.perf_counter() - starting
        levels = await compare(vllm.url, folder, rounds, max_tokens)
        async with door_over(vllm.url, f"sqlite:///{folder / 'swaps.db'}") as door:
            swapped = await swap_under_load(door, adapters, swaps=swaps)
    finally:
        await asyncio.to_thread(manager.__exit__, None, None, None)
    return {
        "model": str(model),
        "cores": os.cpu_count(),
        "load_average": os.getloadavg()[0],
        "vllm_start_s": started_s,
        "max_tokens": max_tokens,
        "streams": levels,
        "swaps": asdict(swapped),
    }


def show(result: dict[str, Any]) -> None:
    """Print the result as tables."""
    from rich.console import Console
    from rich.table import Table

    table = Table(
        title=f"The door over vLLM asked directly ({result['cores']} cores, load {result['load_average']:.1f})"
    )
    for heading in ("streams", "tokens/s direct", "door", "ratio (min–max)", "first token direct", "door", "ratio"):
        table.add_column(heading, justify="right")
    for level, row in result["streams"].items():
        tokens, first = row["tokens_per_s"], row["first_token_s"]
        table.add_row(
            level,
            f"{tokens['direct']:.0f}",
            f"{tokens['door']:.0f}",
            f"{tokens['ratio']:.3f} ({tokens['ratio_min']:.2f}–{tokens['ratio_max']:.2f})",
            f"{1000 * first['direct']:.0f} ms",
            f"{1000 * first['door']:.0f} ms",
            f"{first['ratio']:.2f}",
        )
    console = Console()
    console.print(table)
    swaps = result["swaps"]
    console.print(
        f"{swaps['swaps']} adapter swaps under load: {swaps['failed']} of {swaps['requests']} requests failed, "
        f"{swaps['versions_seen']} versions answered, {swaps['seconds_per_swap']:.1f} s per swap."
    )
    for failure in swaps["failures"][:5]:
        console.print(f"  {failure}")


def main() -> int:
    """Run from the command line; exit 1 when a request failed."""
    from feedback_app.processes.run import fast_loop
    from feedback_app.settings import shipped_data

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--serve", nargs=3, metavar=("VLLM", "DATABASE", "PORT"), help=argparse.SUPPRESS)
    parser.add_argument("--model", type=Path, default=shipped_data() / "model")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--swaps", type=int, default=20)
    parser.add_argument("--max-tokens", type=int, default=64)
    options = parser.parse_args()
    if options.serve:
        vllm_url, database, port = options.serve
        with asyncio.Runner(loop_factory=fast_loop()) as runner:
            runner.run(_serve(vllm_url, database, int(port)))
        return 0
    with tempfile.TemporaryDirectory(prefix="alignloop-bench-") as folder:
        model = options.model.resolve()
        result = asyncio.run(bench(model, Path(folder), options.rounds, options.swaps, options.max_tokens))
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(result, indent=1))
    show(result)
    failed = result["swaps"]["failed"] + sum(sum(row["failed"].values()) for row in result["streams"].values())
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
