"""How the vLLM of these settings is started on this machine: `serving.plan` with what is set."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from feedback_app.errors import UsageError

if TYPE_CHECKING:
    from feedback_app.settings import Settings
    from serving.model_check import ModelFacts
    from serving.plan import ServingPlan


def vllm_words(settings: Settings) -> list[str]:
    """The further arguments for vLLM. Raises `UsageError` when they are no command line."""
    try:
        return shlex.split(settings.vllm_args)
    except ValueError as error:
        raise UsageError(f"ALIGNLOOP_VLLM_ARGS is not a command line: {error}. Correct its quotes.") from error


def plan_of(settings: Settings, facts: ModelFacts) -> ServingPlan | None:
    """The plan for our own vLLM on a processor; None where vLLM runs elsewhere or on a GPU, and chooses itself.

    Raises `UsageError`, and `LaunchProblem` when a window does not fit into the KV cache or no vLLM is installed.
    """
    from feedback_app.collect.capacity import answers_at_once
    from serving.launch import gpu_build
    from serving.plan import Wanted, machine, plan

    if settings.vllm_url or gpu_build():
        return None
    here = machine()
    wanted = Wanted(
        window=settings.context_tokens,
        answers=answers_at_once(settings, here.cores),
        kv_gib=settings.vllm_kv_gib,
        threads=settings.vllm_threads,
        arguments=vllm_words(settings),
    )
    return plan(facts, here, wanted)
