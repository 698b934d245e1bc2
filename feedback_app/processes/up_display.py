"""`alignloop up` as a person sees it: checks, one address, how to sign in, and one calm status until it is ready."""

from __future__ import annotations

import threading
import time
import urllib.request
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

from feedback_app.errors import UsageError
from feedback_app.heartbeat import VLLM, Life, life, written_by
from feedback_app.private import keep_private
from feedback_app.processes.model_progress import model_progress
from feedback_app.processes.output import Output
from feedback_app.processes.preflight import before_start
from feedback_app.processes.run import address
from feedback_app.processes.team import Child, Team, make_team, take_signals

if TYPE_CHECKING:
    from rich.table import Table

    from feedback_app.settings import Settings
    from feedback_app.store.database import Store
    from feedback_app.store.tables import Beat

LOOK_S = 0.25
QUIET_LOOK_S = 0.5
APP_FIRST_S = 6.0  # the app starts alone, so that its page is there at once; then vLLM and the worker follow
PATIENCE_S = 10.0
LABELS = {"app": "pages", "serve": "model", "worker": "worker"}


@dataclass(frozen=True)
class Line:
    """What one child is doing, in words; `seconds` since it began that."""

    name: str
    words: str
    ready: bool
    seconds: float


def run_up(out: Output) -> int:
    """Start everything and stay until a signal. Returns the exit code; raises when something must hold and does not."""
    from feedback_app.collect.people import FIRST_OPERATOR, ensure_operator
    from feedback_app.processes.wiring import settings_and_store
    from feedback_app.settings import read_settings

    settings = read_settings()
    here = not settings.vllm_url
    with model_progress(out) as progress:
        before_start(settings, vllm_here=here, progress=progress)
    settings, store = settings_and_store()
    keep_private(settings.home)
    given = settings.operator_password
    new = ensure_operator(store, given.get_secret_value() if given else None)
    team = make_team(settings.home, vllm_here=here)
    take_signals(team)
    console = out.console
    console.print(f"alignloop  {address(settings)}", style="bold", markup=False)
    if new is not None:
        secret = (
            "the password in ALIGNLOOP_OPERATOR_PASSWORD" if given else f"password {new.password}  (shown only now)"
        )
        console.print(f"  sign in as {FIRST_OPERATOR}, {secret}", markup=False)
    try:
        follow(team, settings, store, out)
    finally:
        with console.status("Stopping") if console.is_terminal else nullcontext():
            team.stop()
        store.close()
    if team.wrong is not None:
        raise UsageError(team.wrong.last_words() or f"{team.wrong.name} did not accept its settings.")
    out.done({"stopped": [child.name for child in team.children]}, lambda console: console.print("Stopped."))
    return 0


def follow(team: Team, settings: Settings, store: Store, out: Output) -> None:
    """Start the children in order and show what they do until the team is told to stop."""
    beats = _Beats(store)
    begun, lines, board = team.clock(), _Lines(settings, beats), _Board(out)
    beats.start()
    team.start("app")
    rest = [child for child in team.children if child.name != "app"]
    try:
        while not team.stopping:
            now = lines.look(team)
            if rest and (now[0].ready or team.clock() - begun > APP_FIRST_S):
                for child in rest:
                    team.start(child.name)
                rest = []
            board.show(now, team.clock() - begun)
            for child in team.look_after():
                board.say(f"{LABELS[child.name]} ended ({_how(child)}); starting it again. Its log is {child.log}.")
            team.pause(LOOK_S if not board.announced else QUIET_LOOK_S)
    finally:
        beats.end()
        board.close()


class _Lines:
    """Asks the app by HTTP and reads the others' beats."""

    def __init__(self, settings: Settings, beats: _Beats, get: Callable[[str], int] | None = None) -> None:
        self._url = f"{address(settings)}/healthz"
        self._beats = beats
        self._get = get or http_status
        self._answered_at = float("-inf")

    def look(self, team: Team) -> list[Line]:
        """One line per child, in order."""
        lines = []
        for child in team.children:
            seconds = team.clock() - child.started_at
            if not child.alive:
                lines.append(Line(child.name, "waiting" if child.process is None else "starting again", False, 0.0))
                continue
            loading = "loading" if child.name == "serve" else "starting"
            if child.name == "app":
                if self._get(self._url) == 200:
                    self._answered_at = team.clock()
                # One late answer on a busy machine is not a page that has gone.
                ready, words = team.clock() - min(seconds, PATIENCE_S) <= self._answered_at, loading
            else:
                ready, words = self._said(child, loading)
            lines.append(Line(child.name, "ready" if ready else words, ready, seconds))
        return lines

    def _said(self, child: Child, loading: str) -> tuple[bool, str]:
        """Whether a child is ready by its own beat, and else what it does."""
        if self._beats.away:
            return False, "waits for the database"
        beat = self._beats.last.get(VLLM if child.name == "serve" else child.name)
        # A beat of an earlier run says nothing about this one.
        if beat is None or child.process is None or not written_by(beat, child.process.pid):
            return False, loading
        if life(beat, self._beats.now()) is not Life.ALIVE:
            return False, "late: this machine may be busy"
        state = str(beat.state.get("name", "ready"))
        return state == "ready", {"restarting": "loading again", "failed": "failed"}.get(state, loading)


class _Beats:
    """The last beats, read in a thread of its own: `up` never waits for the database, and outlives its absence."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._ended = threading.Event()
        self._read_at = time.monotonic()
        self._failed = False
        self.last: dict[str, Beat] = {}
        self.now = store.now

    @property
    def away(self) -> bool:
        """Whether the database does not answer, or has not for `PATIENCE_S`."""
        return self._failed or time.monotonic() - self._read_at > PATIENCE_S

    def start(self) -> None:
        """Begin to read."""
        threading.Thread(target=self._run, name="beats", daemon=True).start()

    def end(self) -> None:
        """Read no more."""
        self._ended.set()

    def _run(self) -> None:
        while not self._ended.is_set():
            try:
                self.last = {beat.name: beat for beat in self._store.heartbeats.all()}
                self._read_at, self._failed = time.monotonic(), False
            except Exception:  # whatever it is, `up` has children to look after
                self._failed = True
            self._ended.wait(LOOK_S)


class _Board:
    """The status: live in a terminal, one line per change elsewhere."""

    def __init__(self, out: Output) -> None:
        self._console = out.console
        self._last: dict[str, str] = {}
        self.announced = False
        self._live = None
        if self._console.is_terminal:
            from rich.live import Live

            self._live = Live(console=self._console, refresh_per_second=4, transient=True)
            self._live.start()

    def show(self, lines: list[Line], seconds: float) -> None:
        """The lines as they are now; once all are ready, one sentence and quiet."""
        ready = all(line.ready for line in lines)
        if self._live is None:
            for line in lines:
                if self._last.get(line.name) != line.words:
                    self.say(f"{LABELS[line.name]}  {line.words}  {seconds:.0f} s")
        else:
            self._live.update("" if ready else _table(lines))
        self._last = {line.name: line.words for line in lines}
        if ready and not self.announced:
            self.announced = True
            self.say(f"Ready after {seconds:.0f} s. Ctrl-C stops everything.")

    def say(self, text: str) -> None:
        """One line that stays."""
        self._console.print(f"  {text}", markup=False)

    def close(self) -> None:
        """Leave the terminal as it was."""
        if self._live is not None:
            self._live.stop()


def _table(lines: list[Line]) -> Table:
    from rich.spinner import Spinner
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    for line in lines:
        mark = "[green]✓[/green]" if line.ready else Spinner("dots", style="dim")
        table.add_row(" ", mark, LABELS[line.name], line.words, "" if line.ready else f"{line.seconds:.0f} s")
    return table


def _how(child: Child) -> str:
    code = child.code
    return f"signal {-code}" if code is not None and code < 0 else f"exit code {code}: {child.last_words()}"


def http_status(url: str) -> int:
    """The status of a GET, 0 when nothing answers within a second."""
    try:
        # Our own address: a proxy in the environment has no business here.
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=1.0) as response:
            return int(response.status)
    except OSError:
        return 0
