"""The order of the loop, and what each of the gate's three answers leads to."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from alignment.evaluation.gate import Verdict, VerdictKind
from feedback_app.errors import RoundFailed
from feedback_app.loop.round_pipeline import run_round
from feedback_app.store.tables import Round, Snapshot, Version

ROUND = Round(id=1, method="dpo", status="running", created_at=0.0)
VERSION = Version(name="policy-0001", kind="aligned", form="adapter", path="/p", base_hash="b", created_at=0.0)


@dataclass
class Log:
    """Steps that do nothing but say what was done, in order; `fail_at` names a step that raises."""

    verdict: Verdict
    stages: tuple[str, ...] = ("dpo",)
    fail_at: str = ""
    done: list[str] = field(default_factory=list)
    rows: list[str] = field(default_factory=list)

    def note(self, name: str) -> None:
        if name == self.fail_at:
            raise RoundFailed(f"{name} went wrong")
        self.done.append(name)

    def chain(self, method: str) -> tuple[str, ...]:
        return self.stages

    @asynccontextmanager
    async def recorded(self, round_: Round, name: str) -> AsyncIterator[None]:
        yield
        self.rows.append(name)

    async def snapshot(self, round_: Round) -> Snapshot:
        self.note("snapshot")
        return Snapshot(folder="/s", hash="h", created_at=0.0)

    async def train(self, round_: Round, stage_name: str, snapshot: Snapshot) -> Path:
        self.note(f"train {stage_name}")
        return Path("/artifact") / stage_name

    async def register(self, round_: Round, artifact: Path) -> Version:
        self.note(f"register {artifact.name}")
        return VERSION

    async def stage(self, version: Version) -> None:
        self.note("stage")

    async def evaluate(self, round_: Round, version: Version) -> str:
        self.note("evaluate")
        return "evidence"

    def gate(self, evidence: str) -> Verdict:
        assert evidence == "evidence"
        return self.verdict

    async def challenge(self, round_: Round, version: Version, verdict: Verdict) -> None:
        self.note("challenge")

    async def hold(self, round_: Round, version: Version, verdict: Verdict) -> None:
        self.note("hold")

    async def reject(self, round_: Round, version: Version, verdict: Verdict) -> None:
        self.note("reject")


@pytest.mark.parametrize(
    ("kind", "end"),
    [(VerdictKind.PASS, "challenge"), (VerdictKind.HOLD, "hold"), (VerdictKind.FAIL, "reject")],
)
async def test_a_round_goes_through_every_step_and_ends_as_the_gate_says(kind: VerdictKind, end: str) -> None:
    log = Log(Verdict(kind, ("because",)))
    await run_round(ROUND, log)
    assert log.done == ["snapshot", "train dpo", "register dpo", "stage", "evaluate", end]
    assert log.rows == ["snapshot", "dpo", "register", "stage", "evaluate", "gate"]


async def test_the_last_stage_of_a_chain_makes_the_version() -> None:
    log = Log(Verdict(VerdictKind.PASS), stages=("reward", "ppo"))
    await run_round(ROUND, log)
    assert log.done[1:4] == ["train reward", "train ppo", "register ppo"]


@pytest.mark.parametrize("step", ["snapshot", "train dpo", "register dpo", "stage", "evaluate"])
async def test_nothing_comes_after_a_step_that_failed(step: str) -> None:
    log = Log(Verdict(VerdictKind.PASS), fail_at=step)
    with pytest.raises(RoundFailed):
        await run_round(ROUND, log)
    assert not {"challenge", "hold", "reject"} & set(log.done)
    assert log.done == ["snapshot", "train dpo", "register dpo", "stage", "evaluate"][: len(log.done)]
    assert len(log.rows) == len(log.done)
