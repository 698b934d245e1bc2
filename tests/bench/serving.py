"""What an adapter costs over the base of the same vLLM, and what ours makes of a model over vLLM as it comes.

    python -m tests.bench.serving [--model DIR] [--json FILE] [--rounds N] [--also DTYPE:THREADS …]

Two vLLMs run side by side and are asked in turns, so that other work on the machine falls on both: one as we start it
(the plan of `serving.plan`, adapters by rows), and one as vLLM comes: the type of the model's files, a thread fewer
than the cores, its own way with adapters, without our plugin. `--also` starts one more of ours for each type and
number of threads, to see whether the plan chose well. Each serves the base and one random adapter of rank 16 on every
linear layer. Measured are tokens per second over 1, 8 and 32 streams, and the seconds to the first token of a prompt
of 500 tokens that nothing of which was asked before. A figure is the median of the rounds, a ratio the median of the
rounds' own ratios.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from serving.model_check import check_model
from serving.plan import Wanted, machine, plan
from tests.bench.door import LEVELS, measure
from tests.long.lines import provenance
from tests.serving.real import real_vllm

PROMPT_TOKENS = 500
SERVED = ("base", "adapter")
FIRST = "first token, s"
OURS, THEIRS = "ours", "vLLM as it comes"


@dataclass(frozen=True)
class Arm:
    """A vLLM: `dtype` as vLLM calls it, `threads` for its products, `plugin` whether ours is loaded, `batched` tokens a
    step (0: vLLM's own number)."""

    name: str
    dtype: str
    threads: int
    plugin: bool = True
    batched: int = 0

    @property
    def arguments(self) -> list[str]:
        """For vLLM's command line."""
        batched = ["--max-num-batched-tokens", str(self.batched)] if self.batched else []
        return ["--dtype", self.dtype, *batched]


async def first_token(url: str, model: str, vocabulary: int, draw: random.Random) -> float:
    """Seconds until the first token of a prompt of `PROMPT_TOKENS` random tokens."""
    tokens = [draw.randrange(16, vocabulary) for _ in range(PROMPT_TOKENS)]
    body = {"model": model, "prompt": tokens, "max_tokens": 1, "temperature": 0}
    began = time.perf_counter()
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=600)) as session,
        session.post(f"{url}/v1/completions", json=body) as reply,
    ):
        reply.raise_for_status()
        await reply.read()
    return time.perf_counter() - began


async def ask(url: str, model: str, vocabulary: int, draw: random.Random, max_tokens: int) -> dict[str, float]:
    """One round of one model of one vLLM. Raises `RuntimeError` when a request failed: then nothing is measured."""
    found = {FIRST: await first_token(url, model, vocabulary, draw)}
    for streams in LEVELS:
        load = await measure(url, "", model, streams, max(2, streams), max_tokens)
        if load.failed:
            raise RuntimeError(f"{load.failed} requests for {model} failed")
        found[str(streams)] = load.tokens_per_s
    return found


async def bench(model: Path, arms: Sequence[Arm], folder: Path, rounds: int, max_tokens: int) -> dict[str, Any]:
    """All arms on one model, in turns."""
    from serving.client import VllmClient
    from tests.serving.conftest import make_adapter

    adapter = await asyncio.to_thread(make_adapter, model, folder / "adapter", 1, 16)
    vocabulary = json.loads((model / "config.json").read_text())["vocab_size"]
    draw = random.Random(1)
    measured: dict[tuple[str, str], list[dict[str, float]]] = {(arm.name, name): [] for arm in arms for name in SERVED}
    async with contextlib.AsyncExitStack() as stack:
        urls: dict[str, str] = {}

        async def start(arm: Arm) -> None:
            log = folder / arm.name.replace(" ", "-")
            log.mkdir()
            manager = real_vllm(
                model,
                log,
                extra_args=arm.arguments,
                threads=arm.threads,
                variables={} if arm.plugin else {"VLLM_PLUGINS": "none"},
            )
            urls[arm.name] = (await asyncio.to_thread(manager.__enter__)).url
            stack.push_async_callback(asyncio.to_thread, manager.__exit__, None, None, None)

        await asyncio.gather(*map(start, arms))
        for url in urls.values():
            async with VllmClient(url, timeout_s=120) as client:
                await client.load("adapter", str(adapter))
            for name in SERVED:
                await measure(url, "", name, 4, 4, 8)  # warm
        for number in range(rounds):
            turns = [(arm.name, name) for arm in arms for name in SERVED]
            for arm_name, name in turns if number % 2 else reversed(turns):
                found = await ask(urls[arm_name], name, vocabulary, draw, max_tokens)
                measured[arm_name, name].append(found)
                print(json.dumps({"arm": arm_name, "model": name, **found}), flush=True)
    return {
        **provenance(),
        "model": model.name,
        "cores": os.cpu_count(),
        "load_average": os.getloadavg()[0],
        "rounds": rounds,
        "max_tokens": max_tokens,
        "arms": {
            arm.name: {
                "dtype": arm.dtype,
                "threads": arm.threads,
                **{name: middle(measured[arm.name, name]) for name in SERVED},
                "adapter over base": ratios(measured[arm.name, "adapter"], measured[arm.name, "base"]),
                f"adapter over {THEIRS}": ratios(measured[arm.name, "adapter"], measured[THEIRS, "adapter"]),
            }
            for arm in arms
        },
    }


def middle(rounds: Sequence[dict[str, float]]) -> dict[str, float]:
    """The median of each figure."""
    return {name: round(statistics.median(each[name] for each in rounds), 3) for name in rounds[0]}


def ratios(ours: Sequence[dict[str, float]], theirs: Sequence[dict[str, float]]) -> dict[str, float]:
    """The median of the rounds' ratios; above 1 is quicker, for seconds too."""
    found = {}
    for name in ours[0]:
        pairs = [(a[name], b[name]) for a, b in zip(ours, theirs, strict=True)]
        found[name] = round(statistics.median(b / a if name == FIRST else a / b for a, b in pairs), 3)
    return found


def show(result: dict[str, Any]) -> None:
    """Print the result as a table."""
    from rich.console import Console
    from rich.table import Table

    names = [*(str(level) for level in LEVELS), FIRST]
    title = f"{result['model']}, {result['cores']} cores, load {result['load_average']:.1f}, {result['rounds']} rounds"
    table = Table(title=title)
    for heading in ("", *(f"tokens/s, {level}" for level in LEVELS), FIRST):
        table.add_column(heading, justify="right")
    for name, arm in result["arms"].items():
        for kind in (*SERVED, "adapter over base", f"adapter over {THEIRS}"):
            table.add_row(f"{name} ({arm['dtype']}, {arm['threads']}): {kind}", *(f"{arm[kind][n]:.3g}" for n in names))
    Console(width=140).print(table)


def main() -> int:
    """Run from the command line."""
    from feedback_app.settings import shipped_data

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=shipped_data() / "model")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--max-tokens", type=int, default=64)
    parser.add_argument("--also", nargs="*", default=[], metavar="DTYPE:THREADS")
    options = parser.parse_args()
    model = options.model.resolve()
    here = machine()
    made = plan(check_model(str(model)), here, Wanted(window=1024, answers=64))
    arms = [
        Arm(OURS, made.dtype, made.threads, batched=made.max_num_batched_tokens),
        Arm(THEIRS, "auto", max(1, here.cores - 1), plugin=False),
    ]
    for words in options.also:
        dtype, _, threads = words.partition(":")
        arms.append(Arm(words.replace(":", " "), dtype, int(threads), batched=made.max_num_batched_tokens))
    with tempfile.TemporaryDirectory(prefix="alignloop-bench-") as folder:
        result = asyncio.run(bench(model, arms, Path(folder), options.rounds, options.max_tokens))
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(result, indent=1) + "\n")
    show(result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
