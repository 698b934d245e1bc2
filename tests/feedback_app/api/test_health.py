"""Readiness says which part is missing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest

from feedback_app.api import health
from feedback_app.api.health import PROBE, WriteProbe

if TYPE_CHECKING:
    from feedback_app.store.database import Store
    from tests.fakes import Clock
    from tests.feedback_app.api.conftest import Site


async def get(site: Site, path: str) -> tuple[int, dict[str, Any]]:
    async with httpx.AsyncClient(trust_env=False) as client:
        reply = await client.get(site.url + path)
    return reply.status_code, reply.json()


async def test_ready_needs_vllm_and_the_published_version(site: Site) -> None:
    assert await get(site, "/readyz") == (200, {"ready": True, "version": "policy-0001", "waiting_for": ""})
    del site.fake.adapters["policy-0001"]
    status, state = await get(site, "/readyz")
    assert (status, state["waiting_for"]) == (503, "vLLM has not loaded policy-0001 yet.")
    site.fake.healthy = False
    status, state = await get(site, "/readyz")
    assert status == 503
    assert "vLLM is starting" in state["waiting_for"]
    assert await get(site, "/healthz") == (200, {"alive": True})


def test_a_probe_is_a_commit_and_is_not_repeated_however_often_it_is_asked(
    sqlite_store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    probe = WriteProbe(sqlite_store)
    assert probe.refusal() == ""
    [first] = sqlite_store.beats.all()
    assert (first.name, first.at) == (PROBE, clock.now)
    clock.pass_s(1)
    monkeypatch.setattr("feedback_app.store.reservations.SPARE_BYTES", 2**70)
    assert probe.refusal() == ""
    assert [beat.at for beat in sqlite_store.beats.all()] == [first.at]
    monkeypatch.setattr(health, "PROBE_EVERY_S", 0.0)
    assert "disk of the database is full" in probe.refusal()
