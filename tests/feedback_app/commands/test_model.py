"""`alignloop model`: what a home serves, and what exchanging it does to the versions."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from feedback_app.commands.app import app
from feedback_app.errors import Conflict, UsageError
from feedback_app.heartbeat import WORKER, Heart
from feedback_app.loop.versions import register_model
from feedback_app.processes.output import Output
from feedback_app.processes.preflight import prepare_model
from feedback_app.settings import Settings
from feedback_app.store.database import Store, open_store
from feedback_app.store.tables import Version

SHIPPED = Path(__file__).resolve().parents[3] / "data" / "model"


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """Another model: the shipped one with one weight changed."""
    folder = tmp_path / "other"
    shutil.copytree(SHIPPED, folder)
    with (folder / "model.safetensors").open("r+b") as file:
        file.seek(-1, 2)
        last = file.read(1)[0]
        file.seek(-1, 2)
        file.write(bytes([last ^ 1]))
    return folder


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home that was begun with `tiny` and serves `policy-0001`, named by the environment."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("ALIGNLOOP_HOME", str(home))
    for name in ("ALIGNLOOP_MODEL", "DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)
    settings = Settings(home=home)
    facts = prepare_model(settings)
    store = open_store(settings.database)
    register_model(store, settings.model_source, facts)
    store.versions.add(
        Version(
            name="policy-0001",
            kind="aligned",
            form="adapter",
            path="/versions/policy-0001",
            base_hash=facts.weights_hash,
            artifact_hash="hash",
            state="ready",
            created_at=store.now(),
        )
    )
    store.close()
    return home


def told(*words: str) -> dict[str, object]:
    """What `alignloop model … --json` prints; raises what the command raises."""
    said = io.StringIO()
    CliRunner().invoke(app, ["model", *words], obj=Output(True, said), catch_exceptions=False)
    found = json.loads(said.getvalue())
    assert isinstance(found, dict)
    return found


def states(store: Store) -> dict[str, str]:
    return {version.name: version.state for version in store.versions.listing()}


def test_a_model_is_exchanged_only_after_it_was_said_what_becomes_of_the_versions(home: Path, other: Path) -> None:
    with pytest.raises(Conflict, match=r"Trained on tiny.*policy-0001.*Add --yes"):
        told("use", str(other))
    assert Settings(home=home).model_name == "tiny"
    assert told("use", str(other), "--yes")["unloadable"] == ["policy-0001"]
    settings = Settings(home=home)
    assert settings.model_source == str(other)
    store = open_store(settings.database)
    register_model(store, settings.model_source, prepare_model(settings))
    assert states(store)["policy-0001"] == "unloadable"
    store.close()
    assert told("use", "tiny")["loadable_again"] == ["policy-0001"]
    assert told("show")["model"] == "tiny"


def test_a_model_that_is_none_leaves_the_home_as_it_was(home: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nowhere"):
        told("use", str(tmp_path / "nowhere"), "--yes")
    assert told("show")["begun_with"] == "tiny"


def test_a_home_that_runs_keeps_its_model(home: Path, other: Path) -> None:
    store = open_store(Settings(home=home).database)
    heart = Heart(store, WORKER, dict)
    heart.start()
    try:
        with pytest.raises(Conflict, match=r"running \(worker\)"):
            told("use", str(other), "--yes")
    finally:
        heart.end()
        store.close()


def test_a_variable_that_says_otherwise_is_named_first(
    home: Path, other: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALIGNLOOP_MODEL", "tiny")
    with pytest.raises(UsageError, match=r"ALIGNLOOP_MODEL names tiny\. Unset it first"):
        told("use", str(other), "--yes")
