"""A whole app for browser tests: the real FastAPI, pages, rules and SQLite, with a fake model behind them.

The server runs in a thread with its own event loop, so that a test may look into the store and play the worker.
"""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn

from feedback_app.api.app import build_app
from feedback_app.collect.answer import Answers
from feedback_app.collect.people import add_person
from feedback_app.collect.tasks import Comparing
from feedback_app.loop.controls import LoopControls
from feedback_app.parts import Parts
from feedback_app.settings import Settings
from feedback_app.store.database import Store, open_store
from feedback_app.store.tables import Version
from serving.client import ChatChunk
from tests.fakes import FakeVllm
from tests.ports import free_port

PASSWORD = "a long enough one"
STORIES = (
    "A small robot lived by the sea. Every evening it counted the waves. One day it stopped counting and just looked. "
    "It was happy.",
    "Once there was a robot who was afraid of rain. A girl lent it her umbrella. They walked home together, and the "
    "robot was not afraid any more.",
    "There was a robot. It found a flower. It kept it.",
    "A robot wanted to bake a cake for the king. The cake was as hard as stone, but the king laughed and ate it all. "
    "From then on they baked together every Sunday, and the whole town came to taste.",
    "The old robot told stories to the stars. The stars blinked back. Nobody else knew.",
)
FACTS = (
    "The capital of France is Paris.",
    "Paris is the capital of France. It is a lovely question, thank you for asking!",
    "That would be Paris, which is the capital city of France.",
    "Paris.",
    "I believe it is Paris, but please check if it matters to you.",
)
GENERAL = (
    "I am happy to help with that. Here is a short answer: it depends on what you need.",
    "Good question. There are two ways to see it, and both are right in their own way.",
    "Of course! Let me think about it. The first thing is to keep it simple.",
    "It is seven.",
    "I don't know that, sorry.",
)


class TalkingVllm(FakeVllm):
    """Answers at a readable pace from a few sentences, so that pages look as they do with a model."""

    pace_s = 0.012

    async def events(self, payload: Mapping[str, Any]) -> AsyncGenerator[ChatChunk]:
        if not self.replies:
            asked = str(payload["messages"][-1]["content"]).lower()
            known = STORIES if "story" in asked else FACTS if "capital" in asked else GENERAL
            self.queue(known[random.Random(int(payload.get("seed") or 0)).randrange(len(known))])
        async for chunk in super().events(payload):
            yield chunk
            await asyncio.sleep(self.pace_s)


@dataclass
class Stage:
    """A running app: where it is, and what is behind it."""

    url: str
    store: Store
    vllm: TalkingVllm
    parts: Parts


def make_parts(home: Path, vllm: TalkingVllm, **overrides: Any) -> Parts:
    """Parts on a fresh SQLite database with a published first version and one person per role."""
    settings = Settings(home=home, **overrides)
    store = open_store(f"sqlite:///{home / 'alignloop.db'}")
    for name, role in (("operator", "operator"), ("anna", "annotator"), ("charlie", "chatter")):
        add_person(store, name, role, password=PASSWORD)
    store.versions.add(
        Version(name="sft-0001", kind="sft", form="full", path="nowhere", base_hash="b" * 64, created_at=store.now())
    )
    store.versions.publish("sft-0001", "first")
    answers = Answers(store, vllm, settings, None)  # type: ignore[arg-type]  # the fake has the client's shape
    prompts = ["Tell me a very short story about a robot.", "What is the capital of France?", "How much is 3 + 4?",
               "Name three colours.", "What is the opposite of hot?"]  # fmt: skip
    comparing = Comparing(answers, prompts)

    staged = lambda store, version: None  # noqa: E731  # the fake worker has everything loaded
    return Parts(
        settings=settings,
        store=store,
        vllm=vllm,  # type: ignore[arg-type]
        answers=answers,
        comparing=comparing,
        facts=None,
        loop=LoopControls(store, settings, staged),
    )


@contextmanager
def running(parts: Parts, vllm: TalkingVllm, port: int | None = None) -> Iterator[Stage]:
    """Serve the app while the block runs."""
    port = port or free_port()
    config = uvicorn.Config(build_app(parts), host="127.0.0.1", port=port, log_level="warning")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 30
    while not server.started:
        if time.monotonic() > deadline or not thread.is_alive():
            raise RuntimeError("the app did not start")
        time.sleep(0.02)
    try:
        yield Stage(f"http://127.0.0.1:{port}", parts.store, vllm, parts)
    finally:
        server.should_exit = True
        thread.join(timeout=20)
        parts.store.close()
