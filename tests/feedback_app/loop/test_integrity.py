"""A version's files, and the model that a vLLM was started with: a sentence where they are not what was registered."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from alignment.stage import artifact
from feedback_app.loop import integrity
from feedback_app.loop.integrity import Bases, Files, base_among, same_place
from feedback_app.store.database import Store
from feedback_app.store.tables import Version
from serving.client import ServedModel
from serving.model_check import check_model
from tests.alignment.tiny_model import make_tiny_model
from tests.feedback_app.loop.parts import real_adapter, write_adapter

WEIGHTS = "adapter_model.safetensors"


@pytest.fixture
def version(sqlite_store: Store, tmp_path: Path) -> Version:
    return real_adapter(sqlite_store, tmp_path, "policy-0001")


def test_files_are_read_again_only_when_they_changed_or_must_be(
    version: Version, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[Path] = []
    monkeypatch.setattr(integrity, "verify", lambda folder: reads.append(folder) or artifact.verify(folder))
    files = Files()
    for _ in range(3):
        assert files.problem(version) == ""
    assert len(reads) == 1
    assert files.problem(version, again=True) == ""
    assert len(reads) == 2


def test_a_change_that_keeps_size_and_time_is_seen(version: Version) -> None:
    files, weights = Files(), Path(version.path) / WEIGHTS
    assert files.problem(version) == ""
    before, data = weights.stat(), weights.read_bytes()
    weights.write_bytes(data[:-1] + b"!")
    os.utime(weights, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert "was changed after training" in files.problem(version)
    weights.write_bytes(data)
    assert files.problem(version) == ""


def test_a_whole_artifact_of_another_version_is_not_this_one(version: Version) -> None:
    folder = Path(version.path)
    shutil.rmtree(folder)
    write_adapter(folder, "another")
    artifact.finish(folder, {"stage": "dpo"}, {}, {})
    assert Files().problem(version) == (
        f"{folder} holds another artifact than the one that was registered as policy-0001."
    )


def test_a_milestone_is_its_weights(tmp_path: Path) -> None:
    write_adapter(tmp_path, "halfway")

    milestone = Version(
        name="milestone-0001-12-abcdef",
        kind="milestone",
        form="adapter",
        path=str(tmp_path),
        base_hash="b",
        artifact_hash=artifact.fingerprint(tmp_path / WEIGHTS)["sha256"],
        created_at=0.0,
    )
    assert Files().problem(milestone) == ""
    (tmp_path / WEIGHTS).write_text("other weights")
    assert "was changed after training" in Files().problem(milestone)
    (tmp_path / WEIGHTS).unlink()
    assert "cannot be read" in Files().problem(milestone)


def test_the_served_name_carries_what_the_files_and_the_folder_are(version: Version) -> None:
    others = [
        Version.model_validate({**version.model_dump(), **change})
        for change in ({}, {"artifact_hash": "other"}, {"path": "/elsewhere"}, {"name": "policy-0002"})
    ]
    assert others[0].served_name == version.served_name
    assert len({other.served_name for other in others}) == len(others)


def test_a_base_is_known_by_its_hash_wherever_it_lies(tmp_path: Path) -> None:
    ours = make_tiny_model(tmp_path / "ours")
    base = Version(
        name="base",
        kind="base",
        form="full",
        path=str(ours),
        base_hash=check_model(str(ours)).weights_hash,
        created_at=0.0,
    )
    assert base_among([Version.model_validate({**base.model_dump(), "state": "unloadable"}), base]) is base
    here, away = "http://127.0.0.1:1", "http://10.0.0.5:8000"

    def problem(root: Path | str, url: str = here) -> str:
        return Bases().problem(url, {base.served_name: ServedModel(base.served_name, None, 512, str(root))}, base)

    moved = shutil.copytree(ours, tmp_path / "moved")
    shutil.copytree(ours, tmp_path / "spoilt")
    with (tmp_path / "spoilt" / "model.safetensors").open("ab") as file:
        file.write(b"!")
    assert [problem(root) for root in (ours, moved, "org/model", "")] == [""] * 4
    assert "which is another model than this home's" in problem(tmp_path / "spoilt")
    assert problem(tmp_path / "spoilt", away) == "", "a folder of another machine is not looked at here"
    adapter = {base.served_name: ServedModel(base.served_name, "base", None, "/x")}
    assert "does not answer to" in Bases().problem(here, adapter, base), "an adapter of that name is no base"


@pytest.mark.parametrize(("one", "other", "same"), [("/a/b", "/a/b/", True), ("/a/b", "/a/c", False)])
def test_places_are_compared_as_paths(one: str, other: str, same: bool) -> None:
    assert same_place(one, other) is same
