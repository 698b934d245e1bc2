"""A worker as a process of its own, to be killed: `worker_process.py DATABASE HOME VLLM_URL MODE`.

Everything is real but the sampler and the training (`fake_stage.py` in this mode). Leases are short, so
that a test need not wait long for the next worker. While the file `wait` is in HOME, evaluations do not end.
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from alignment.processes import die_with_parent
from feedback_app.loop import worker as module
from feedback_app.settings import Settings, TrainOn
from feedback_app.store.database import open_store
from serving.client import VllmClient
from tests.feedback_app.loop.parts import FakeFacts, FakeSampler, launcher


class Waiting(FakeSampler):
    """Answers once nobody holds it back any more."""

    def __init__(self, home: Path) -> None:
        super().__init__()
        self._home = home

    def sample(self, version: str, prompts: Any, sampling: Any) -> Any:
        (self._home / "asked").touch()
        while (self._home / "wait").exists():
            time.sleep(0.02)
        return super().sample(version, prompts, sampling)


async def main(database: str, home: Path, vllm_url: str, mode: str) -> None:
    module.LEASE_S, module.RENEW_S = 2.0, 0.4
    settings = Settings(
        home=home, evaluation_prompts=8, train_on=TrainOn.ELSEWHERE, train_launcher=launcher(mode), votes=8
    )
    client = VllmClient(vllm_url)
    await module.Worker(open_store(database), settings, [client], Waiting(home), FakeFacts()).run()


if __name__ == "__main__":
    die_with_parent()
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), sys.argv[3], sys.argv[4]))
