"""NaN and infinities in a safetensors file are found in every floating-point format."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from alignment.errors import ArtifactProblem
from alignment.stage.finite import not_finite

FORMATS = (torch.float64, torch.float32, torch.float16, torch.bfloat16)


@pytest.mark.parametrize("dtype", FORMATS)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_one_number_that_is_none_is_enough(tmp_path: Path, dtype: torch.dtype, value: float) -> None:
    bad = torch.ones(3, 5, dtype=dtype)
    bad[1, 2] = value
    path = tmp_path / "adapter_model.safetensors"
    save_file({"a": torch.zeros(4, dtype=torch.int64) - 1, "good": torch.full((7,), 6e4, dtype=dtype)}, path)
    assert not_finite(path) == ""
    save_file({"good": torch.full((7,), -6e4, dtype=dtype), "lora_B": bad}, path)
    assert not_finite(path) == "lora_B"


@pytest.mark.parametrize("data", [b"", b"\x08\0\0\0\0\0\0\0garbage!", b"\x0d\0\0\0\0\0\0\0[1, 2, 3, 4]  "])
def test_what_is_no_such_file_is_said(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "adapter_model.safetensors"
    path.write_bytes(data)
    with pytest.raises(ArtifactProblem, match="not a whole safetensors file"):
        not_finite(path)
