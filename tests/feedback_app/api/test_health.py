"""Readiness says which part is missing."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from feedback_app.api import health
from feedback_app.api.health import PROBE, WriteProbe
from feedback_app.errors import Unavailable
from feedback_app.store.engine import unavailable
from serving.errors import VllmError

if TYPE_CHECKING:
    from feedback_app.store.database import Store
    from tests.fakes import Clock
    from tests.feedback_app.api.conftest import Site


async def get(site: Site, path: str, name: str = "") -> tuple[int, dict[str, Any]]:
    """What a stranger is told, or whoever holds this person's key."""
    headers = {"authorization": f"Bearer {site.keys[name]}"} if name else {}
    async with httpx.AsyncClient(trust_env=False) as client:
        reply = await client.get(site.url + path, headers=headers)
    return reply.status_code, reply.json()


async def test_ready_needs_vllm_and_the_published_version(site: Site) -> None:
    assert await get(site, "/readyz") == (200, {"ready": True, "version": "policy-0001", "waiting_for": ""})
    del site.fake.adapters[site.policy]
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
    probe.look()
    [first] = sqlite_store.heartbeats.all()
    assert (first.name, first.at) == (PROBE, clock.now)
    clock.pass_s(1)
    monkeypatch.setattr("feedback_app.store.reservations.SPARE_BYTES", 2**70)
    probe.look()
    assert [beat.at for beat in sqlite_store.heartbeats.all()] == [first.at]
    monkeypatch.setattr(health, "PROBE_EVERY_S", 0.0)
    with pytest.raises(Unavailable, match="disk of the database is full"):
        probe.look()


async def test_a_vllm_of_another_model_is_not_waited_for(site: Site) -> None:
    site.store.versions.publish("base", "rollback")
    assert (await get(site, "/readyz"))[0] == 200
    site.fake.bases = ("base",)
    status, state = await get(site, "/readyz")
    assert status == 503
    assert "does not serve this installation's model" in state["waiting_for"]


async def test_only_operators_are_told_addresses_and_an_errors_words(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.client.base_url = "http://10.1.2.3:9999"
    monkeypatch.setattr(site.client, "health", failing(VllmError(500, "Traceback: /srv/models/secret")))
    for name in ("", "chi", "ann"):
        status, state = await get(site, "/readyz", name)
        assert (status, state["waiting_for"]) == (503, "vLLM is starting or cannot be reached.")
        assert not re.search(r"secret|10\.1\.2\.3|Traceback", str(state))
    assert "/srv/models/secret" in (await get(site, "/readyz", "ope"))[1]["detail"]
    monkeypatch.setattr(site.client, "health", failing(None))
    assert "10.1.2.3:9999" in (await get(site, "/readyz", "ope"))[1]["detail"]
    assert "10.1.2.3" not in str(await get(site, "/readyz"))


async def test_a_database_that_is_away_tells_strangers_no_address_by_any_route(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> None:
        raise unavailable(Exception("connection to server at 10.1.2.3, port 5432 failed: user secret"))

    for part, name in ((site.store.versions, "published"), (site.store.people, "person_by_key")):
        monkeypatch.setattr(part, name, away)
    told = {
        "/readyz": await get(site, "/readyz"),
        "/readyz with a key": await get(site, "/readyz", "ope"),
        "/v1/models": await get(site, "/v1/models", "chi"),
    }
    for path, (status, state) in told.items():
        assert status == 503, path
        assert not re.search(r"10\.1\.2\.3|5432|secret|DATABASE_URL", str(state)), path
        assert "database cannot be reached" in str(state), path


def failing(error: Exception | None) -> Any:
    """vLLM's health when nothing answers, or this error."""

    async def health() -> bool:
        if error is not None:
            raise error
        return False

    return health
