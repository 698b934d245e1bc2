"""How a stage runs, whatever it trains: records, seals, and failures that say why."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from alignment.errors import ArtifactProblem, StageError
from alignment.methods.registry import stage_function
from alignment.run import main
from alignment.stage import runner
from alignment.stage.artifact import Manifest, is_complete, read_manifest, verify
from alignment.stage.spec import Progress, StageSpec
from tests.alignment.builders import vote
from tests.alignment.compiled import write_compiled


def well(spec: StageSpec, progress: Progress) -> dict[str, Any]:
    """A stage that writes one file and reports two steps."""
    for step in (1, 2):
        progress({"step": step, "steps": 2, "loss": 0.5 / step})
    (spec.out / "adapter_model.safetensors").write_bytes(b"weights")
    return {"loss": 0.25}


def diverges(spec: StageSpec, progress: Progress) -> dict[str, Any]:
    progress({"step": 1, "steps": 2, "loss": 0.5})
    progress({"step": 2, "steps": 2, "loss": float("nan")})
    raise AssertionError("a loss that is no number must end the stage")


def pickles(spec: StageSpec, progress: Progress) -> dict[str, Any]:
    (spec.out / "model.bin").write_bytes(b"code")
    return {}


def no_room(spec: StageSpec, progress: Progress) -> dict[str, Any]:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def crashes(spec: StageSpec, progress: Progress) -> dict[str, Any]:
    raise RuntimeError("the tensor is on fire")


def run_stage(spec: StageSpec, listener: Progress | None = None) -> Manifest:
    """The stage of this module that the spec names."""
    functions = {function.__name__: function for function in (well, diverges, pickles, no_room, crashes)}
    return runner.run_stage(functions[spec.stage], spec, listener)


@pytest.fixture
def spec(tmp_path: Path) -> StageSpec:
    judgements = [vote(1)]
    manifest = write_compiled(judgements, tmp_path / "data", watermark=1)
    return StageSpec("well", tmp_path / "data", "model", tmp_path / "out", {"beta": 0.1}, 3, None, manifest.hash)


def other(spec: StageSpec, stage: str) -> StageSpec:
    return StageSpec.from_json(spec.to_json().replace('"stage": "well"', f'"stage": "{stage}"'))


def test_a_finished_stage_leaves_a_sealed_folder(spec: StageSpec) -> None:
    heard: list[Mapping[str, Any]] = []
    manifest = run_stage(spec, heard.append)
    assert verify(spec.out) == manifest
    assert set(manifest.files) == {"adapter_model.safetensors"}
    assert manifest.metrics["loss"] == 0.25
    assert manifest.spec == json.loads(spec.to_json())
    lines = [json.loads(line) for line in (spec.out / "progress.jsonl").read_text().splitlines()]
    assert [line["number"] for line in lines] == [1, 2]
    assert lines == heard


def test_a_loss_that_is_no_number_ends_the_stage_with_a_reason(spec: StageSpec) -> None:
    with pytest.raises(StageError, match="diverges ended at step 2 because its loss is nan"):
        run_stage(other(spec, "diverges"))
    assert not is_complete(spec.out)
    assert len((spec.out / "progress.jsonl").read_text().splitlines()) == 1


def test_pickled_weights_are_refused(spec: StageSpec) -> None:
    with pytest.raises(ArtifactProblem, match="safetensors only"):
        run_stage(other(spec, "pickles"))
    assert not is_complete(spec.out)


def test_a_full_disk_is_named(spec: StageSpec) -> None:
    with pytest.raises(StageError, match="No space left on device"):
        run_stage(other(spec, "no_room"))


def test_a_stage_that_does_not_exist_is_named_with_those_that_do() -> None:
    with pytest.raises(StageError, match="no stage called 'alchemy'; the stages are pretrain, sft, dpo,"):
        stage_function("alchemy")


def test_a_changed_dataset_is_refused(spec: StageSpec) -> None:
    (spec.data / "pairs.jsonl").write_text("")
    with pytest.raises(StageError, match="changed after the snapshot"):
        run_stage(spec)


def test_a_finished_folder_is_never_written_again(spec: StageSpec) -> None:
    run_stage(spec)
    with pytest.raises(StageError, match="a folder of its own"):
        run_stage(spec)


@pytest.mark.parametrize("damage", ["change", "remove", "add", "unseal"])
def test_an_artifact_that_was_touched_does_not_verify(spec: StageSpec, damage: str) -> None:
    run_stage(spec)
    weights = spec.out / "adapter_model.safetensors"
    match damage:
        case "change":
            weights.write_bytes(b"others")
        case "remove":
            weights.unlink()
        case "add":
            (spec.out / "tokenizer.json").write_text("{}")
        case _:
            (spec.out / "COMPLETE").write_text("0" * 64)
    with pytest.raises(ArtifactProblem):
        verify(spec.out)


def test_logs_of_the_runner_are_no_part_of_the_artifact(spec: StageSpec) -> None:
    run_stage(spec)
    (spec.out / "log.txt").write_text("more")
    assert verify(spec.out).stage == "well"


def test_a_folder_without_an_artifact_is_named(tmp_path: Path) -> None:
    assert not is_complete(tmp_path)
    with pytest.raises(ArtifactProblem, match=r"has no manifest\.json"):
        read_manifest(tmp_path)


def child(spec: StageSpec, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    path = tmp_path / "spec.json"
    path.write_text(spec.to_json())
    return subprocess.run(
        [sys.executable, "-m", "alignment.run", str(path)], capture_output=True, text=True, timeout=60, check=False
    )


def test_a_failed_child_says_why_in_a_file_and_nothing_on_standard_output(spec: StageSpec, tmp_path: Path) -> None:
    done = child(other(spec, "grpo"), tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    message = json.loads((spec.out / "error.json").read_text())["message"]
    assert message.startswith("There is no stage called 'grpo'; the stages are")


def test_a_spec_that_is_none_is_wrong_usage(tmp_path: Path) -> None:
    (tmp_path / "spec.json").write_text("{}")
    done = subprocess.run(
        [sys.executable, "-m", "alignment.run", str(tmp_path / "spec.json")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "is not a stage's spec" in done.stderr
    assert main([]) == 2


def test_a_child_dies_with_its_parent() -> None:
    inner = (
        "from alignment.processes import die_with_parent; die_with_parent(); print('up', flush=True)\n"
        "import time; time.sleep(60)"
    )
    outer = (
        "import subprocess, sys\n"
        f"child = subprocess.Popen([sys.executable, '-c', {inner!r}], stdout=subprocess.PIPE)\n"
        "child.stdout.readline()\n"
        "print(child.pid, flush=True)\n"
        "child.wait()\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", outer], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and alive(pid):
        time.sleep(0.02)
    assert not alive(pid)


def alive(pid: int) -> bool:
    """Whether the process runs; a zombie waiting for its reaper does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
