"""From an exception to one sentence and an exit code; the traceback goes to `ALIGNLOOP_HOME/logs`."""

from __future__ import annotations

import os
import sys
import time
import traceback
from pathlib import Path

from feedback_app.errors import AlignloopError


def explain(error: BaseException) -> tuple[str, int]:
    """What to say (empty: nothing) and the exit code."""
    if isinstance(error, KeyboardInterrupt) or type(error).__name__ == "Abort":
        return "Stopped.", 1
    if isinstance(error, AlignloopError):
        _log(error)
        return str(error), error.exit_code
    if hasattr(error, "format_message") and hasattr(error, "exit_code"):  # the command line itself was wrong
        return _usage(error), 2
    if type(error).__name__ == "Exit":
        return "", int(getattr(error, "exit_code", 0))
    if _of("serving.errors", "ModelProblem", error):
        return str(error), 2
    if _of("serving.errors", "ServingError", error) or _of("alignment.errors", "AlignmentError", error):
        _log(error)
        return str(error), 1
    if isinstance(error, ModuleNotFoundError) and error.name and not error.name.startswith(("feedback_app", "serving")):
        _log(error)
        return f"The package {error.name} is missing. Run `make install`, or install it, and start again.", 1
    if isinstance(error, OSError) and error.strerror and error.filename:
        _log(error)
        return f"{error.filename}: {error.strerror}. Make it readable and writable, or name another place.", 1
    path = _log(error)
    where = f" The details are in {path}." if path else ""
    return f"Something went wrong that alignloop did not expect: {type(error).__name__}: {error}.{where}", 1


def _usage(error: BaseException) -> str:
    text = str(error.format_message())  # type: ignore[attr-defined]
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "alignloop"
    return f"{text.rstrip('.')}. `{command} --help` says what is possible."


def _of(module: str, name: str, error: BaseException) -> bool:
    """Whether the error is of a class of a room that may not even be loaded."""
    loaded = sys.modules.get(module)
    return loaded is not None and isinstance(error, getattr(loaded, name))


def _log(error: BaseException) -> Path | None:
    """Append the traceback to the log; None where nothing can be written."""
    path = Path(os.environ.get("ALIGNLOOP_HOME", ".alignloop")) / "logs" / "errors.log"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()) + f" alignloop {' '.join(sys.argv[1:2])}\n")
            file.write("".join(traceback.format_exception(error)) + "\n")
    except OSError:
        return None
    return path
