"""What must hold before anything heavy starts: free ports, a writable disk with room, a model that is one.

Each check returns quietly or raises one sentence that names the setting to change. Nothing is started and
nothing is left behind.
"""

from __future__ import annotations

import errno
import os
import shutil
import socket
from pathlib import Path
from typing import TYPE_CHECKING

from feedback_app.errors import Unavailable, UsageError

if TYPE_CHECKING:
    from feedback_app.settings import Settings
    from serving.model_check import ModelFacts

NEEDED_BYTES = 512 * 1024 * 1024
"""Room for the database, a few snapshots and versions of a small model, and logs."""


def check_port(host: str, port: int, setting: str) -> None:
    """Raise `Unavailable` when nobody can listen there."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise Unavailable(_port_sentence(error, host, port, setting)) from error


def _port_sentence(error: OSError, host: str, port: int, setting: str) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"Port {port} on {host} is in use by another program. Set {setting} to a free port and start again."
    if error.errno == errno.EACCES:
        return f"Port {port} may not be used by this user. Set {setting} to a port above 1023 and start again."
    return f"{host} is not an address of this machine. Set ALIGNLOOP_HOST to one that is and start again."


def check_disk(home: Path, needed_bytes: int = NEEDED_BYTES) -> int:
    """Make `home` and write a file in it. Returns the free bytes; raises `Unavailable` when there are too few."""
    probe = home / f".write-test-{os.getpid()}"
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        probe.write_bytes(b"x" * 4096)
        probe.unlink()
        free = shutil.disk_usage(home).free
    except OSError as error:
        raise Unavailable(
            f"Nothing can be written to {home}: {error.strerror}. "
            "Free some space, or set ALIGNLOOP_HOME to another folder."
        ) from error
    if free < needed_bytes:
        raise Unavailable(
            f"Only {free // 2**20} MiB are free at {home.resolve()} and alignloop needs {needed_bytes // 2**20} MiB. "
            "Free some space, or set ALIGNLOOP_HOME to a folder on another disk."
        )
    return free


def check_model(settings: Settings) -> ModelFacts:
    """Facts about the model in the settings. Raises `UsageError` when it is not one."""
    from serving.errors import ModelProblem
    from serving.model_check import check_model as read_model

    try:
        return read_model(settings.model_source)
    except ModelProblem as error:
        if settings.embedded:
            raise UsageError(f"The embedded model is incomplete: {error} Check out data/model again.") from error
        raise UsageError(str(error)) from error


def before_start(settings: Settings, *, vllm_here: bool) -> ModelFacts:
    """Every check, cheapest first. `vllm_here` is whether our own vLLM will be started."""
    check_port(settings.host, settings.port, "ALIGNLOOP_PORT")
    if vllm_here:
        check_port("127.0.0.1", settings.vllm_port, "ALIGNLOOP_VLLM_PORT")
        if settings.port == settings.vllm_port:
            raise UsageError("ALIGNLOOP_PORT and ALIGNLOOP_VLLM_PORT are the same. Give them different ports.")
    check_disk(settings.home)
    return check_model(settings)
