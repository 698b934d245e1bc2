"""Another's adapter is never taken for ours, and a damaged one is noticed: people are answered by the last good one."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from alignment.stage.artifact import finish
from feedback_app.collect.generate import served
from feedback_app.errors import Unavailable
from feedback_app.heartbeat import WORKER
from feedback_app.loop.fallback import alarms, fall_back, target
from feedback_app.loop.publish import previous_version, promote, rollback
from feedback_app.loop.reconcile import CHECK_AGAIN_S, FAILURES, OTHER_MODEL, RETRY_S, Reconcile
from feedback_app.store.database import Store, open_store
from feedback_app.store.tables import Version
from serving.errors import VllmError, VllmUnreachable
from tests.fakes import Clock, FakeVllm
from tests.feedback_app.loop.parts import held_round, real_adapter, serve_base, write_adapter

WEIGHTS = "adapter_model.safetensors"


@dataclass
class Home:
    """One installation: its database, its versions' files, and the worker's duties on a vLLM."""

    store: Store
    folder: Path
    vllm: FakeVllm
    duty: Reconcile

    def publish(self, name: str, says: str = "") -> Version:
        version = real_adapter(self.store, self.folder, name, says=says)
        self.store.versions.publish(name, "operator")
        return version

    async def look(self) -> None:
        """What the worker does every two seconds."""
        await self.duty.once()
        fall_back(self.store, self.duty.refused, self.duty.loaded)
        self.store.heartbeats.beat(WORKER, self.duty.state())

    def meaning(self) -> str:
        published = self.store.versions.published()
        assert published is not None
        return published.version

    def said_by(self) -> str:
        """The folder of what vLLM answers people with."""
        return self.vllm.loaded[served(self.store).model]


def new_home(folder: Path, vllm: FakeVllm, clock: Clock) -> Home:
    store = open_store(f"sqlite:///{folder / 'alignloop.db'}", clock)
    serve_base(store)
    return attend(store, folder, vllm)


def attend(store: Store, folder: Path, vllm: FakeVllm) -> Home:
    duty = Reconcile(
        store,
        [vllm],  # type: ignore[list-item]
        home=folder,
        clock=store.now,
        engine=lambda: "cpu",
        instead=lambda refused: target(store, refused),
    )
    return Home(store, folder, vllm, duty)


@pytest.fixture
def home(tmp_path: Path, vllm: FakeVllm, clock: Clock) -> Home:
    return new_home(tmp_path / "one", vllm, clock)


# A: others on the same vLLM


async def test_two_homes_on_one_vllm_are_each_answered_by_their_own_adapter(
    home: Home, tmp_path: Path, vllm: FakeVllm, clock: Clock
) -> None:
    other = new_home(tmp_path / "two", vllm, clock)
    ours, theirs = home.publish("policy-0001", "warm"), other.publish("policy-0001", "brief")
    for one in (home, other):
        await one.look()
    assert home.said_by() == ours.path
    assert other.said_by() == theirs.path
    # The first of them goes on: what it no longer needs is unloaded, its namesake stays.
    home.publish("policy-0002")
    for _ in range(3):
        await home.look()
        clock.pass_s(CHECK_AGAIN_S)
    assert ours.path not in vllm.loaded.values()
    assert theirs.path in vllm.loaded.values()
    assert other.said_by() == theirs.path


async def test_a_copy_of_a_home_has_adapters_of_its_own(home: Home, tmp_path: Path, vllm: FakeVllm) -> None:
    """The same artifact under the same name in another folder."""
    ours = home.publish("policy-0001")
    copied = Version.model_validate({**ours.model_dump(), "path": str(tmp_path / "two" / "policy-0001")})
    assert copied.served_name != ours.served_name


async def test_our_name_held_from_another_folder_is_refused_and_left_alone(
    home: Home, vllm: FakeVllm, clock: Clock
) -> None:
    version = home.publish("policy-0001")
    vllm.loaded[version.served_name] = "/elsewhere/policy-0001"
    for _ in range(3):
        await home.look()
        clock.pass_s(CHECK_AGAIN_S)
    assert vllm.loaded == {version.served_name: "/elsewhere/policy-0001"}
    assert home.meaning() == "base"
    assert any("/elsewhere/policy-0001, which is not this home's" in alarm for alarm in alarms(home.store))


async def test_a_name_that_somebody_takes_while_we_load_is_not_ours(home: Home, vllm: FakeVllm) -> None:
    version = home.publish("policy-0001")

    async def load(name: str, path: str) -> None:
        vllm.loaded[name] = "/elsewhere/policy-0001"  # and vLLM says "already loaded", which is no error

    vllm.load = load  # type: ignore[method-assign]
    await home.look()
    assert "policy-0001" not in home.duty.loaded
    assert "not this home's" in home.duty.refused["policy-0001"]
    assert version.served_name in vllm.loaded


async def test_a_database_against_a_living_vllm_starts_from_nothing(home: Home, vllm: FakeVllm, clock: Clock) -> None:
    """A restored database: what its vLLM has loaded meanwhile is looked at again, and only that."""
    version = home.publish("policy-0001", "warm")
    await home.look()
    (home.folder / "policy-0001" / WEIGHTS).write_bytes(b"other weights")
    again = attend(home.store, home.folder, vllm)
    await again.look()
    assert "policy-0001" not in again.duty.loaded
    assert "changed after training" in again.duty.refused["policy-0001"]
    assert version.served_name in vllm.loaded, "a request may still need it"


async def test_a_vllm_with_another_base_is_not_used_at_all(tmp_path: Path, clock: Clock) -> None:
    vllm = FakeVllm(weights="c" * 64, root="/models/another")
    home = new_home(tmp_path / "one", vllm, clock)
    version = home.publish("policy-0001")
    vllm.loaded[version.served_name] = version.path
    (replica,) = await home.duty.once()
    assert (replica.state, replica.loaded) == (OTHER_MODEL, ())
    assert (
        "does not serve this home's model, /versions/base: it does not answer to base-bbbbbbbbbbbb" in replica.problem
    )
    assert "/models/another" in replica.problem
    clock.pass_s(CHECK_AGAIN_S)
    await home.look()
    assert vllm.loaded == {version.served_name: version.path}
    assert alarms(home.store) == [replica.problem]
    with pytest.raises(Unavailable, match="does not serve this home's model"):
        await home.duty.ensure(version, timeout_s=5, poll_s=0.01)


# B: damage


def flip(folder: Path) -> None:
    data = bytearray((folder / WEIGHTS).read_bytes())
    data[-1] ^= 1
    (folder / WEIGHTS).write_bytes(bytes(data))


def truncate(folder: Path) -> None:
    data = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(data[: len(data) // 2])


def swap(folder: Path) -> None:
    """Another adapter under the right name, complete with its own manifest."""
    shutil.rmtree(folder)
    write_adapter(folder, "another")
    finish(folder, {"stage": "dpo"}, {}, {})


def configure(folder: Path) -> None:
    (folder / "adapter_config.json").write_text(json.dumps({"r": 1, "lora_alpha": 4096}))


DAMAGES = [flip, truncate, swap, configure, shutil.rmtree]


@pytest.mark.parametrize("damage", DAMAGES)
async def test_damaged_files_are_not_loaded_and_people_get_the_last_good_version(
    home: Home, vllm: FakeVllm, clock: Clock, damage: Callable[[Path], None]
) -> None:
    good = home.publish("policy-0001")
    await home.look()
    bad = home.publish("policy-0002")
    await home.look()
    damage(Path(bad.path))
    vllm.loaded.clear()  # vLLM starts again
    for _ in range(2):
        await home.look()
    assert home.meaning() == "policy-0001"
    assert home.said_by() == good.path
    assert bad.path not in vllm.loaded.values()
    published = home.store.versions.published()
    assert published is not None
    assert (published.reason, published.previous, published.person_id) == ("damaged", "policy-0002", None)
    (alarm,) = alarms(home.store)
    assert alarm.startswith("policy-0002 cannot be served: ")
    assert "promote policy-0001 to keep it" in alarm


async def test_files_that_change_under_a_loaded_version_are_noticed(home: Home) -> None:
    """vLLM reads them again from disk when it has many adapters."""
    version = home.publish("policy-0001")
    await home.look()
    flip(Path(version.path))
    for _ in range(2):
        await home.look()
    assert home.meaning() == "base"


async def test_the_next_good_one_is_looked_for_until_the_base(home: Home, vllm: FakeVllm) -> None:
    for number in (1, 2, 3):
        home.publish(f"policy-000{number}")
        await home.look()
    for number in (2, 3):
        flip(home.folder / f"policy-000{number}")
    vllm.loaded.clear()
    for _ in range(4):
        await home.look()
    assert home.meaning() == "policy-0001"
    flip(home.folder / "policy-0001")
    for _ in range(4):
        await home.look()
    assert home.meaning() == "base"
    assert len(home.store.versions.history()) == 1 + 3 + 2, "it settled, each time"


async def test_an_operator_undoes_it_once_the_files_are_restored_or_keeps_it(home: Home, tmp_path: Path) -> None:
    version = home.publish("policy-0001")
    await home.look()
    shutil.copytree(version.path, tmp_path / "backup")
    flip(Path(version.path))
    for _ in range(2):
        await home.look()
    assert home.meaning() == "base"
    assert previous_version(home.store) is None, "what is damaged is nothing to roll back to"
    ready = lambda store, version: None  # noqa: E731
    promote(home.store, "base", None, staged=ready)
    await home.look()
    assert not any("answers instead" in alarm for alarm in alarms(home.store))
    shutil.rmtree(version.path)
    shutil.copytree(tmp_path / "backup", version.path)
    promote(home.store, "policy-0001", None, staged=ready)
    await home.look()
    assert home.meaning() == "policy-0001"
    assert "policy-0001" in home.duty.loaded
    assert alarms(home.store) == []


async def test_a_roll_back_after_a_fall_goes_further_back(home: Home) -> None:
    for number in (1, 2):
        home.publish(f"policy-000{number}")
        await home.look()
    flip(home.folder / "policy-0002")
    for _ in range(2):
        await home.look()
    assert home.meaning() == "policy-0001"
    rollback(home.store, None, staged=lambda store, version: None)
    assert home.meaning() == "base"


async def test_what_vllm_holds_is_compared_with_what_it_first_answered(
    home: Home, vllm: FakeVllm, clock: Clock
) -> None:
    """The files are right, and what vLLM has loaded is something else: exchanged between our look and its own."""
    version = home.publish("policy-0001")
    await home.look()
    vllm.loaded.clear()
    vllm.voices[version.path] = 0.5
    for _ in range(2):
        await home.look()
    assert home.meaning() == "base"
    assert "answers differently than when it was first loaded, by 0.50 nats a token" in alarms(home.store)[0]
    assert version.served_name not in vllm.loaded, "nobody is answered by it"


async def test_while_it_serves_it_is_compared_now_and_then(home: Home, vllm: FakeVllm, clock: Clock) -> None:
    version = home.publish("policy-0001")
    await home.look()
    vllm.voices[version.path] = 0.5
    await home.look()
    assert home.meaning() == "policy-0001"
    clock.pass_s(CHECK_AGAIN_S)
    for _ in range(2):
        await home.look()
    assert home.meaning() == "base"


async def test_probabilities_that_are_no_numbers_are_refused_from_the_first(home: Home, vllm: FakeVllm) -> None:
    version = real_adapter(home.store, home.folder, "policy-0001")
    vllm.voices[version.path] = float("nan")
    home.store.versions.publish("policy-0001", "operator")
    with pytest.raises(Unavailable, match="not numbers"):
        await home.duty.ensure(version, timeout_s=5, poll_s=0.01)


async def test_noise_and_another_vllm_are_no_alarm(home: Home, vllm: FakeVllm) -> None:
    version = home.publish("policy-0001")
    await home.look()
    for release, voice in (("0.32.0", 0.03), ("0.33.0", 0.5), ("0.33.0", 0.52), ("0.32.0", 0.0)):
        vllm.loaded.clear()  # started again, perhaps another
        vllm.release, vllm.voices[version.path] = release, voice
        for _ in range(2):
            await home.look()
        assert home.meaning() == "policy-0001", f"vLLM {release} moved by {voice}"
        assert alarms(home.store) == []
    engines = ("0.32.0 cpu", "0.33.0 cpu")
    kept = [home.store.versions.fingerprint("policy-0001", engine) for engine in engines]
    assert kept[0] is not None
    assert kept[0] != kept[1]


async def test_an_upgrade_does_not_hide_that_files_changed(home: Home, vllm: FakeVllm) -> None:
    version = home.publish("policy-0001")
    await home.look()
    flip(Path(version.path))
    vllm.loaded.clear()
    vllm.release = "0.33.0"
    for _ in range(2):
        await home.look()
    assert home.meaning() == "base"
    assert home.store.versions.fingerprint("policy-0001", "0.33.0 cpu") is None


async def test_no_fingerprint_is_taken_of_files_exchanged_while_they_were_loaded(home: Home, vllm: FakeVllm) -> None:
    version = home.publish("policy-0001")
    loading = vllm.load

    async def load(name: str, path: str) -> None:
        flip(Path(path))
        await loading(name, path)

    vllm.load = load  # type: ignore[method-assign]
    for _ in range(2):
        await home.look()
    assert home.meaning() == "base"
    assert home.store.versions.fingerprint("policy-0001", "0.32.0 cpu") is None
    assert version.served_name not in vllm.loaded


async def test_a_healthy_vllm_that_fails_at_it_again_and_again_refuses_it(home: Home, vllm: FakeVllm) -> None:
    home.publish("policy-0001")

    async def load(name: str, path: str) -> None:
        raise VllmError(500, "LoRA rank 64 is greater than max_lora_rank 16.")

    vllm.load = load  # type: ignore[method-assign]
    for _ in range(FAILURES - 1):
        await home.look()
    assert home.meaning() == "policy-0001"
    for _ in range(2):
        await home.look()
    assert home.meaning() == "base"
    assert "rank 64" in alarms(home.store)[0]


async def test_a_vllm_that_goes_away_condemns_nothing(home: Home, vllm: FakeVllm) -> None:
    home.publish("policy-0001")
    await home.look()
    vllm.loaded.clear()

    async def probe(name: str) -> None:
        vllm.down = True
        raise VllmUnreachable("the connection broke")

    vllm.probe = probe  # type: ignore[method-assign]
    for _ in range(2 * FAILURES):
        vllm.down = False
        await home.look()
    assert home.meaning() == "policy-0001"
    assert home.duty.refused == {}


async def test_a_refused_version_is_tried_again_when_asked_or_after_a_while_and_not_before(
    home: Home, vllm: FakeVllm, clock: Clock
) -> None:
    version = home.publish("policy-0001")
    await home.look()
    vllm.loaded.clear()
    vllm.voices[version.path] = 0.5
    for _ in range(2):
        await home.look()
    home.store.versions.publish("policy-0001", "operator")
    tries: list[str] = []
    loading = vllm.load

    async def load(name: str, path: str) -> None:
        tries.append(name)
        await loading(name, path)

    vllm.load = load  # type: ignore[method-assign]
    await home.duty.once()
    assert tries == []
    clock.pass_s(1)
    home.store.heartbeats.beat("wanted:policy-0001", {})
    await home.duty.once()
    assert len(tries) == 1
    clock.pass_s(RETRY_S)
    vllm.voices.clear()
    await home.duty.once()
    assert len(tries) == 2
    assert "policy-0001" in home.duty.loaded


async def test_a_damaged_challenger_is_shown_to_nobody_and_stays_with_its_votes(home: Home, vllm: FakeVllm) -> None:
    turn = held_round(home.store, "policy-0001")
    await home.look()  # its folder was never there
    assert home.store.versions.challenger() is None
    kept = home.store.rounds.get(turn.id or 0)
    assert kept is not None
    assert kept.status == "held"
    assert kept.reasons[0].startswith("The vote was stopped: policy-0001 cannot be served: ")
    assert home.meaning() == "base"
    promoted = home.store.versions.get("policy-0001")
    assert promoted is not None
    assert promoted.state == "ready", "nothing was thrown away"


async def test_a_challenger_whose_opponent_fell_is_no_longer_voted_on(home: Home) -> None:
    served_now = home.publish("policy-0001")
    await home.look()
    turn = home.store.rounds.add("dpo", None, 0, {})
    real_adapter(home.store, home.folder, "policy-0002", turn, state="challenger")
    home.store.rounds.update(turn.id or 0, status="held", incumbent="policy-0001", version="policy-0002")
    flip(Path(served_now.path))
    for _ in range(2):
        await home.look()
    assert home.meaning() == "base"
    assert home.store.versions.challenger() is None


async def test_an_operators_flip_in_the_same_moment_is_not_undone(home: Home) -> None:
    home.publish("policy-0001")
    home.publish("policy-0002")
    kept = home.store.versions.publish("policy-0001", "damaged", instead_of="policy-0003")
    assert kept.version == home.meaning() == "policy-0002"


async def test_a_damaged_base_has_nothing_behind_it_and_is_an_alarm(home: Home, vllm: FakeVllm, clock: Clock) -> None:
    await home.look()
    vllm.voices[""] = 0.5
    clock.pass_s(CHECK_AGAIN_S)
    for _ in range(2):
        await home.look()
    assert home.meaning() == "base"
    (alarm,) = alarms(home.store)
    assert alarm.startswith("base cannot be served: what vLLM holds answers differently")
