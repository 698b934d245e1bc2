"""Stands where a launcher would: `fake_stage.py MODE python -m alignment.run SPEC`, without a training library.

Modes: `quick` writes an artifact; `slow` reports steps until it is killed, unless the file `go` appears
beside the spec; `slow-last` is slow in every stage but `reward`; `nan` reports a loss that is not a number;
`silent` ends well and leaves nothing; `falls` writes a checkpoint after each step and is killed at step 2, but
not once it goes on from one; `falls-always` is killed one step further each time; `slow-steps` is slow and
writes checkpoints; `leaves-out` says that it left out a row.
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

from alignment import run
from alignment.methods import registry
from alignment.stage.checkpoints import CHECKPOINTS, newest, whole
from alignment.stage.people_channel import PeopleChannel, VoteRequest, Votes
from alignment.stage.spec import StageSpec

MODE = sys.argv[1] if __name__ == "__main__" else ""
SPEC = sys.argv[-1] if __name__ == "__main__" else ""


def train(spec: StageSpec, progress: Callable[[Mapping[str, Any]], None], *, key: str = "") -> dict[str, Any]:
    slow = MODE == "slow" or (MODE == "slow-last" and spec.stage != "reward")
    slow = slow or MODE == "slow-steps"
    if MODE.startswith("asks") and spec.stage != "reward":
        return asks(spec, progress)
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
    adapter(spec.out)
    left_out = {
        "left_out": {"template": 1},
        "left_out_rows": {"template": {"words": "<tool>", "judgements": ["j1"]}},
    }
    return {"train_seconds": 0.1, "rows": 3, **(left_out if MODE == "leaves-out" else {})}


def adapter(folder: Path, blanks: int = 6) -> None:
    """An empty adapter; `blanks` tells one from another."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "adapter_config.json").write_text(json.dumps({"r": 1}))
    (folder / "adapter_model.safetensors").write_bytes(bytes([2 + blanks]) + b"\0" * 7 + b"{}" + b" " * blanks)


def asks(spec: StageSpec, progress: Callable[[Mapping[str, Any]], None]) -> dict[str, Any]:
    """A run whose watch asks for two judgements of each of two milestones."""
    found, milestones = newest(spec), []

    def tell(question: VoteRequest, votes: Votes) -> None:
        said = f"step {question.step}: {votes.judged} of {question.judgements} blind judgements"
        progress({"step": question.step, "steps": 4, "loss": 0.69, "waiting": said})
        if MODE == "asks-falls" and found is None and votes.judged:
            leave(spec, question.step)
            os.kill(os.getpid(), signal.SIGKILL)

    asking = PeopleChannel(spec.out, 600.0, tell)
    for step in (2, 4):
        folder = spec.out / "milestones" / f"step-{step}"
        adapter(folder, step)
        votes = asking(step, str(folder), 2)
        seen = {"step": step, "distance": 0.5 * step, "reward": 0.1 * step}
        milestones.append({**seen, "wins": votes.wins, "judged": votes.judged})
    asking.withdraw()
    adapter(spec.out, 4)
    judged = sum(seen["judged"] for seen in milestones)
    watch = {"budget": 4, "judged": judged, "scripted": 0, "chosen": 4, "why": "It ended.", "milestones": milestones}
    return {"train_seconds": 0.1, "rows": 3, "watch": watch}


def leave(spec: StageSpec, step: int) -> None:
    """A checkpoint, which needs no training library as long as there is nothing in it."""
    folder = spec.out / CHECKPOINTS / f"step-{step}"
    folder.mkdir(parents=True)
    whole(folder, spec, step)


def main() -> int:
    if MODE == "silent":
        return 0
    registry.stage_function = lambda name: train  # type: ignore[assignment]
    return run.main([SPEC])


if __name__ == "__main__":
    sys.exit(main())
