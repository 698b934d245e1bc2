"""`up`: children are restarted, stop together, and nobody outlives the one who started them."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from feedback_app.processes.team import Child, Team
from tests.waiting import wait_until as until

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[3]


def child(tmp_path: Path, code: str, name: str = "app") -> Child:
    return Child(name, [sys.executable, "-c", code], tmp_path / f"{name}.log")


class Clock:
    """Seconds that pass only when a test or a pause says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_dead_child_is_started_again_after_growing_pauses(tmp_path: Path) -> None:
    clock = Clock()
    team = Team([child(tmp_path, "raise SystemExit(1)")], os.environ, clock)
    team.start("app")
    pauses = []
    for _ in range(3):
        until(lambda: not team["app"].alive)
        assert [dead.name for dead in team.look_after()] == ["app"]
        began, restarts = clock.now, team["app"].restarts
        while team["app"].restarts == restarts:
            assert team.look_after() == []
            clock.now += 0.25
        pauses.append(clock.now - began)
    assert pauses == sorted(pauses)
    assert pauses[0] < pauses[-1] < 30
    until(lambda: not team["app"].alive)


def test_a_child_that_calls_its_start_wrong_usage_ends_the_team(tmp_path: Path) -> None:
    team = Team(
        [child(tmp_path, "import sys; print('Correct ALIGNLOOP_X.', file=sys.stderr); sys.exit(2)")], os.environ
    )
    team.start("app")
    until(lambda: not team["app"].alive)
    team.look_after()
    assert team.stopping
    assert team.wrong is team["app"]
    assert team["app"].last_words() == "Correct ALIGNLOOP_X."


STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('on', flush=True); time.sleep(600)"
)
# A child whose own child ignores SIGTERM and sits in another session: only a search of descendants finds it.
WITH_ORPHAN = (
    "import subprocess, sys, time\n"
    f"subprocess.Popen([sys.executable, '-c', {STUBBORN!r}], start_new_session=True)\n"
    "time.sleep(600)"
)
PARENT = """
import signal, sys
from pathlib import Path
from feedback_app import up
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # as in a terminal, whatever the tests were started under
up.STOP_S = 1.0
folder, code = Path(sys.argv[1]), sys.argv[2]
children = [up.Child(n, [sys.executable, "-c", code], folder / f"{n}.log") for n in ("app", "worker")]
team = up.Team(children, up.lifeline.environment({}))
up.take_signals(team)
for c in team.children: team.start(c.name)
print("started", flush=True)
while not team.stopping:
    team.pause(0.05)
team.stop()
print("stopped", flush=True)
"""


def family(process: subprocess.Popen[str]) -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_children_grandchildren_and_those_who_will_not_hear(tmp_path: Path, number: int) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path), WITH_ORPHAN], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert parent.stdout is not None
    assert parent.stdout.readline() == "started\n"
    # The grandchildren have said that they ignore SIGTERM.
    until(lambda: all((tmp_path / f"{name}.log").read_text() == "on\n" for name in ("app", "worker")))
    members = family(parent)
    assert len(members) == 4
    parent.send_signal(number)
    assert parent.wait(20) == 0
    until(lambda: not any(psutil.pid_exists(member.pid) for member in members))


# A child that leaves behind, in a session of its own, a process which ends after it.
LEAVES_ONE = "import subprocess; subprocess.Popen(['sleep', '0.2'], start_new_session=True); raise SystemExit(7)"
BURYING = """
import sys
from pathlib import Path
from feedback_app import up
folder, code = Path(sys.argv[1]), sys.argv[2]
hours = iter(range(0, 10**9, 3600))  # every pause is over at the next look
team = up.Team([up.Child("app", [sys.executable, "-c", code], folder / "app.log")], up.lifeline.environment({}),
               clock=lambda: float(next(hours)))
up.take_signals(team)
team.start("app")
print("started", flush=True)
codes = set()
while not team.stopping:
    if team.look_after():
        codes.add(team["app"].code)
    if team["app"].restarts >= 12 and "told" not in codes:
        codes.add("told")
        print(sorted(code for code in codes if code != "told"), flush=True)
    team.pause(0.02)
team.stop()
"""


def test_what_children_leave_behind_is_buried_and_their_own_ends_are_known(tmp_path: Path) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", BURYING, str(tmp_path), LEAVES_ONE], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert parent.stdout is not None
    assert parent.stdout.readline() == "started\n"
    assert parent.stdout.readline() == "[7]\n"  # a dozen restarts, each with the child's own exit code

    def zombies() -> int:
        return sum(member.status() == psutil.STATUS_ZOMBIE for member in psutil.Process(parent.pid).children())

    # One child may just have ended, with its own code not asked for yet.
    seen = []
    deadline = time.monotonic() + 2.0
    while time.monotonic() < deadline:
        with contextlib.suppress(psutil.NoSuchProcess):
            seen.append(zombies())
        time.sleep(0.02)
    assert max(seen) <= 3
    parent.send_signal(signal.SIGTERM)
    assert parent.wait(20) == 0


TIED = (
    "import time; from feedback_app import lifeline; parent_watch.tie_to_parent(); print('tied', flush=True); "
    "time.sleep(600)"
)


def test_children_end_when_the_parent_is_killed(tmp_path: Path) -> None:
    code = f"import os, sys; os.chdir({str(ROOT)!r}); sys.path.insert(0, ''); " + TIED
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path), code], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert parent.stdout is not None
    assert parent.stdout.readline() == "started\n"
    until(lambda: all((tmp_path / f"{name}.log").read_text() == "tied\n" for name in ("app", "worker")))
    members = family(parent)
    assert len(members) == 2
    parent.kill()
    parent.wait(10)
    until(lambda: not any(psutil.pid_exists(member.pid) for member in members), 15)


def test_a_child_whose_parent_is_gone_already_does_not_start(tmp_path: Path) -> None:
    env = os.environ | {"_ALIGNLOOP_PARENT": "999999999"}
    done = subprocess.run([sys.executable, "-c", TIED], env=env, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stdout == ""


def test_children_do_not_learn_the_first_operators_password() -> None:
    from feedback_app.processes import parent_watch

    env = parent_watch.environment({"ALIGNLOOP_OPERATOR_PASSWORD": "secret", "ALIGNLOOP_PORT": "1"})
    assert env["ALIGNLOOP_PORT"] == "1"
    assert "secret" not in env.values()
