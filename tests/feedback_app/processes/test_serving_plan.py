"""The plan for the vLLM of given settings: what is set arrives in it, and none is made for a vLLM that is not ours."""

from __future__ import annotations

from typing import Any

import pytest

from feedback_app.errors import UsageError
from feedback_app.processes.serving_plan import plan_of
from feedback_app.processes.wiring import admission_of
from feedback_app.settings import Settings
from serving import launch
from serving.model_check import ModelFacts

FACTS = ModelFacts("t", "w", 2048, None, "X", dtype="float32", kv_bytes=46_080, hidden=576, parameters=134_515_008)
SET: dict[str, Any] = {"context_tokens": 512, "vllm_kv_gib": 3, "vllm_threads": 5, "vllm_args": "--dtype float32"}


@pytest.fixture
def build(monkeypatch: pytest.MonkeyPatch) -> dict[str, bool]:
    """The build of vLLM that is installed; the CPU's unless a test says otherwise."""
    said = {"gpu": False}
    monkeypatch.setattr(launch, "gpu_build", lambda: said["gpu"])
    return said


def test_what_is_set_arrives_in_the_plan_and_the_app_counts_the_tokens_of_that_cache(build: dict[str, bool]) -> None:
    settings = Settings(**SET)
    made = plan_of(settings, FACTS)
    assert made is not None
    assert (made.dtype, made.threads, made.kv_gib, made.max_model_len) == ("float32", 5, 3, 512)
    assert admission_of(settings, FACTS).tokens == made.kv_tokens == 3 * 2**30 // 46_080
    assert admission_of(settings, None).tokens == 0


def test_a_vllm_elsewhere_or_on_a_gpu_chooses_itself(build: dict[str, bool]) -> None:
    elsewhere = Settings(vllm_url="http://10.0.0.5:8000", **SET)
    assert plan_of(elsewhere, FACTS) is None
    assert admission_of(elsewhere, FACTS).tokens == 0
    build["gpu"] = True
    assert plan_of(Settings(**SET), FACTS) is None


def test_arguments_with_an_open_quote_are_a_sentence(build: dict[str, bool]) -> None:
    with pytest.raises(UsageError, match="ALIGNLOOP_VLLM_ARGS is not a command line"):
        plan_of(Settings(vllm_args="--dtype 'float32"), FACTS)
