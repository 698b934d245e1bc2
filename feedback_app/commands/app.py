"""`alignloop`: the composition root. Reads the settings once, builds what a command needs, and runs it.

Every command takes `--json`. Exit codes: 0 done (a round: promoted or passed), 1 failed or cancelled,
2 wrong usage, 3 held or rejected by the gate. An error is one sentence; its traceback goes to the log.
Nothing slow is imported before a command runs.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import typer

from feedback_app.commands import (
    about,
    files,
    lineage,
    models,
    people,
    processes,
    prompts,
    rounds,
    simulate,
    suites,
    suspects,
    training,
    versions,
)
from feedback_app.commands.failure import explain
from feedback_app.processes.output import Output

app = typer.Typer(
    name="alignloop",
    help="Talk to a model, say which answers are better, and serve the model trained on it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
ROOMS = (
    processes,
    people,
    suspects,
    simulate,
    prompts,
    rounds,
    training,
    versions,
    models,
    suites,
    lineage,
    files,
    about,
)
for room in ROOMS:
    room.register(app)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and exit with its code."""
    _keep_bytecode()
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    sys.exit(run(arguments))


def _keep_bytecode() -> None:
    """Let Python keep what it compiles, here and in every process that we start.

    Many container images set this variable. Without kept bytecode a training process spends 14 s on its
    imports, each time, and 5.5 s with it (two cores, 2026-11-21).
    """
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False


def run(arguments: Sequence[str], out: Output | None = None) -> int:
    """Run one command; its exit code. Errors have been shown."""
    out = out or Output.open("--json" in arguments)
    try:
        code = app(args=list(arguments), prog_name="alignloop", standalone_mode=False, obj=out)
    except (Exception, KeyboardInterrupt) as error:
        sentence, code = explain(error)
        if sentence:
            out.error(sentence)
        return code
    return code if isinstance(code, int) else 0
