"""The supervisor with real processes (the fake vLLM as a program): restarts, stale groups, and sure ends."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from serving.errors import LaunchProblem
from serving.group import GroupFile, members, start_time
from serving.supervise import Supervisor
from tests.ports import free_port
from tests.serving.ready import wait_ready
from tests.waiting import until

pytestmark = pytest.mark.slow

FAKE = str(Path(__file__).with_name("fake_vllm.py"))
ENV = dict(os.environ)


def make(tmp_path: Path, *words: str, port: int | None = None, **options: float) -> Supervisor:
    port = port or free_port()
    return Supervisor(
        [sys.executable, FAKE, str(port), *words],
        ENV,
        tmp_path / "vllm.log",
        tmp_path / "vllm.json",
        f"http://127.0.0.1:{port}/health",
        **{"poll_s": 0.02, "backoff_s": 0.02, **options},  # type: ignore[arg-type]
    )


def group_of(tmp_path: Path) -> int:
    return int(json.loads((tmp_path / "vllm.json").read_text())["group"])


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Supervisor]:
    supervisor = make(tmp_path, "child")
    task = asyncio.create_task(supervisor.run())
    await wait_ready(supervisor, 15)
    yield supervisor
    await supervisor.stop(1)
    await task


async def test_stop_ends_every_process_of_the_group(running: Supervisor, tmp_path: Path) -> None:
    group = group_of(tmp_path)
    await until(lambda: len(members(group)) == 3)  # guardian, server, and the child that ignores its parent's end
    began = time.monotonic()
    await running.stop(5)
    assert not members(group)
    assert time.monotonic() - began < 5
    assert running.state().name == "stopped"
    assert not (tmp_path / "vllm.json").exists()


@pytest.mark.parametrize("victim", ["guardian", "server"])
async def test_after_a_kill_it_starts_again_and_leaves_nothing_of_the_old(
    running: Supervisor, tmp_path: Path, victim: str
) -> None:
    calls = []

    async def on_ready() -> None:
        calls.append(running.state().restarts)

    running.on_ready.append(on_ready)
    group = group_of(tmp_path)
    await until(lambda: len(members(group)) == 3)
    os.kill(group if victim == "guardian" else sorted(members(group))[1], signal.SIGKILL)
    await until(lambda: calls == [1])
    assert running.state().name == "ready"
    assert not members(group)
    assert group_of(tmp_path) != group


async def test_a_server_that_stays_unhealthy_is_started_again(tmp_path: Path) -> None:
    healthy = True

    async def health(_: str) -> bool:
        return healthy

    port = free_port()
    supervisor = Supervisor(
        [sys.executable, FAKE, str(port)],
        ENV,
        tmp_path / "vllm.log",
        tmp_path / "vllm.json",
        f"http://127.0.0.1:{port}/health",
        health=health,
        poll_s=0.02,
        backoff_s=0.02,
        unhealthy_s=0.1,
    )
    task = asyncio.create_task(supervisor.run())
    await wait_ready(supervisor, 5)
    healthy = False
    await until(lambda: supervisor.state().restarts == 1)
    healthy = True
    await wait_ready(supervisor, 15)
    await supervisor.stop(1)
    await task


async def test_several_fruitless_starts_end_in_failed_with_the_reason(tmp_path: Path) -> None:
    supervisor = make(tmp_path, "dies", starts=2)
    await asyncio.wait_for(supervisor.run(), 30)
    assert supervisor.state().name == "failed"
    assert "this model cannot be loaded" in supervisor.state().detail
    assert supervisor.state().restarts == 1


async def test_cancelling_run_stops_vllm(tmp_path: Path) -> None:
    supervisor = make(tmp_path, "child")
    task = asyncio.create_task(supervisor.run())
    await wait_ready(supervisor, 15)
    group = group_of(tmp_path)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not members(group)
    assert supervisor.state().name == "stopped"


async def test_a_callback_that_fails_keeps_neither_the_others_nor_vllm_from_running(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    called = []

    async def fails() -> None:
        raise ValueError("on purpose")

    async def works() -> None:
        called.append(True)

    supervisor = make(tmp_path)
    supervisor.on_ready += [fails, works]
    task = asyncio.create_task(supervisor.run())
    await until(lambda: called)
    assert supervisor.state().name == "ready"
    assert "on purpose" in caplog.text
    await supervisor.stop(1)
    await task


def test_the_detail_is_the_root_cause_without_vllms_prefixes(tmp_path: Path) -> None:
    supervisor = make(tmp_path)
    (tmp_path / "vllm.log").write_text(
        "(EngineCore pid=7) ERROR 11-21 05:06:39 [core.py:1133] ValueError: head size 8 is not supported\n"
        "(APIServer pid=6) RuntimeError: Engine core initialization failed. See root cause above.\n"
        "vLLM ended with code 1\n"
    )
    assert supervisor.last_line() == "ValueError: head size 8 is not supported"


async def test_a_port_in_use_is_named_with_its_setting(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        supervisor = make(tmp_path, port=taken.getsockname()[1])
        with pytest.raises(LaunchProblem, match="ALIGNLOOP_VLLM_PORT"):
            await supervisor.start()
        assert supervisor.state().name == "stopped"


OWNER = textwrap.dedent("""
    import asyncio, os, sys
    from pathlib import Path
    from serving.supervise import Supervisor
    folder, fake, port = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    async def main():
        supervisor = Supervisor([sys.executable, fake, port, "child"], dict(os.environ), folder / "vllm.log",
            folder / "vllm.json", f"http://127.0.0.1:{port}/health", poll_s=0.02)
        asyncio.create_task(supervisor.run())
        while supervisor.state().name != "ready":
            await asyncio.sleep(0.02)
        await asyncio.sleep(0.2)
        print("ready", flush=True)
        await asyncio.sleep(600)
    asyncio.run(main())
""")


@pytest.fixture
def owner(tmp_path: Path) -> tuple[subprocess.Popen[str], int]:
    """Another process that supervises a fake vLLM in `tmp_path`, and the port."""
    port = free_port()
    root = str(Path(__file__).resolve().parents[2])
    process = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(tmp_path), FAKE, str(port)],
        stdout=subprocess.PIPE,
        text=True,
        env={**ENV, "PYTHONPATH": root},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process, port


async def test_everything_ends_when_the_supervisors_process_is_killed(
    owner: tuple[subprocess.Popen[str], int], tmp_path: Path
) -> None:
    group = group_of(tmp_path)
    assert len(members(group)) == 3
    owner[0].kill()
    owner[0].wait()
    await until(lambda: not members(group), 10)


async def test_a_group_left_over_is_cleared_before_the_next_start(
    owner: tuple[subprocess.Popen[str], int], tmp_path: Path
) -> None:
    group = group_of(tmp_path)
    os.kill(owner[0].pid, signal.SIGSTOP)  # so that the supervisor cannot act
    orphan = sorted(members(group))[2]
    os.kill(group, signal.SIGKILL)  # the guardian goes, its server with it, and the engine stays
    owner[0].kill()
    owner[0].wait()
    await until(lambda: list(members(group)) == [orphan])
    supervisor = make(tmp_path, port=owner[1])
    await supervisor.start()
    assert start_time(orphan) is None
    await supervisor.stop(1)


async def test_a_live_supervisors_vllm_is_never_cleared(
    owner: tuple[subprocess.Popen[str], int], tmp_path: Path
) -> None:
    group = group_of(tmp_path)
    with pytest.raises(LaunchProblem, match=f"process {owner[0].pid}"):
        await make(tmp_path).start()
    assert len(members(group)) == 3
    owner[0].kill()
    owner[0].wait()
    await until(lambda: not members(group), 10)


def test_a_number_used_again_by_someone_else_is_not_ours(tmp_path: Path) -> None:
    innocent = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
    file = GroupFile(tmp_path / "vllm.json")
    file.write(innocent.pid)
    record = json.loads(file.path.read_text())
    record["members"] = {pid: started - 1 for pid, started in record["members"].items()}
    file.path.write_text(json.dumps(record))
    try:
        assert GroupFile(file.path).clear() is False
        assert innocent.poll() is None
        GroupFile(file.path).write(innocent.pid)
        assert GroupFile(file.path).clear() is True
        assert innocent.wait(5) == -signal.SIGKILL
    finally:
        innocent.kill()


def test_a_file_from_before_a_reboot_or_a_broken_one_names_no_group(tmp_path: Path) -> None:
    file = GroupFile(tmp_path / "vllm.json")
    file.write(os.getpgid(0))
    assert file.group() == os.getpgid(0)
    file.path.write_text(json.dumps({**json.loads(file.path.read_text()), "boot": "another"}))
    assert file.group() is None
    file.path.write_text("{")
    assert file.group() is None
