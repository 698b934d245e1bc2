"""The model we start from as a version, and artifacts that become versions."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from feedback_app.loop.versions import register_artifact, register_model
from feedback_app.store.database import Store
from feedback_app.store.tables import Round, Version
from tests.feedback_app.builders import add_version
from tests.feedback_app.loop.parts import FakeFacts, made_by


def meaning(store: Store) -> tuple[str, str]:
    published = store.versions.published()
    assert published is not None
    return published.version, published.reason


def test_the_first_start_registers_and_publishes_the_model_once(sqlite_store: Store) -> None:
    for _ in range(2):
        base = register_model(sqlite_store, "/models/a", FakeFacts())
    assert (base.name, base.form, base.base_hash) == ("base", "full", "b" * 64)
    assert base.served_name == f"base-{base.base_hash[:12]}"
    assert meaning(sqlite_store) == ("base", "first")
    assert len(sqlite_store.versions.history()) == 1


def test_workers_that_start_at_once_register_one_model(sqlite_store: Store) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: register_model(sqlite_store, "/models/a", FakeFacts()).name, range(8)))
    assert found == ["base"] * 8
    assert [version.name for version in sqlite_store.versions.listing()] == ["base"]
    assert len(sqlite_store.versions.history()) == 1


def test_another_model_is_a_new_base_and_old_versions_cannot_be_loaded(sqlite_store: Store) -> None:
    register_model(sqlite_store, "/models/a", FakeFacts())
    add_version(sqlite_store, "policy-0001", form="adapter")
    add_version(sqlite_store, "policy-0002", form="adapter", state="dropped")
    sqlite_store.versions.publish("policy-0001", "promoted")
    other = register_model(sqlite_store, "/models/b", FakeFacts(weights_hash="c" * 64))
    assert (other.name, other.path) == ("base-2", "/models/b")
    assert meaning(sqlite_store)[0] == "base-2"
    states = {version.name: version.state for version in sqlite_store.versions.listing()}
    assert states == {"base": "unloadable", "policy-0001": "unloadable", "policy-0002": "dropped", "base-2": "ready"}


def test_going_back_to_the_first_model_makes_its_versions_loadable_again(sqlite_store: Store) -> None:
    register_model(sqlite_store, "/models/a", FakeFacts())
    add_version(sqlite_store, "policy-0001", form="adapter")
    register_model(sqlite_store, "/models/b", FakeFacts(weights_hash="c" * 64))
    register_model(sqlite_store, "/models/a", FakeFacts())
    assert meaning(sqlite_store)[0] == "base"
    states = {version.name: version.state for version in sqlite_store.versions.listing()}
    assert states == {"base": "ready", "policy-0001": "ready", "base-2": "unloadable"}


@pytest.fixture
def turn(sqlite_store: Store) -> Round:
    """A round on a served base."""
    register_model(sqlite_store, "/models/a", FakeFacts())
    return sqlite_store.rounds.add("dpo", None, 0, {})


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    """A folder with an adapter's files."""
    folder = tmp_path / "attempt"
    folder.mkdir()
    (folder / "adapter_model.safetensors").write_bytes(b"weights")
    return folder


def register(store: Store, turn: Round, artifact: Path, home: Path) -> Version:
    base = store.versions.get("base")
    assert base is not None
    return register_artifact(store, turn, artifact, artifact_hash="h", base=base, parent="base", home=home)


def test_an_artifact_becomes_a_version_with_a_place_of_its_own(
    sqlite_store: Store, turn: Round, artifact: Path, tmp_path: Path
) -> None:
    version = register(sqlite_store, turn, artifact, tmp_path / "versions")
    assert (version.name, version.parent, version.round_id) == ("policy-0001", "base", turn.id)
    folder = Path(version.path)
    assert folder.is_absolute()
    assert (folder / "adapter_model.safetensors").read_bytes() == b"weights"
    assert re.fullmatch("policy-0001-[0-9a-f]{12}", version.served_name)


def test_registering_again_after_a_crash_finds_the_same_version(
    sqlite_store: Store, turn: Round, artifact: Path, tmp_path: Path
) -> None:
    first = register(sqlite_store, turn, artifact, tmp_path / "versions")
    assert register(sqlite_store, turn, artifact, tmp_path / "versions").name == first.name
    assert len(sqlite_store.versions.listing()) == 2


def test_a_folder_that_a_crash_left_is_never_used(
    sqlite_store: Store, turn: Round, artifact: Path, tmp_path: Path
) -> None:
    left = tmp_path / "versions" / "policy-0001"
    left.mkdir(parents=True)
    (left / "half").write_text("written")
    assert register(sqlite_store, turn, artifact, tmp_path / "versions").name == "policy-0002"
    assert (left / "half").read_text() == "written"


def test_a_name_is_not_used_again_after_its_version_was_dropped(
    sqlite_store: Store, turn: Round, artifact: Path, tmp_path: Path
) -> None:
    sqlite_store.rounds.request_cancel(turn.id)  # type: ignore[arg-type]
    made_by(sqlite_store, "policy-0001", turn, state="dropped")
    later = sqlite_store.rounds.add("dpo", None, 0, {})
    assert register(sqlite_store, later, artifact, tmp_path / "versions").name == "policy-0002"
