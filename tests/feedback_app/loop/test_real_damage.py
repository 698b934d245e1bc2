"""Others on the same vLLM, and damaged adapters, with vLLM itself on a tiny random model and real files."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from alignment.stage.artifact import finish
from feedback_app.collect.generate import served
from feedback_app.errors import Unavailable
from feedback_app.heartbeat import WORKER
from feedback_app.loop import fingerprint
from feedback_app.loop.fallback import alarms, fall_back, target
from feedback_app.loop.publish import promote
from feedback_app.loop.reconcile import OTHER_MODEL, Reconcile
from feedback_app.loop.versions import register_model
from feedback_app.store.database import Store, open_store
from feedback_app.store.tables import Version
from serving.client import VllmClient
from serving.group import members
from serving.model_check import check_model
from tests.alignment.tiny_model import make_tiny_model
from tests.feedback_app.loop.parts import FakeFacts
from tests.serving.conftest import make_adapter
from tests.serving.real import START_S, RealVllm, base_names, real_vllm
from tests.waiting import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
WEIGHTS = "adapter_model.safetensors"


@pytest.fixture(scope="module")
def vllm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealVllm]:
    model = make_tiny_model(tmp_path_factory.mktemp("model") / "llama", window=512)
    with real_vllm(model, tmp_path_factory.mktemp("vllm"), served_names=base_names(model)) as real:
        yield real


@pytest.fixture(scope="module")
def adapters(vllm: RealVllm, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three different adapters of the model, as training leaves them."""
    root = tmp_path_factory.mktemp("adapters")
    return [make_adapter(vllm.model, root / str(seed), seed) for seed in range(3)]


class Home:
    """One installation on a real vLLM."""

    def __init__(self, folder: Path, vllm: RealVllm, client: VllmClient) -> None:
        self.folder, self.client = folder, client
        self.store: Store = open_store(f"sqlite:///{folder / 'alignloop.db'}")
        self.base = register_model(self.store, str(vllm.model), check_model(str(vllm.model)))
        self.restart()

    def restart(self) -> None:
        """A new worker, which remembers nothing."""
        self.duty = Reconcile(
            self.store,
            [self.client],
            home=self.folder,
            request_deadline_s=0.0,
            engine=lambda: "cpu",
            instead=lambda refused: target(self.store, refused),
        )

    def publish(self, name: str, adapter: Path) -> Version:
        folder = (self.folder / name).resolve()
        shutil.copytree(adapter, folder)
        version = Version(
            name=name,
            kind="aligned",
            form="adapter",
            path=str(folder),
            base_hash=self.base.base_hash,
            artifact_hash=finish(folder, {"stage": "dpo"}, {}, {}).hash,
            parent=self.base.name,
            created_at=self.store.now(),
        )
        self.store.versions.add(version)
        self.store.versions.publish(name, "operator")
        return version

    async def look(self, times: int = 2) -> None:
        for _ in range(times):
            await self.duty.once()
            fall_back(self.store, self.duty.refused, self.duty.loaded)
            self.store.heartbeats.beat(WORKER, self.duty.state())

    async def says(self, model: str = "") -> str:
        """What people are answered now."""
        reply = await self.client.chat(
            {
                "model": model or served(self.store).model,
                "messages": [{"role": "user", "content": "Hello"}],
                "max_tokens": 16,
                "temperature": 0,
            }
        )
        return str(reply["choices"][0]["message"]["content"])

    def meaning(self) -> str:
        published = self.store.versions.published()
        assert published is not None
        return published.version


@pytest.fixture
async def make(vllm: RealVllm, tmp_path: Path) -> AsyncIterator[Callable[[str], Home]]:
    """Makes homes, and leaves the vLLM as it was."""
    async with VllmClient(vllm.url, timeout_s=120) as client:
        yield lambda name: Home(_folder(tmp_path / name), vllm, client)
        for model in await client.models():
            if model.parent is not None:
                await client.unload(model.name)


def _folder(path: Path) -> Path:
    path.mkdir()
    return path


async def test_two_homes_with_the_same_version_number_share_a_vllm(
    make: Callable[[str], Home], adapters: list[Path]
) -> None:
    one, two = make("one"), make("two")
    one.publish("policy-0001", adapters[0])
    two.publish("policy-0001", adapters[1])
    await one.look()
    alone = await one.says()
    await two.look()
    said = await two.says()
    assert len({alone, said, await one.says("base")}) == 3
    one.publish("policy-0002", adapters[2])
    await one.look(3)  # unloads its first one at once: no request may live longer than 0 s here
    assert len([model for model in await one.client.models() if model.parent is not None]) == 2
    assert await two.says() == said
    await two.look()
    assert (await one.says(), await two.says()) == (await one.says(), said)
    assert (alarms(one.store), alarms(two.store)) == ([], [])


def flip(folder: Path) -> None:
    data = bytearray((folder / WEIGHTS).read_bytes())
    data[-3] ^= 0x40
    (folder / WEIGHTS).write_bytes(bytes(data))


def truncate(folder: Path) -> None:
    os.truncate(folder / WEIGHTS, (folder / WEIGHTS).stat().st_size // 2)


@pytest.mark.parametrize("damage", [flip, truncate, shutil.rmtree])
async def test_a_damaged_adapter_falls_back_and_comes_back(
    make: Callable[[str], Home], adapters: list[Path], damage: Callable[[Path], None]
) -> None:
    home = make("home")
    home.publish("policy-0001", adapters[0])
    await home.look()
    good = await home.says()
    version = home.publish("policy-0002", adapters[1])
    await home.look()
    better = await home.says()
    shutil.copytree(version.path, home.folder / "backup")
    damage(Path(version.path))
    home.restart()
    await home.look()
    assert home.meaning() == "policy-0001"
    assert await home.says() == good != better
    assert alarms(home.store)[0].startswith("policy-0002 cannot be served: ")
    shutil.rmtree(version.path, ignore_errors=True)
    shutil.copytree(home.folder / "backup", version.path)
    promote(home.store, "policy-0002", None, staged=lambda store, version: None)
    await home.look()
    assert await home.says() == better
    assert alarms(home.store) == []


async def test_weights_exchanged_behind_the_hashes_are_noticed_by_what_they_answer(
    make: Callable[[str], Home], adapters: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    home = make("home")
    version = home.publish("policy-0001", adapters[0])
    await home.look()
    await home.client.unload(version.served_name)
    loading = home.client.load

    async def load(name: str, path: str) -> None:
        own = Path(path) / WEIGHTS
        kept = own.read_bytes()
        own.write_bytes((adapters[1] / WEIGHTS).read_bytes())
        await loading(name, path)
        own.write_bytes(kept)

    monkeypatch.setattr(home.client, "load", load)
    await home.look()
    assert home.meaning() == "base"
    assert "answers differently than when it was first loaded" in alarms(home.store)[0]
    assert [model.name for model in await home.client.models() if model.parent is not None] == []


async def test_an_adapter_of_no_numbers_never_reaches_vllm(make: Callable[[str], Home], adapters: list[Path]) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    """There it would make those of requests beside it no numbers either."""
    home = make("home")
    broken = shutil.copytree(adapters[0], home.folder / "broken")
    tensors = {name: torch.full_like(tensor, torch.nan) for name, tensor in load_file(broken / WEIGHTS).items()}
    save_file(tensors, broken / WEIGHTS)
    version = home.publish("policy-0001", broken)
    before = await home.says("base")
    with pytest.raises(Unavailable, match=r"policy-0001 cannot be served: .*not finite"):
        await home.duty.ensure(version, timeout_s=60, poll_s=0.1)
    await home.look()
    assert home.meaning() == "base"
    assert await home.says() == before
    assert [model.name for model in await home.client.models() if model.parent is not None] == []


async def test_a_home_of_another_model_leaves_this_vllm_alone(
    vllm: RealVllm, tmp_path: Path, adapters: list[Path]
) -> None:
    store = open_store(f"sqlite:///{tmp_path / 'alignloop.db'}")
    other = make_tiny_model(tmp_path / "other", window=256)
    register_model(store, str(other), FakeFacts())
    async with VllmClient(vllm.url, timeout_s=60) as client:
        (replica,) = await Reconcile(store, [client], home=tmp_path, clock=store.now).once()
        assert replica.state == OTHER_MODEL
        assert str(vllm.model) in replica.problem
        assert str(other) in replica.problem


async def test_noise_stays_far_below_the_tolerance_and_another_adapter_far_above(
    make: Callable[[str], Home], adapters: list[Path]
) -> None:
    home = make("home")
    names = []
    for number in range(3):
        names.append(home.publish(f"policy-000{number + 1}", adapters[number]).served_name)
        await home.look()
        await home.client.load(names[-1], str(home.folder / f"policy-000{number + 1}"))
    for number, name in enumerate(names):
        await home.client.load(name, str(home.folder / f"policy-000{number + 1}"))
    kept = home.store.versions.fingerprint("policy-0001", f"{await home.client.version()} cpu")
    assert kept is not None
    busy = [asyncio.create_task(home.says(name)) for name in [*names, "base"] * 4]
    apart = [await fingerprint.distance(home.client, names[0], kept) for _ in range(5)]
    await asyncio.gather(*busy)
    assert max(apart) < fingerprint.TOLERANCE / 2
    others = [await fingerprint.distance(home.client, name, kept) for name in [*names[1:], "base"]]
    assert min(others) > 2 * fingerprint.TOLERANCE


def engine_of(vllm: RealVllm) -> int:
    group = json.loads(vllm.pid_file.read_text())["group"]
    (engine,) = [pid for pid in members(group) if b"EngineCore" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    return engine


async def test_a_restart_of_vllm_is_no_alarm(make: Callable[[str], Home], adapters: list[Path], vllm: RealVllm) -> None:
    home = make("home")
    home.publish("policy-0001", adapters[0])
    await home.look()
    before = await home.says()
    restarts = vllm.supervisor.state().restarts
    os.kill(engine_of(vllm), signal.SIGKILL)
    await until(lambda: vllm.supervisor.state().restarts > restarts, 60)
    await home.look()
    await until(lambda: vllm.supervisor.state().name == "ready", START_S)
    await home.look()
    assert await home.says() == before
    assert (home.meaning(), alarms(home.store), home.duty.refused) == ("policy-0001", [], {})
    assert [publication.reason for publication in home.store.versions.history()] == ["operator", "first"]
