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
from feedback_app.home_model import record, recorded

if TYPE_CHECKING:
    from feedback_app.settings import Settings
    from serving.model_check import ModelFacts
    from serving.named_models import Progress

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


def prepare_model(settings: Settings, progress: Progress | None = None, *, replacing: bool = False) -> ModelFacts:
    """Unpack or fetch the model where that is needed, check it, and keep in the home that this is its model.

    Raises `UsageError` on a model that is none, cannot be brought, or is another than the home was begun with;
    `replacing` allows the last, and leaves the keeping to the caller.
    """
    from serving.errors import ModelProblem
    from serving.named_models import folder_of, prepare

    begun, shipped = recorded(settings.home), Path(settings.shipped_model)
    other = bool(settings.model and begun) and settings.model_source != str(folder_of(begun, shipped))
    if other and not replacing:
        raise UsageError(
            f"This home was begun with {begun}, and ALIGNLOOP_MODEL names {settings.model}. "
            f"Unset it, name another ALIGNLOOP_HOME, or run `alignloop model use {settings.model}`, which says first "
            "what becomes of the versions."
        )
    token = settings.hf_token.get_secret_value() if settings.hf_token else None
    try:
        prepare(settings.model_name, shipped, progress or (lambda words, share: None), token)
    except ModelProblem as error:
        raise UsageError(str(error)) from error
    facts = check_model(settings)
    if not replacing:
        record(settings.home, settings.model_name, facts.weights_hash)
    return facts


def check_model(settings: Settings) -> ModelFacts:
    """Facts about the model in the settings, which lies on this machine. Raises `UsageError` when it is not one."""
    from serving.errors import ModelProblem
    from serving.model_check import check_model as read_model
    from serving.named_models import SMOLLM2, is_hub_name

    name, here = settings.model_name, Path(settings.model_source).is_dir()
    if name == SMOLLM2 and not here:
        raise UsageError(f"{name} is not unpacked on this machine yet. `alignloop up` or `alignloop serve` does it.")
    try:
        # The pages may run where the weights never come: a hub model's small files say enough for them.
        return read_model(name if is_hub_name(name) and not here else settings.model_source)
    except ModelProblem as error:
        if settings.embedded:
            raise UsageError(f"The embedded model is incomplete: {error} Check out data/model again.") from error
        raise UsageError(str(error)) from error


def before_start(settings: Settings, *, vllm_here: bool, progress: Progress | None = None) -> ModelFacts:
    """Every check, cheapest first, and the model. `vllm_here` is whether our own vLLM will be started."""
    check_port(settings.host, settings.port, "ALIGNLOOP_PORT")
    if vllm_here:
        check_port("127.0.0.1", settings.vllm_port, "ALIGNLOOP_VLLM_PORT")
        if settings.port == settings.vllm_port:
            raise UsageError("ALIGNLOOP_PORT and ALIGNLOOP_VLLM_PORT are the same. Give them different ports.")
    check_disk(settings.home)
    return prepare_model(settings, progress)
