"""From settings to parts: what the app, the worker and the commands are built of. Called by the commands alone."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from feedback_app.errors import Unavailable
from feedback_app.private import make_home
from feedback_app.settings import Settings, read_settings

if TYPE_CHECKING:
    from feedback_app.collect.admission import Admission
    from feedback_app.collect.answer import Answers
    from feedback_app.collect.tasks import Comparing
    from feedback_app.parts import Parts
    from feedback_app.store.database import Store
    from serving.client import VllmClient
    from serving.model_check import ModelFacts
    from serving.sampler import HttpSampler


def settings_and_store() -> tuple[Settings, Store]:
    """The settings and the open, migrated database. Raises `UsageError` or `Unavailable`."""
    settings = read_settings()
    return settings, store_of(settings)


def store_of(settings: Settings) -> Store:
    """The open, migrated database of these settings."""
    from feedback_app.store.database import open_store

    if not settings.database_url:
        try:
            make_home(settings.home)
        except OSError as error:
            raise Unavailable(
                f"Nothing can be written to {settings.home}: {error.strerror}. Set ALIGNLOOP_HOME to another folder."
            ) from error
    return open_store(settings.database)


def client_of(settings: Settings, facts: ModelFacts | None = None) -> VllmClient:
    """A client of the vLLM that these settings name; `facts` say whether its model has a system role."""
    from serving.client import VllmClient

    return VllmClient(settings.vllm_address, timeout_s=settings.request_deadline_s, system_role=_system_role(facts))


def admission_of(settings: Settings, facts: ModelFacts | None) -> Admission:
    """Who may ask vLLM for answers, and how many at once; one a process."""
    from feedback_app.collect.admission import Admission
    from feedback_app.collect.capacity import answers_at_once
    from feedback_app.processes.serving_plan import plan_of
    from serving.errors import LaunchProblem
    from serving.launch import gpu_build
    from serving.plan import machine

    plan, cores = None, None
    # Where none is installed: pages alone, beside a vLLM that another process here will start or not.
    with contextlib.suppress(LaunchProblem):
        cores = None if settings.vllm_url or gpu_build() else machine().cores
        plan = plan_of(settings, facts) if facts else None
    return Admission(
        answers_at_once(settings, cores),
        plan.kv_tokens if plan else 0,
        priorities=not settings.vllm_url,  # ours is started with them
    )


def rules_of(settings: Settings, store: Store, vllm: VllmClient, facts: ModelFacts | None) -> tuple[Answers, Comparing]:
    """The rules of answering and of comparing, on these parts."""
    from feedback_app.collect.answer import Answers
    from feedback_app.collect.tasks import Comparing
    from feedback_app.prompt_sets import prompt_set

    answers = Answers(store, vllm, settings, facts, admission=admission_of(settings, facts))
    return answers, Comparing(answers, prompt_set(settings).training())


def sampler_of(settings: Settings, facts: ModelFacts | None = None) -> HttpSampler:
    """A sampler that asks the vLLM of these settings; `facts` as for `client_of`."""
    from serving.sampler import HttpSampler

    return HttpSampler(settings.vllm_address, system_role=_system_role(facts))


def _system_role(facts: ModelFacts | None) -> bool:
    return facts is None or facts.system_role


def parts_of(settings: Settings, store: Store, vllm: VllmClient, facts: ModelFacts | None) -> Parts:
    """What pages and routes are handed."""
    from feedback_app.loop.controls import LoopControls
    from feedback_app.parts import Parts

    answers, comparing = rules_of(settings, store, vllm, facts)
    return Parts(
        settings=settings,
        store=store,
        vllm=vllm,
        answers=answers,
        comparing=comparing,
        facts=facts,
        loop=LoopControls(store, settings),
    )
