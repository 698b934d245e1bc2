"""From an exception to one sentence and an exit code; the traceback goes to the home's `logs`."""

from __future__ import annotations

import sys
import time
import traceback
from pathlib import Path

from alignment.errors import UserFacingError


def explain(error: BaseException) -> tuple[str, int]:
    """What to say (empty: nothing) and the exit code."""
    if isinstance(error, KeyboardInterrupt) or type(error).__name__ == "Abort":
        return "Stopped.", 1
    if isinstance(error, UserFacingError):
        _log(error)
        return str(error), error.exit_code
    if hasattr(error, "format_message") and hasattr(error, "exit_code"):  # the command line itself was wrong
        return _usage(error), 2
    if type(error).__name__ == "Exit":
        return "", int(getattr(error, "exit_code", 0))
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


def _log(error: BaseException) -> Path | None:
    """Append the traceback to the log; None where nothing can be written."""
    from feedback_app.settings import read_home  # pydantic: half of what `--help` would cost

    path = read_home() / "logs" / "errors.log"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()) + f" alignloop {' '.join(sys.argv[1:2])}\n")
            file.write("".join(traceback.format_exception(error)) + "\n")
    except OSError:
        return None
    return path
