"""What a command says: rich text for people, or one JSON object for programs and nothing else.

With `--json`, whatever libraries print goes to standard error, also from C code and child processes:
file descriptor 1 is theirs no longer.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

if TYPE_CHECKING:
    from rich.console import Console

AsJson = Annotated[bool, typer.Option("--json", help="One JSON object on standard output and nothing else.")]


class Output:
    """Where one command's result goes. Made once by `cli.main`; commands get it as `ctx.obj`."""

    def __init__(self, as_json: bool, stream: TextIO | None = None) -> None:
        self.as_json = as_json
        self._stream = stream
        self._console: Console | None = None

    @classmethod
    def open(cls, as_json: bool) -> Output:
        """For a whole process. With `as_json`, takes standard output away from everybody else."""
        if not as_json:
            return cls(False)
        sys.stdout.flush()
        stream = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)
        return cls(True, stream)

    @property
    def console(self) -> Console:
        """Where people read; standard error with `--json`, so that progress may be shown anyway."""
        if self._console is None:
            from rich.console import Console

            self._console = Console(stderr=self.as_json, highlight=False, soft_wrap=True)
        return self._console

    def done(self, result: Mapping[str, Any], show: Callable[[Console], None]) -> None:
        """The command's result: the object itself, or `show` for people."""
        if self.as_json:
            self._write(result)
        else:
            show(self.console)

    def error(self, sentence: str) -> None:
        """What went wrong: on standard error for people, `{"error": …}` on standard output with `--json`."""
        if self.as_json:
            self._write({"error": sentence})
        else:
            print(sentence, file=sys.stderr)

    def failed(self, sentence: str, result: Mapping[str, Any]) -> None:
        """A command that did nothing of what it should: the sentence, and with `--json` beside it what it found."""
        if self.as_json:
            self._write({"error": sentence, **result})
        else:
            print(sentence, file=sys.stderr)

    def _write(self, result: Mapping[str, Any]) -> None:
        stream = self._stream or sys.stdout
        stream.write(json.dumps(result, ensure_ascii=False, default=str) + "\n")
        stream.flush()
        self._stream = stream


def output(ctx: typer.Context) -> Output:
    """The output of the running command."""
    found = ctx.obj
    return found if isinstance(found, Output) else Output(False)
