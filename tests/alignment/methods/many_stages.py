"""`python -m tests.alignment.methods.many_stages JOBS.json`: stages in processes of their own, one after another.

A job is {"spec": …, "kill": step or null}: at that step's record the stage's process is killed with SIGKILL, as
a kernel short of memory would. The training libraries are imported once; each stage then runs in a fork.
Prints {"status": …} for each job: the exit code, negative for a signal.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from alignment import run
from alignment.methods import registry
from alignment.stage.spec import StageSpec


def killer(step: int | None) -> Any:
    def listener(record: Mapping[str, Any]) -> None:
        if step is not None and record["step"] == step:
            os.kill(os.getpid(), signal.SIGKILL)

    return listener


def in_a_fork(job: Mapping[str, Any]) -> int:
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    try:
        registry.run_stage(StageSpec.from_json(json.dumps(job["spec"])), killer(job["kill"]))
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def councils_own(function: Any) -> Any:
    """`constitution` with an adviser that finds something: a tiny random model would not."""
    from tests.alignment.methods.constitution.advisers import Adviser, Answers

    return lambda spec, progress, **given: function(spec, progress, sampler=Answers(), adviser=Adviser(), **given)


def main() -> None:
    run.quiet_environment()
    import peft  # noqa: F401
    import trl  # noqa: F401

    plain = registry.stage_function
    registry.stage_function = lambda name: councils_own(plain(name)) if name == "constitution" else plain(name)
    for job in json.loads(Path(sys.argv[1]).read_text()):
        status = in_a_fork(job)
        if status > 0:
            sys.exit(f"{job['spec']['stage']} failed; nothing after it was run")
        print(json.dumps({"status": status}), flush=True)


if __name__ == "__main__":
    main()
