"""A stage is one process: several would train a model each and seal one of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from alignment.errors import StageError
from alignment.methods.registry import CARDS, run_stage
from alignment.stage.single_process import SIZES, check_alone
from alignment.stage.spec import StageSpec
from tests.alignment.tiny_model import make_tiny_model

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize("name", SIZES)
@pytest.mark.parametrize("stage", CARDS)
def test_every_stage_refuses_company_before_it_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str, name: str
) -> None:
    monkeypatch.setenv(name, "2")
    with pytest.raises(StageError, match=rf"{stage} was started as 2 processes \({name}=2\)"):
        run_stage(StageSpec(stage, tmp_path, "model", tmp_path / "out"))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("alone", [{}, {"WORLD_SIZE": "1"}, {"WORLD_SIZE": ""}, {"PMI_SIZE": "auto"}])
def test_one_process_is_alone(alone: Mapping[str, str]) -> None:
    check_alone("dpo", alone)


@pytest.mark.slow
@pytest.mark.parametrize("through", ["alignment.run", "feedback_app"])
def test_torchrun_with_two_processes_leaves_no_artifact(tmp_path: Path, through: str) -> None:
    model = make_tiny_model(tmp_path / "model")
    data, out = tmp_path / "data", tmp_path / "out"
    data.mkdir()
    pairs = [{"prompt": f"Q{i}?", "chosen": f"Yes {i}.", "rejected": "No."} for i in range(8)]
    (data / "pairs.jsonl").write_text("".join(f"{json.dumps(pair)}\n" for pair in pairs))
    if through == "alignment.run":
        spec = tmp_path / "spec.json"
        spec.write_text(StageSpec("dpo", data, str(model), out, {"epochs": 1, "dtype": "fp32"}).to_json())
        words = [through, str(spec)]
    else:
        words = [through, "train", "dpo", "--data", str(data), "--model", str(model), "--out", str(out)]
        words += ["--set", "epochs=1"]
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", "0", "-m", *words],
        env={**os.environ, "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": ""},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode != 0
    assert "dpo was started as 2 processes (WORLD_SIZE=2)" in done.stdout + done.stderr
    assert not (out / "COMPLETE").exists()
    assert not (out / "adapter_model.safetensors").exists()
