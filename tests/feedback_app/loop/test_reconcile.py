"""What vLLM has loaded follows from the database, whatever happened to vLLM meanwhile."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from feedback_app.errors import Unavailable
from feedback_app.heartbeat import WORKER
from feedback_app.loop.reconcile import Reconcile
from feedback_app.loop.wanted import ask_for, desired_versions
from feedback_app.store.database import Store
from feedback_app.store.tables import Version
from serving.errors import VllmError
from tests.fakes import Clock, FakeVllm
from tests.feedback_app.builders import add_version
from tests.feedback_app.loop.parts import held_round, made_by, serve_base

DEADLINE_S = 120.0


class Refusing(FakeVllm):
    """A vLLM that does not like an adapter."""

    async def load(self, name: str, path: str) -> None:
        raise VllmError(400, f"{name} has rank 64, at most 16")


def reconcile(store: Store, *replicas: FakeVllm, home: Path = Path("/versions"), seen_at: str = "") -> Reconcile:
    """Of versions without files; `test_integrity` and `test_damage` are about those."""
    return Reconcile(
        store,
        list(replicas),  # type: ignore[arg-type]
        home=home,
        seen_at=seen_at,
        request_deadline_s=DEADLINE_S,
        clock=store.now,
        files=lambda version, again=False: "",
    )


def publish_adapter(store: Store, name: str = "policy-0001") -> Version:
    version = add_version(store, name, form="adapter")
    store.versions.publish(name, "operator")
    return version


async def test_the_published_version_is_loaded_and_a_restart_of_vllm_loads_it_again(
    sqlite_store: Store, vllm: FakeVllm
) -> None:
    serve_base(sqlite_store)
    publish_adapter(sqlite_store)
    duty = reconcile(sqlite_store, vllm)
    assert (await duty.once())[0].loaded == ("policy-0001",)
    assert vllm.versions == {"policy-0001": "/versions/policy-0001"}
    vllm.loaded.clear()  # runtime adapters do not survive a restart
    await duty.once()
    assert "policy-0001" in vllm.versions


async def test_a_new_version_is_probed_before_it_counts_and_only_once(sqlite_store: Store, vllm: FakeVllm) -> None:
    version = publish_adapter(sqlite_store)
    probes: list[str] = []

    async def probe(name: str) -> None:
        probes.append(name)
        if len(probes) == 1:
            raise VllmError(500, "the adapter broke")

    vllm.probe = probe  # type: ignore[method-assign]
    duty = reconcile(sqlite_store, vllm)
    assert (await duty.once())[0].loaded == ()
    assert (await duty.once())[0].loaded == ("policy-0001",)
    await duty.once()
    assert probes == [version.served_name] * 2


async def test_the_base_answers_under_its_own_name_and_is_never_loaded(sqlite_store: Store, vllm: FakeVllm) -> None:
    serve_base(sqlite_store)
    assert (await reconcile(sqlite_store, vllm).once())[0].loaded == ("base",)
    assert vllm.loaded == {}


async def test_the_names_of_the_weights_vllm_was_started_with_are_never_unloaded(
    sqlite_store: Store, vllm: FakeVllm, clock: Clock
) -> None:
    add_version(sqlite_store, "base-2", form="full")
    vllm.loaded["base-2"] = "/models/second"  # vLLM lists its own name beside the adapters'
    publish_adapter(sqlite_store)
    duty = reconcile(sqlite_store, vllm)
    for _ in range(3):
        await duty.once()
        clock.pass_s(DEADLINE_S)
    assert "base-2" in vllm.loaded
    assert "policy-0001" in vllm.versions


async def test_challenger_and_the_version_of_a_running_round_are_wanted_too(
    sqlite_store: Store, vllm: FakeVllm
) -> None:
    serve_base(sqlite_store)
    held_round(sqlite_store, "policy-0001")
    turn = sqlite_store.rounds.add("dpo", None, 0, {})
    made_by(sqlite_store, "policy-0002", turn)
    sqlite_store.rounds.update(turn.id, version="policy-0002")  # type: ignore[arg-type]
    assert set(desired_versions(sqlite_store, sqlite_store.now())) == {"base", "policy-0001", "policy-0002"}


async def test_a_version_is_unloaded_only_after_a_requests_longest_life(
    sqlite_store: Store, vllm: FakeVllm, clock: Clock
) -> None:
    publish_adapter(sqlite_store, "policy-0001")
    duty = reconcile(sqlite_store, vllm)
    await duty.once()
    publish_adapter(sqlite_store, "policy-0002")
    await duty.once()
    clock.pass_s(DEADLINE_S - 1)
    await duty.once()
    assert set(vllm.versions) == {"policy-0001", "policy-0002"}
    clock.pass_s(1)
    await duty.once()
    assert set(vllm.versions) == {"policy-0002"}


async def test_a_version_that_is_wanted_again_starts_a_new_life(
    sqlite_store: Store, vllm: FakeVllm, clock: Clock
) -> None:
    publish_adapter(sqlite_store, "policy-0001")
    duty = reconcile(sqlite_store, vllm)
    await duty.once()
    publish_adapter(sqlite_store, "policy-0002")
    await duty.once()
    clock.pass_s(DEADLINE_S - 1)
    sqlite_store.versions.publish("policy-0001", "rollback")
    await duty.once()
    clock.pass_s(DEADLINE_S)
    sqlite_store.versions.publish("policy-0002", "operator")
    await duty.once()
    assert set(vllm.versions) == {"policy-0001", "policy-0002"}


async def test_adapters_that_are_not_ours_are_left_alone(sqlite_store: Store, vllm: FakeVllm, clock: Clock) -> None:
    serve_base(sqlite_store)
    vllm.loaded["somebody-elses"] = "/x"
    duty = reconcile(sqlite_store, vllm)
    await duty.once()
    clock.pass_s(10 * DEADLINE_S)
    await duty.once()
    assert "somebody-elses" in vllm.loaded


async def test_only_what_every_replica_answers_for_is_loaded(sqlite_store: Store) -> None:
    one, two = FakeVllm(), FakeVllm()
    two.base_url, two.down = "http://two", True
    publish_adapter(sqlite_store)
    duty = reconcile(sqlite_store, one, two)
    await duty.once()
    assert duty.state()["loaded"] == []
    assert [replica["state"] for replica in duty.state()["replicas"]] == ["ready", "unreachable"]
    two.down = False
    await duty.once()
    assert duty.state()["loaded"] == ["policy-0001"]


async def test_an_external_vllm_gets_the_path_as_it_sees_it(
    sqlite_store: Store, vllm: FakeVllm, tmp_path: Path
) -> None:
    sqlite_store.versions.add(
        Version(
            name="policy-0001",
            kind="aligned",
            form="adapter",
            path=str(tmp_path / "versions" / "policy-0001"),
            base_hash="b",
            created_at=0.0,
        )
    )
    sqlite_store.versions.publish("policy-0001", "operator")
    await reconcile(sqlite_store, vllm, home=tmp_path / "versions", seen_at="/mnt/adapters/").once()
    assert vllm.versions == {"policy-0001": "/mnt/adapters/policy-0001"}


async def test_ensure_says_why_a_version_is_refused(sqlite_store: Store) -> None:
    version = publish_adapter(sqlite_store)
    with pytest.raises(Unavailable, match="rank 64"):
        await reconcile(sqlite_store, Refusing()).ensure(version, timeout_s=5, poll_s=0.01)


async def test_ensure_waits_for_vllm_and_gives_up_after_its_time(sqlite_store: Store, vllm: FakeVllm) -> None:
    version = publish_adapter(sqlite_store)
    vllm.down = True
    with pytest.raises(Unavailable, match=r"within 0.05 s: .*Nothing answers"):
        await reconcile(sqlite_store, vllm).ensure(version, timeout_s=0.05, poll_s=0.01)


def test_asking_for_a_version_without_a_worker_is_refused_at_once(sqlite_store: Store, clock: Clock) -> None:
    version = publish_adapter(sqlite_store)
    with pytest.raises(Unavailable, match="alignloop worker"):
        ask_for(sqlite_store, version)
    sqlite_store.heartbeats.beat(WORKER, {"loaded": ["policy-0001"]})
    clock.pass_s(60)
    with pytest.raises(Unavailable, match="alignloop worker"):
        ask_for(sqlite_store, version)


def test_asking_for_a_version_makes_the_worker_want_it(sqlite_store: Store) -> None:
    publish_adapter(sqlite_store, "policy-0001")
    version = add_version(sqlite_store, "policy-0002", form="adapter")
    sqlite_store.heartbeats.beat(WORKER, {"loaded": ["policy-0001"]})
    asking = threading.Thread(target=ask_for, args=(sqlite_store, version), kwargs={"poll_s": 0.01})
    asking.start()
    try:
        while "policy-0002" not in desired_versions(sqlite_store, sqlite_store.now()):
            assert asking.is_alive()
            asking.join(0.01)
    finally:
        sqlite_store.heartbeats.beat(WORKER, {"loaded": ["policy-0001", "policy-0002"]})
        asking.join(10)
    assert not asking.is_alive()
