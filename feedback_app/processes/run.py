"""The three processes, each until SIGTERM or Ctrl-C: vLLM's supervisor, the app, the worker.

Every one beats (`feedback_app.heartbeat`), so that the others, wherever they run, know that it lives.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import platform
import resource
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from itertools import pairwise
from typing import TYPE_CHECKING, TypedDict, cast

from feedback_app.domain.beats import BeatState
from feedback_app.errors import Unavailable, UsageError
from feedback_app.heartbeat import APP, VLLM, Heart

if TYPE_CHECKING:
    import uvicorn
    from fastapi import FastAPI

    from feedback_app.loop.evaluation import ScoringSampler
    from feedback_app.settings import Settings
    from feedback_app.store.database import Store
    from serving.model_check import ModelFacts
    from serving.supervise import Supervisor

log = logging.getLogger(__name__)

LOOK_S = 1.0  # between two looks at whether vLLM shall be stopped
CUT_OFF_S = 3  # streams that still run when the app is told to stop get this long, seconds
MOST_OPEN_FILES = 65536
VLLM_GRACE_S = 3.0  # and so do running requests when vLLM is


def write_log() -> None:
    """This process's log lines on standard error, one form for all."""
    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s", force=True
    )
    logging.getLogger("httpx").setLevel(logging.WARNING)


def quiet_libraries() -> None:
    """Nothing we run reports home. Set before the libraries are imported."""
    for name, value in {
        "GRADIO_ANALYTICS_ENABLED": "False",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "DO_NOT_TRACK": "1",
        "VLLM_NO_USAGE_STATS": "1",
    }.items():
        os.environ.setdefault(name, value)


class Stopped(TypedDict):
    """What a process says when it was told to stop: its name, and how often its child was started again."""

    stopped: str
    restarts: int


def serve_vllm(settings: Settings, store: Store, facts: ModelFacts) -> Stopped:
    """Run vLLM until told to stop. Raises `Unavailable` with its last words when it never becomes ready."""
    from feedback_app.domain.versions import BASE_MODEL_NAME
    from feedback_app.loop.versions import register_model
    from feedback_app.processes.serving_plan import plan_of, vllm_words
    from serving.errors import LaunchProblem
    from serving.launch import command, environment
    from serving.supervise import Supervisor

    write_log()
    quiet_libraries()
    if settings.vllm_url:
        raise UsageError("ALIGNLOOP_VLLM_URL names a vLLM that runs elsewhere; unset it to run one here.")
    extra = vllm_words(settings)
    version = register_model(store, settings.model_source, facts)
    base = dict(os.environ)
    if settings.hf_token is not None:
        base["HF_TOKEN"] = settings.hf_token.get_secret_value()
    try:
        plan = plan_of(settings, facts)
        words = command(
            settings.model_source,
            settings.vllm_port,
            max_lora_rank=settings.max_lora_rank,
            max_loras=settings.max_loras,
            extra_args=[*plan.arguments(), *extra] if plan else extra,
            tool_parser=settings.tool_parser,
            max_model_len=min(settings.context_tokens, facts.max_len),
            # Replies carry the first name: the version's own, which after a change of model is `base-2`.
            served_names=tuple(dict.fromkeys((version.name, BASE_MODEL_NAME, version.served_name))),
        )
        env = environment(
            base,
            kv_gib=plan.kv_gib if plan else 1,
            threads=plan.threads if plan else None,
            model=settings.model_source,
        )
    except LaunchProblem as error:
        raise Unavailable(str(error)) from error
    for sentence in plan.why if plan else ():
        log.info("%s", sentence)
    engine = engine_words(extra, plan.dtype if plan else facts.dtype)
    supervisor = Supervisor(
        words,
        env,
        settings.home / "logs" / "vllm.log",
        settings.home / "vllm.pid",
        f"{settings.vllm_address}/health",
    )
    asyncio.run(supervise(supervisor, store, engine))
    state = supervisor.state()
    if state.name == "failed":
        raise Unavailable(f"vLLM did not start: {state.detail or 'it said nothing'}. Its log is logs/vllm.log.")
    return {"stopped": "vllm", "restarts": state.restarts}


def engine_words(arguments: Sequence[str], dtype: str) -> str:
    """What a vLLM started here computes with: device and number format, as its arguments or else the model say."""
    from serving.launch import gpu_build

    for word, following in pairwise([*arguments, ""]):
        if word == "--dtype" or word.startswith("--dtype="):
            dtype = word.partition("=")[2] or following
    return f"{'gpu' if gpu_build() else 'cpu'} {platform.machine()} {dtype}".strip()


async def supervise(supervisor: Supervisor, store: Store, engine: str) -> None:
    """Keep vLLM running and say so in heartbeats, until a signal or a launch that cannot be kept up."""

    def record() -> BeatState:  # the beat `vllm`: what pages and `alignloop status` show of our own vLLM
        return {**cast(BeatState, asdict(supervisor.state())), "engine": engine}

    stopping = stop_event()
    heart = Heart(store, VLLM, record)
    keeping = asyncio.create_task(keep(supervisor, store))
    waiting = asyncio.create_task(stopping.wait())
    heart.start()
    try:
        await asyncio.wait({keeping, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if keeping.done():
            keeping.result()  # a `LaunchProblem` is a sentence: let it through
    finally:
        for task in (waiting, keeping):
            task.cancel()
        await asyncio.gather(waiting, keeping, return_exceptions=True)
        await supervisor.stop(VLLM_GRACE_S)
        await asyncio.to_thread(heart.end, record())


async def keep(supervisor: Supervisor, store: Store) -> None:
    """Run vLLM, but not while a training needs its accelerator; returns when it cannot be kept running."""
    paused = False
    while True:
        while paused := await _is_paused(store, now=paused):  # noqa: ASYNC110 - said by a row in the database
            await asyncio.sleep(LOOK_S)
        running = asyncio.create_task(supervisor.run())
        try:
            while not running.done():
                await asyncio.wait({running}, timeout=LOOK_S)
                paused = not running.done() and await _is_paused(store, now=False)
                if paused:
                    log.info("vLLM is stopped for a training")
                    await supervisor.stop(VLLM_GRACE_S)
                    await running
                    break
            else:
                running.result()
                return
        finally:
            running.cancel()


async def _is_paused(store: Store, *, now: bool) -> bool:
    """Whether vLLM shall be down; as it is `now` while the database does not answer."""
    from feedback_app.loop.pause import is_paused

    try:
        return await asyncio.to_thread(is_paused, store)
    except Unavailable as error:
        log.warning("%s", error)
        return now


def serve_app(settings: Settings, store: Store) -> None:
    """Run the pages and the HTTP routes until told to stop; running streams get `CUT_OFF_S` to end."""
    write_log()
    quiet_libraries()
    raise_open_files()
    with tempfile.TemporaryDirectory(prefix="alignloop-") as folder:  # whatever Gradio keeps goes with this process
        os.environ["GRADIO_TEMP_DIR"] = folder
        with asyncio.Runner(loop_factory=fast_loop()) as runner:
            runner.run(_serve_app(settings, store))


def raise_open_files() -> None:
    """As many open files as this user may have: each connection is one, and the usual 1,024 are few for a server."""
    with contextlib.suppress(OSError, ValueError):
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = MOST_OPEN_FILES if most == resource.RLIM_INFINITY else min(most, MOST_OPEN_FILES)
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


def fast_loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop's event loop where it is installed (vLLM brings it): tokens then pass for about a fifth less CPU."""
    try:
        import uvloop
    except ImportError:
        return None
    make: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return make


def server_config(settings: Settings, app: FastAPI) -> uvicorn.Config:
    """How the app is served. Whose word about the client's address is believed is `api.proxies`' to say alone."""
    import uvicorn

    from feedback_app.api.slow_clients import patient_protocol

    return uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        http=patient_protocol(),
        server_header=False,
        log_level="warning",
        proxy_headers=False,  # uvicorn would believe whatever comes from loopback
        timeout_graceful_shutdown=CUT_OFF_S,
    )


async def _serve_app(settings: Settings, store: Store) -> None:
    import uvicorn

    from feedback_app.api.app import build_app
    from feedback_app.processes.preflight import check_model
    from feedback_app.processes.wiring import client_of, parts_of

    stopping = stop_event()
    facts = await asyncio.to_thread(check_model, settings)
    vllm = client_of(settings, facts)

    class Server(uvicorn.Server):
        """Leaves signals to us: uvicorn would raise them again after its own end."""

        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            yield

    server = Server(server_config(settings, build_app(parts_of(settings, store, vllm, facts))))
    heart = Heart(store, APP, lambda: {"pid": os.getpid(), "address": address(settings)})
    serving = asyncio.create_task(server.serve())
    waiting = asyncio.create_task(stopping.wait())
    heart.start()
    try:
        await asyncio.wait({serving, waiting}, return_when=asyncio.FIRST_COMPLETED)
        server.should_exit = True
        await serving
    finally:
        waiting.cancel()
        heart.end()
        await vllm.close()


def run_worker(settings: Settings, store: Store) -> None:
    """Turn rounds and look after vLLM's adapters until told to stop; a running training ends with it."""
    write_log()
    quiet_libraries()
    asyncio.run(_run_worker(settings, store))


async def _run_worker(settings: Settings, store: Store) -> None:
    from feedback_app.loop.worker import Worker
    from feedback_app.processes.preflight import prepare_model
    from feedback_app.processes.wiring import client_of, sampler_of

    stopping = stop_event()
    facts = await asyncio.to_thread(prepare_model, settings)
    vllm = client_of(settings, facts)
    sampler = sampler_of(settings, facts)
    # `serving` knows nothing of `alignment`: its samples are other classes with the same fields.
    asking = cast("ScoringSampler", sampler)
    working = asyncio.create_task(Worker(store, settings, [vllm], asking, facts).run())
    waiting = asyncio.create_task(stopping.wait())
    try:
        await asyncio.wait({working, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            working.result()
    finally:
        working.cancel()
        waiting.cancel()
        await asyncio.gather(working, waiting, return_exceptions=True)
        await vllm.close()
        sampler.close()


def address(settings: Settings) -> str:
    """The one address to open. A wildcard host is reached by this machine's loopback."""
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(settings.host, settings.host)
    return f"http://{host}:{settings.port}"


def stop_event() -> asyncio.Event:
    """Set at SIGTERM and at Ctrl-C. To be called inside the running loop."""
    event = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, event.set)
    return event
