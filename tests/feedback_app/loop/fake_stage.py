"""Stands where a launcher would: `fake_stage.py MODE python -m alignment.run SPEC`, without a training library.

Modes: `quick` writes an artifact; `slow` reports steps until it is killed, unless the file `go` appears
beside the spec; `slow-last` is slow in every stage but `reward`; `nan` reports a loss that is not a number;
`silent` ends well and leaves nothing; `falls` writes a checkpoint after each step and is killed at step 2, but
not once it goes on from one; `falls-always` is killed one step further each time; `slow-steps` is slow and
writes checkpoints.
It uses alignment's own runner, so progress, manifest, COMPLETE and errors are the real ones.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from alignment import run, stages
from alignment.checkpoints import CHECKPOINTS, newest, whole
from alignment.spec import StageSpec

MODE = sys.argv[1]
SPEC = sys.argv[-1]


def train(spec: StageSpec, progress: Callable[[Mapping[str, Any]], None]) -> dict[str, Any]:
    slow = MODE == "slow" or (MODE == "slow-last" and spec.stage != "reward")
    slow = slow or MODE == "slow-steps"
    steps = 100_000 if slow else 6 if MODE.startswith("falls") else 3
    found = newest(spec)
    for step in range(1 + (found.step if found else 0), steps + 1):
        progress({"step": step, "steps": steps, "loss": float("nan") if MODE == "nan" and step == 2 else 0.69})
        if MODE == "falls-always" or (MODE == "falls" and found is None):
            leave(spec, step)
            if step == 1 + (found.step + 1 if found else 1):
                os.kill(os.getpid(), signal.SIGKILL)
        if MODE == "slow-steps":
            leave(spec, step)
        if slow:
            time.sleep(0.02)
            if (spec.out.parent / "go").exists():
                break
    (spec.out / "adapter_config.json").write_text(json.dumps({"r": 1}))
    (spec.out / "adapter_model.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0{}      ")
    return {"train_seconds": 0.1, "rows": 3}


def leave(spec: StageSpec, step: int) -> None:
    """A checkpoint, which needs no training library as long as there is nothing in it."""
    folder = spec.out / CHECKPOINTS / f"step-{step}"
    folder.mkdir(parents=True)
    whole(folder, spec, step)


def main() -> int:
    if MODE == "silent":
        return 0
    stages.stage_function = lambda name: train  # type: ignore[assignment]
    return run.main([SPEC])


if __name__ == "__main__":
    sys.exit(main())
