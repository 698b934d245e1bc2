"""Adapters by rows, with vLLM itself: the same answers as by its own way with adapters, in a batch of everybody's.

In float32, where both ways differ by what rounding does to the sixth digit. Nothing that vLLM gets wrong on its own is
in the comparison: there are more slots than adapters, so the last slot, which it gives to the base, holds nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from serving.client import VllmClient
from tests.serving.real import RealVllm, real_vllm

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(1200)]
WITHOUT_OURS = {"VLLM_PLUGINS": "none"}
NAMES = ("base", "policy-0001", "policy-0002")
LONG = " ".join(f"and then number {number}" for number in range(12))


async def spoken(vllm: RealVllm, folders: list[Path]) -> list[list[tuple[str, float]]]:
    """What each of three versions answers to each of three prompts, all at once: tokens with their log probability."""
    async with VllmClient(vllm.url, timeout_s=120) as client:
        for name, folder in zip(NAMES[1:], folders, strict=True):
            await client.load(name, str(folder))

        async def answer(name: str, prompt: str) -> list[tuple[str, float]]:
            asked: dict[str, Any] = {
                "model": name,
                "messages": [{"role": "user", "content": prompt}],
                "temperature": 0,
                "max_tokens": 24,
                "logprobs": True,
                "ignore_eos": True,
            }
            [choice] = (await client.chat(asked))["choices"]
            return [(each["token"], each["logprob"]) for each in choice["logprobs"]["content"]]

        return await asyncio.gather(*(answer(name, prompt) for prompt in ("Hi", "Name two", LONG) for name in NAMES))


async def test_base_and_two_adapters_in_one_batch_say_what_they_say_by_vllms_own_way(
    tiny_model: Path, adapter: Callable[[Path, int], Path], tmp_path: Path
) -> None:
    folders = [adapter(tiny_model, seed) for seed in (1, 2)]
    answers = []
    for name, variables in (("ours", {}), ("theirs", WITHOUT_OURS)):
        (tmp_path / name).mkdir()
        with real_vllm(tiny_model, tmp_path / name, extra_args=("--dtype", "float32"), variables=variables) as vllm:
            answers.append(await spoken(vllm, folders))
        log = (tmp_path / name / "vllm.log").read_text()
        assert ("PunicaWrapperByAdapter" in log) == (name == "ours")
    ours, theirs = answers
    for mine, its in zip(ours, theirs, strict=True):
        assert [token for token, _ in mine] == [token for token, _ in its]
        assert [score for _, score in mine] == pytest.approx([score for _, score in its], abs=1e-4)
    texts = {"".join(token for token, _ in answer) for answer in ours[:3]}
    assert len(texts) == 3, "the adapters change what is said"
