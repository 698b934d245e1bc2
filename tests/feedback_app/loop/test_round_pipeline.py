"""The order of the loop, and what each of the gate's three answers leads to."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from alignment.evaluation.gate import Verdict, VerdictKind
from feedback_app.errors import RoundFailed
from feedback_app.loop.round_pipeline import Steps, take_turn
from feedback_app.store.tables import Round, Snapshot, Version

TURN = Round(id=1, method="dpo", status="running", created_at=0.0)
VERSION = Version(name="policy-0001", kind="aligned", form="adapter", path="/p", base_hash="b", created_at=0.0)


@dataclass
class Log:
    """What was done, in order; `fail_at` names a step that raises."""

    opinion: Verdict
    chain: tuple[str, ...] = ("dpo",)
    fail_at: str = ""
    done: list[str] = field(default_factory=list)
    recorded: list[str] = field(default_factory=list)

    def note(self, name: str) -> None:
        if name == self.fail_at:
            raise RoundFailed(f"{name} went wrong")
        self.done.append(name)

    def steps(self) -> Steps:
        def step(name: str, result: Any = None) -> Any:
            async def run(*_: object) -> Any:
                self.note(name)
                return result

            return run

        async def train(turn: Round, name: str, snapshot: Snapshot) -> Path:
            self.note(f"train {name}")
            return Path("/artifact") / name

        async def register(turn: Round, artifact: Path) -> Version:
            self.note(f"register {artifact.name}")
            return VERSION

        @asynccontextmanager
        async def recorded(turn: Round, name: str) -> AsyncIterator[None]:
            yield
            self.recorded.append(name)

        return Steps(
            chain=lambda method: self.chain,
            snapshot=step("snapshot", Snapshot(folder="/s", hash="h", created_at=0.0)),
            train=train,
            register=register,
            stage=step("stage"),
            evaluate=step("evaluate", "evidence"),
            gate=lambda evidence: self.opinion,
            challenge=step("challenge"),
            hold=step("hold"),
            reject=step("reject"),
            recorded=recorded,
        )


@pytest.mark.parametrize(
    ("kind", "end"),
    [(VerdictKind.PASS, "challenge"), (VerdictKind.HOLD, "hold"), (VerdictKind.FAIL, "reject")],
)
async def test_a_round_goes_through_every_step_and_ends_as_the_gate_says(kind: VerdictKind, end: str) -> None:
    log = Log(Verdict(kind, ("because",)))
    await take_turn(TURN, log.steps())
    assert log.done == ["snapshot", "train dpo", "register dpo", "stage", "evaluate", end]
    assert log.recorded == ["snapshot", "dpo", "register", "stage", "evaluate", "gate"]


async def test_the_last_stage_of_a_chain_makes_the_version() -> None:
    log = Log(Verdict(VerdictKind.PASS), chain=("reward", "ppo"))
    await take_turn(TURN, log.steps())
    assert log.done[1:4] == ["train reward", "train ppo", "register ppo"]


@pytest.mark.parametrize("step", ["snapshot", "train dpo", "register dpo", "stage", "evaluate"])
async def test_nothing_comes_after_a_step_that_failed(step: str) -> None:
    log = Log(Verdict(VerdictKind.PASS), fail_at=step)
    with pytest.raises(RoundFailed):
        await take_turn(TURN, log.steps())
    assert not {"challenge", "hold", "reject"} & set(log.done)
    assert log.done == ["snapshot", "train dpo", "register dpo", "stage", "evaluate"][: len(log.done)]
    assert len(log.recorded) == len(log.done)
