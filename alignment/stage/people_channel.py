"""How a stage asks people in the middle of its run: two small files, in a folder beside the stage's own.

    OUT.asking/asked.json      the stage's: which milestone, where its adapter lies, how many judgements it wants in all
    OUT.asking/answered.json   the supervisor's: how many there are so far, and how many of them were won

Each file is written whole and renamed into place. The folder lies beside the stage's, whose files are an artifact and
nothing else. Numbers are totals of a milestone, never further ones: a stage that was killed asks the same again and
has at once what people said before. A stage waits for so long and no longer; then it goes on with what is there.

Standard library only: whoever supervises a stage reads and writes these without a training library.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from alignment.files import write_whole

ASKED, ANSWERED = "asked.json", "answered.json"
POLL_S = 0.3


class Votes(NamedTuple):
    """Blind judgements of a milestone against the start: a tie is half a win; `scripted` of the judged were."""

    wins: float = 0.0
    judged: int = 0
    scripted: int = 0


@dataclass(frozen=True, slots=True)
class VoteRequest:
    """A milestone (the policy after `step` steps, its adapter's folder), and the judgements wanted of it in all."""

    step: int
    adapter: str
    judgements: int


def folder_of(out: Path) -> Path:
    """Where a stage that writes `out` asks."""
    return out.with_name(f"{out.name}.asking")


def asked(out: Path) -> VoteRequest | None:
    """What the stage waits for now; None when it does not."""
    raw = _read(folder_of(out) / ASKED)
    try:
        return VoteRequest(int(raw["step"]), str(raw["adapter"]), int(raw["judgements"])) if raw else None
    except (KeyError, TypeError, ValueError):
        return None


def answer(out: Path, question: VoteRequest, votes: Votes, *, over: bool = False) -> None:
    """Tell the stage what people have said so far; `over` says that there is no use in waiting for more."""
    said = {"step": question.step, "adapter": question.adapter, "over": over, **votes._asdict()}
    with contextlib.suppress(FileNotFoundError):  # the stage has stopped asking meanwhile
        write_whole(folder_of(out) / ANSWERED, json.dumps(said))


def forget(out: Path) -> None:
    """Remove what a stage asked with: it goes on, or its process is gone. Safe to repeat."""
    shutil.rmtree(folder_of(out), ignore_errors=True)


class PeopleChannel:
    """The stage's side: called with a milestone and a number, it returns when people have judged it so often.

    At the latest after `patience_s`, with the votes there are then. `withdraw` says that nothing is waited for now.
    """

    def __init__(
        self,
        out: Path,
        patience_s: float,
        tell: Callable[[VoteRequest, Votes], None] = lambda question, votes: None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """`tell` hears what is waited for, and again whenever a vote has come."""
        self._out = out
        self._patience_s = patience_s
        self._tell = tell
        self._clock = clock
        self._sleep = sleep

    def __call__(self, step: int, adapter: str, judgements: int) -> Votes:
        """Ask, and wait."""
        question = VoteRequest(step, adapter, judgements)
        folder = folder_of(self._out)
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / ASKED, json.dumps(asdict(question)))
        end = self._clock() + self._patience_s
        told: Votes | None = None
        while True:
            votes, over = self._answered(question)
            if votes != told:
                self._tell(question, votes)
                told = votes
            if over or votes.judged >= judgements or self._clock() >= end:
                return votes
            self._sleep(POLL_S)

    def withdraw(self) -> None:
        """Nothing is waited for now; safe to repeat."""
        forget(self._out)

    def _answered(self, question: VoteRequest) -> tuple[Votes, bool]:
        raw = _read(folder_of(self._out) / ANSWERED)
        if (raw.get("step"), raw.get("adapter")) != (question.step, question.adapter):  # none, or an earlier one's
            return Votes(), False
        return Votes(float(raw["wins"]), int(raw["judged"]), int(raw["scripted"])), bool(raw["over"])


def _read(path: Path) -> dict[str, Any]:
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        return raw if isinstance(raw, dict) else {}
    except (OSError, ValueError):
        return {}
