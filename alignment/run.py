"""`python -m alignment.run SPEC.json`: one stage in a process of its own.

Nothing goes to standard output; logs go to standard error. On failure the exit status is 1 and
`error.json` in the attempt's folder holds {"message"}: one sentence for people. The process dies with its
parent, so that a killed worker leaves no training behind.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from alignment.errors import AlignmentError
from alignment.processes import die_with_parent

if TYPE_CHECKING:
    from alignment.stage.runner import Outside

ADDRESS_KEY = "OPENAI_API_KEY"  # the variable with the key of the address that a stage may ask


def quiet_environment() -> None:
    """Set what the training libraries read when they are imported: no telemetry, no bars, no forked tokenizers."""
    for name, value in {
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "DO_NOT_TRACK": "1",
        "TQDM_DISABLE": "1",
        "TRL_EXPERIMENTAL_SILENCE": "1",
    }.items():
        os.environ.setdefault(name, value)


def main(arguments: list[str], outside: Outside | None = None) -> int:
    """Run the stage that the spec file names; 0 when its folder is complete, 1 when it failed, 2 on wrong usage.

    `outside` is as in `run_stage`.
    """
    if len(arguments) != 1:
        print("usage: python -m alignment.run SPEC.json", file=sys.stderr)
        return 2
    die_with_parent()
    quiet_environment()
    # Libraries print to standard output at will; whoever reads ours as JSON must not see that.
    os.dup2(2, 1)
    from alignment.methods.registry import run_stage
    from alignment.stage.spec import StageSpec

    try:
        spec = StageSpec.from_json(Path(arguments[0]).read_text(encoding="utf-8"))
    except (OSError, KeyError, ValueError) as error:
        print(f"{arguments[0]} is not a stage's spec: {error}", file=sys.stderr)
        return 2
    try:
        run_stage(spec, outside=outside, key=os.environ.get(ADDRESS_KEY, ""))
    except AlignmentError as error:
        traceback.print_exc()
        _write_error(spec.out, str(error))
        return 1
    except Exception as error:
        traceback.print_exc()
        _write_error(spec.out, f"{spec.stage} failed: {error or type(error).__name__}. Its log has the details.")
        return 1
    return 0


def _write_error(out: Path, message: str) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / "error.json").write_text(json.dumps({"message": message}) + "\n", encoding="utf-8")
    except OSError:
        traceback.print_exc()  # a full disk: the exit status and the log still say that it failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
