"""A real vLLM on a tiny model for tests and measurements, supervised on a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from serving.launch import command, environment
from serving.model_check import check_model
from serving.supervise import Supervisor
from tests.ports import free_port
from tests.serving.ready import wait_ready

START_S = 600.0


@dataclass
class RealVllm:
    """A vLLM that is ready, and the supervisor that keeps it."""

    url: str
    model: Path
    supervisor: Supervisor
    pid_file: Path
    loop: asyncio.AbstractEventLoop


def base_names(model: str | Path) -> tuple[str, str]:
    """The names under which a home that was begun with this model asks for it."""
    return "base", f"base-{check_model(str(model)).weights_hash[:12]}"


@contextlib.contextmanager
def real_vllm(
    model: Path,
    folder: Path,
    port: int = 0,
    max_loras: int = 4,
    served_names: Sequence[str] = ("base",),
    extra_args: Sequence[str] = (),
    threads: int | None = None,
    variables: Mapping[str, str] | None = None,
) -> Iterator[RealVllm]:
    """Start vLLM on `model`, wait until it is ready, and end it within 10 s when the block is left.

    `variables` come over the environment that vLLM is started with.
    """
    port = port or free_port()
    url = f"http://127.0.0.1:{port}"
    supervisor = Supervisor(
        command(
            str(model),
            port,
            max_lora_rank=16,
            max_loras=max_loras,
            served_names=served_names,
            extra_args=extra_args,
        ),
        environment(os.environ, kv_gib=1, threads=threads, model=str(model)) | dict(variables or {}),
        folder / "vllm.log",
        folder / "vllm.json",
        f"{url}/health",
    )
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        running = asyncio.run_coroutine_threadsafe(supervisor.run(), loop)
        asyncio.run_coroutine_threadsafe(wait_ready(supervisor, START_S), loop).result()
        yield RealVllm(url, model, supervisor, folder / "vllm.json", loop)
    finally:
        asyncio.run_coroutine_threadsafe(supervisor.stop(), loop).result(10)
        running.result(5)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
