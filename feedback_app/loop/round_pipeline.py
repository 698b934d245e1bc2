"""The loop, on one page: judgements in, a challenger (or a reason why there is none) out.

A worker claims a round and takes it through these steps. Each step reads what the one before it left and is safe to
repeat: a worker that takes over a round after a crash starts here at the top, finds the snapshot, the finished
attempt and the registered version, and goes on from there. What each step does is `round_steps.WorkerSteps`; this
module imports none of it, so that the order can be read, and tested, alone.
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Protocol, TypeVar

from alignment.evaluation.gate import Verdict
from feedback_app.domain.rounds import VerdictKind
from feedback_app.store.tables import Round, Snapshot, Version

Measured = TypeVar("Measured")
"""What an evaluation found, as the gate takes it."""


class RoundSteps(Protocol[Measured]):
    """The steps of one round."""

    def chain(self, method: str) -> tuple[str, ...]:
        """The training stages of a method, in their order."""
        ...

    def recorded(self, round_: Round, name: str) -> AbstractAsyncContextManager[None]:
        """Keep a stage's row around a step: running, then done, failed or cancelled."""
        ...

    async def snapshot(self, round_: Round) -> Snapshot:
        """Freeze what was collected."""
        ...

    async def train(self, round_: Round, stage_name: str, snapshot: Snapshot) -> Path:
        """Run one training stage; the folder of its artifact."""
        ...

    async def register(self, round_: Round, artifact: Path) -> Version:
        """Give the artifact a name and a lasting place."""
        ...

    async def stage(self, version: Version) -> None:
        """Have every replica answer for the version."""
        ...

    async def evaluate(self, round_: Round, version: Version) -> Measured:
        """Measure what the version kept and how far it moved."""
        ...

    def gate(self, evidence: Measured) -> Verdict:
        """What follows from the evidence."""
        ...

    async def challenge(self, round_: Round, version: Version, verdict: Verdict) -> None:
        """Make the version the challenger: people decide, in blind votes (`votes`)."""
        ...

    async def hold(self, round_: Round, version: Version, verdict: Verdict) -> None:
        """Keep the version for an operator to decide."""
        ...

    async def reject(self, round_: Round, version: Version, verdict: Verdict) -> None:
        """Drop the version."""
        ...


async def run_round(round_: Round, steps: RoundSteps[Measured]) -> None:
    """Take a round through every step.

    Raises `AlignloopError` when a step cannot be done; serving is then as it was, because nothing here changes what
    people are answered with.
    """
    async with steps.recorded(round_, "snapshot"):
        snapshot = await steps.snapshot(round_)

    for name in steps.chain(round_.method):
        async with steps.recorded(round_, name):
            artifact = await steps.train(round_, name, snapshot)

    async with steps.recorded(round_, "register"):
        version = await steps.register(round_, artifact)

    async with steps.recorded(round_, "stage"):
        await steps.stage(version)

    async with steps.recorded(round_, "evaluate"):
        evidence = await steps.evaluate(round_, version)

    async with steps.recorded(round_, "gate"):
        verdict = steps.gate(evidence)
        match verdict.kind:
            case VerdictKind.PASS:
                await steps.challenge(round_, version, verdict)
            case VerdictKind.HOLD:
                await steps.hold(round_, version, verdict)
            case VerdictKind.FAIL:
                await steps.reject(round_, version, verdict)
