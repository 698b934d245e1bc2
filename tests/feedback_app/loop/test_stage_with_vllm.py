"""Stages whose rollouts come from vLLM: what a round tells them, and a real one against the fake vLLM."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from alignment.methods.registry import run_stage
from alignment.stage.artifact import read_manifest, verify
from alignment.stage.spec import StageSpec
from feedback_app.loop.training import stage_command
from tests.alignment.builders import vote
from tests.alignment.compiled import write_compiled
from tests.alignment.tiny_model import make_tiny_model
from tests.serving.fake_vllm import FakeVllm, running

ROOT = Path(__file__).resolve().parents[3]


def test_only_a_stage_that_samples_through_vllm_is_handed_it(tmp_path: Path) -> None:
    plain = StageSpec("ppo", tmp_path, "m", tmp_path / "out")
    through = StageSpec("ppo", tmp_path, "m", tmp_path / "out", {"rollouts_from": "vllm"})
    assert stage_command(plain)[1:3] == ["-m", "alignment.run"]
    assert stage_command(through)[1:3] == ["-m", "feedback_app.loop.stage_with_vllm"]


@pytest.mark.slow
async def test_a_ppo_stage_samples_through_vllm_and_leaves_it_as_it_was(tmp_path: Path) -> None:
    model = make_tiny_model(tmp_path / "model")
    votes = [vote(i, f"Gladly, friend {i}!", f"No {i}.", (1, 2), prompt=f"Question {i}?") for i in range(12)]
    data = tmp_path / "data"
    write_compiled(votes, data)
    reward = StageSpec("reward", data, str(model), tmp_path / "reward", {"epochs": 1, "dtype": "fp32"}, 1)
    await asyncio.to_thread(run_stage, reward)
    async with running(FakeVllm()) as fake:
        settings = {
            "rollouts_from": "vllm",
            "vllm_url": fake.url,
            "steps": 2,
            "rollouts": 8,
            "minibatch": 4,
            "max_tokens": 60,
            "dtype": "fp32",
        }
        spec = StageSpec("ppo", data, str(model), tmp_path / "out", settings, 1, reward=reward.out)
        spec.out.mkdir()
        (spec.out / "spec.json").write_text(spec.to_json())
        done = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, *stage_command(spec)[1:]],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=250,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        names = {json.loads(raw)["model"] for raw in fake.requests}
        assert len(fake.requests) == 16
        assert len(names) == 2
        assert all(name.startswith("rollout-") for name in names)
        assert fake.adapters == {}
    assert read_manifest(spec.out).metrics["rollouts"] == 16
    assert set(verify(spec.out).files) == {"adapter_config.json", "adapter_model.safetensors"}
