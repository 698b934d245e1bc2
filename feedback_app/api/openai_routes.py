"""Everything below /v1 that OpenAI's clients call, over one door: models, chat, and texts that go on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter

from feedback_app.api.door import Door, build_chat
from feedback_app.api.plain_completions import build_plain_completions
from feedback_app.collect.admission import Admission
from feedback_app.store.database import Store
from serving.inflight import InFlight

if TYPE_CHECKING:
    from feedback_app.settings import Settings
    from serving.client import VllmClient
    from serving.model_check import ModelFacts


def build_door(
    *,
    store: Store,
    vllm: VllmClient,
    settings: Settings,
    facts: ModelFacts | None = None,
    inflight: InFlight | None = None,
    admission: Admission | None = None,
) -> APIRouter:
    """The door's routes, to be included in the app at its root."""
    door = Door(store, vllm, settings, facts, inflight or InFlight(), admission or Admission())
    router = APIRouter()
    router.include_router(build_chat(door))
    router.include_router(build_plain_completions(door))
    return router
