"""A worker with everything around it: real store and child processes; vLLM and training are fakes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from feedback_app.loop.rounds import start_round
from feedback_app.loop.worker import Worker
from feedback_app.settings import Settings, TrainOn
from feedback_app.store.database import Store
from feedback_app.store.tables import Round
from tests.fakes import FakeVllm
from tests.feedback_app.loop.parts import FakeFacts, FakeSampler, compared, launcher

PAIRS = 8


class Bench:
    """A worker with everything around it."""

    def __init__(self, store: Store, home: Path, **settings: Any) -> None:
        self.store, self.home = store, home
        self.vllm, self.sampler = FakeVllm(), FakeSampler()
        self.mode = settings.pop("mode", "quick")
        self.settings = Settings(
            home=home,
            votes=8,
            capability_questions=settings.pop("capability_questions", 600),
            evaluation_prompts=8,
            train_on=TrainOn.ELSEWHERE,
            train_launcher=launcher(self.mode),
            **settings,
        )
        self.worker = self.new_worker()

    def new_worker(self) -> Worker:
        return Worker(self.store, self.settings, [self.vllm], self.sampler, FakeFacts())  # type: ignore[list-item]

    async def begin(self, pairs: int = PAIRS) -> None:
        await self.worker.begin()
        person = self.store.people.add("ann", "annotator", "")
        for number in range(pairs):
            compared(self.store, person, number)

    def start(self, **more: Any) -> int:
        turn = start_round(self.store, "dpo", **more)
        assert turn.id is not None
        return turn.id

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """The worker's `run` in the background."""
        task = asyncio.create_task(self.worker.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def until(self, true: Callable[[], object], timeout_s: float = 60.0) -> None:
        """Look again and again, like a page does."""
        async with asyncio.timeout(timeout_s):
            while not true():  # noqa: ASYNC110
                await asyncio.sleep(0.02)

    def get(self, round_id: int) -> Round:
        turn = self.store.rounds.get(round_id)
        assert turn is not None
        return turn

    def meaning(self) -> str:
        published = self.store.versions.published()
        assert published is not None
        return published.version
