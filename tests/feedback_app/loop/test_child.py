"""A stage's process: followed, ended, and its end explained."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from feedback_app.errors import RoundFailed
from feedback_app.loop.child import ProgressTail, child_environment, clear_left_over, log_of, run_child

WRITE = "import json,sys;f=open(sys.argv[1]+'/progress.jsonl','a')\n"
SLEEPER = "import subprocess,sys,time;p=subprocess.Popen([sys.executable,'-c','import time;time.sleep(600)'])\n"


async def run(code: str, folder: Path, **more: Any) -> list[dict[str, Any]]:
    """Run Python code as a child; its progress records."""
    records: list[dict[str, Any]] = []

    async def keep(new: list[dict[str, Any]]) -> None:
        records.extend(new)

    await run_child([sys.executable, "-c", code, str(folder)], folder, keep, **more)
    return records


def alive(pid: int) -> bool:
    """Whether the process runs (one that has ended but was not waited for does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except OSError:
        return False


async def until(true: Callable[[], bool]) -> None:
    """Look again and again: other processes have no events to wait for."""
    async with asyncio.timeout(20):
        while not true():  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def until_dead(pid: int) -> None:
    await until(lambda: not alive(pid))


async def written(path: Path) -> str:
    """The file's text once it is whole."""
    await until(lambda: path.exists() and path.read_text().endswith("\n"))
    return path.read_text()  # noqa: ASYNC240


async def test_every_progress_record_arrives_once_and_in_order(tmp_path: Path) -> None:
    code = WRITE + "for n in range(1,51):print(json.dumps({'number':n}),file=f,flush=True)"
    assert [record["number"] for record in await run(code, tmp_path)] == list(range(1, 51))


def test_a_half_written_line_waits_for_its_end(tmp_path: Path) -> None:
    path = tmp_path / "progress.jsonl"
    tail = ProgressTail(path)
    assert tail.read() == []
    path.write_text('{"number": 1}\n{"num')
    assert tail.read() == [{"number": 1}]
    with path.open("a") as file:
        file.write('ber": 2}\n')
    assert tail.read() == [{"number": 2}]
    assert tail.read() == []


async def test_the_reason_is_the_one_the_stage_left(tmp_path: Path) -> None:
    leave = "open(sys.argv[1]+'/error.json','w').write(json.dumps({'message':'The loss is nan.'}))"
    code = f"import json,sys;{leave};sys.exit(1)"
    with pytest.raises(RoundFailed, match=r"^The loss is nan\.$"):
        await run(code, tmp_path)


async def test_a_killed_stage_says_so_and_names_the_log(tmp_path: Path) -> None:
    with pytest.raises(RoundFailed, match=r"killed \(SIGKILL\).*\.log"):
        await run("import os,signal;os.kill(os.getpid(),signal.SIGKILL)", tmp_path)


async def test_a_stage_that_just_ends_badly_names_its_code_and_log(tmp_path: Path) -> None:
    with pytest.raises(RoundFailed, match=r"exit code 7.*\.log"):
        await run("import sys;print('because of this',file=sys.stderr);sys.exit(7)", tmp_path)
    assert "because of this" in log_of(tmp_path).read_text()


async def test_a_launcher_that_does_not_exist_is_a_reason(tmp_path: Path) -> None:
    async def keep(records: list[dict[str, Any]]) -> None:
        return None

    with pytest.raises(RoundFailed, match="no-such-launcher"):
        await run_child(["no-such-launcher", "x"], tmp_path, keep)


@pytest.mark.parametrize("stubborn", [False, True], ids=["polite", "ignores SIGTERM"])
async def test_cancelling_ends_the_whole_group(tmp_path: Path, stubborn: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("feedback_app.loop.child.GRACE_S", 0.2)
    ignore = "import signal;signal.signal(signal.SIGTERM,signal.SIG_IGN)\n" if stubborn else ""
    code = ignore + SLEEPER + "print(p.pid,file=open(sys.argv[1]+'/pids','w'),flush=True);time.sleep(600)"
    running = asyncio.create_task(run(code, tmp_path))
    grandchild = int(await written(tmp_path / "pids"))
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await until_dead(grandchild)


async def test_what_a_launcher_leaves_behind_is_ended_too(tmp_path: Path) -> None:
    await run(SLEEPER + "print(p.pid,file=open(sys.argv[1]+'/pids','w'))", tmp_path)
    await until_dead(int(await written(tmp_path / "pids")))


async def test_only_the_attempts_own_process_is_cleared(tmp_path: Path) -> None:
    code = "import time;time.sleep(600)"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, str(tmp_path / "dpo-1" / "spec.json"), start_new_session=True
    )
    try:
        assert not clear_left_over(process.pid, tmp_path / "dpo-2"), "a number that was used again is somebody else"
        assert alive(process.pid)
        assert clear_left_over(process.pid, tmp_path / "dpo-1")
        assert await process.wait() == -signal.SIGKILL
        assert not clear_left_over(process.pid, tmp_path / "dpo-1")
        assert not clear_left_over(None, tmp_path / "dpo-1")
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)


def test_the_child_never_hears_of_the_database() -> None:
    ours = {
        "PATH": "/bin",
        "DATABASE_URL": "postgresql://…",
        "ALIGNLOOP_HOME": "/h",
        "ALIGNLOOP_OPERATOR_PASSWORD": "x",
    }
    assert child_environment(ours) == {"PATH": "/bin"}
