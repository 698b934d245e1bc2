"""Seeds, with vLLM itself: the same seed says the same, and no prompt ends the engine, however it was scheduled.

In float32, where a batch changes what is computed by a millionth: two candidates are practically never that close.
In bf16, which is what is served, a batch can turn such a pair around with any scheduler; a draw too many or too few,
which is what is tested here, changes every answer.
"""

from __future__ import annotations

import asyncio
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from serving.client import VllmClient
from tests.serving.real import RealVllm, real_vllm

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(1200)]
SHIPPED = Path(__file__).parents[2] / "data" / "model"
PEOPLE = 6
WORDS = 570
SPLIT = 128  # tokens per step: the prompts have about six times as many
FLOAT32 = ("--dtype", "float32")
# Room for two of the six at once, so that they drive each other out; what was computed is not kept.
CRAMPED = (
    *("--max-num-batched-tokens", str(SPLIT), "--max-num-seqs", "16"),
    *("--block-size", "32", "--num-gpu-blocks-override", "66", "--no-enable-prefix-caching"),
)


@pytest.fixture(scope="module")
def vllm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealVllm]:
    with real_vllm(SHIPPED, tmp_path_factory.mktemp("vllm"), extra_args=FLOAT32) as real:
        yield real


@pytest.fixture(scope="module")
def cramped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealVllm]:
    with real_vllm(SHIPPED, tmp_path_factory.mktemp("cramped"), extra_args=(*FLOAT32, *CRAMPED)) as real:
        yield real


def counted(vllm: RealVllm, name: str) -> float:
    """The sum of one of vLLM's own counters."""
    with urllib.request.urlopen(f"{vllm.url}/metrics") as reply:
        lines = reply.read().decode().splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith((f"{name}{{", f"{name} ")))


def long_message(number: int) -> str:
    """What one person writes; it begins with their number, so that nothing is shared."""
    words = ["tell me about cats", "what is two and three", "the sky is blue today", "name a colour", "say hello"]
    message = " ".join(f"{number} {' '.join(words[number % 5 :] + words[: number % 5])}".split() * WORDS)
    return " ".join(message.split()[:WORDS])


async def said(client: VllmClient, number: int) -> str:
    """The answer to the long message of one person, with their seed."""
    reply = await client.chat(
        {
            "model": "base",
            "messages": [{"role": "user", "content": long_message(number)}],
            "seed": number,
            "temperature": 1.0,
            "max_tokens": 80,
            "ignore_eos": True,
        }
    )
    assert reply["usage"]["completion_tokens"] == 80
    assert reply["usage"]["prompt_tokens"] > 4 * SPLIT
    return str(reply["choices"][0]["message"]["content"])


async def test_the_same_seed_says_the_same_alone_in_company_in_pieces_and_driven_out(
    vllm: RealVllm, cramped: RealVllm
) -> None:
    """Without `serving.vllm_seeds`, the first prompt that is split ends the engine."""
    async with VllmClient(vllm.url, timeout_s=120) as client:
        together = await asyncio.gather(*(said(client, number) for number in range(PEOPLE)))  # more than one step holds
        alone = [await said(client, number) for number in range(PEOPLE)]
        assert together == alone
        assert len(set(alone)) == PEOPLE
    async with VllmClient(cramped.url, timeout_s=120) as client:
        assert [await said(client, number) for number in range(2)] == alone[:2]  # in pieces, and alone
        assert counted(cramped, "vllm:num_preemptions_total") == 0
        assert await asyncio.gather(*(said(client, number) for number in range(PEOPLE))) == alone
        assert counted(cramped, "vllm:num_preemptions_total") > 0
    assert vllm.supervisor.state().restarts == cramped.supervisor.state().restarts == 0


async def test_whatever_is_asked_of_a_prompt_in_pieces_the_engine_lives(cramped: RealVllm) -> None:
    """Every way of sampling that the door passes on, all at once, with a seed and a prompt of many steps."""
    asked: list[dict[str, Any]] = [
        {"logprobs": True, "top_logprobs": 5},
        {"n": 3},
        {"temperature": 0},
        {"top_p": 0.8, "top_k": 20, "min_p": 0.05},
        {"frequency_penalty": 0.5, "presence_penalty": 0.5, "repetition_penalty": 1.1},
        {"logit_bias": {"7": 2.0}},
        {"stop": ["xyzzy"], "min_tokens": 4},
        {"response_format": {"type": "json_object"}},
        {"seed": None},
        {"seed": 2**62},
    ]
    async with VllmClient(cramped.url, timeout_s=120) as client:
        replies = await asyncio.gather(
            *(
                client.chat(
                    {
                        "model": "base",
                        "messages": [{"role": "user", "content": long_message(number)}],
                        "seed": number,
                        "max_tokens": 24,
                        **options,
                    }
                )
                for number, options in enumerate(asked)
            )
        )
        assert [len(reply["choices"]) for reply in replies] == [options.get("n", 1) for options in asked]
        assert all(choice["finish_reason"] in ("stop", "length") for reply in replies for choice in reply["choices"])
        await client.probe("base")
    assert cramped.supervisor.state().restarts == 0
