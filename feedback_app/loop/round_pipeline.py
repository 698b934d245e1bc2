"""One turn of the loop, on one page.

A round is claimed by a worker and goes through these steps. Each step reads what the one before it left
and is safe to take again: a worker that takes over a round after a crash starts here at the top, finds
the snapshot, the finished attempt and the registered version, and goes on from there. What the steps do
stands in `freeze`, `training`, `versions`, `reconcile`, `evaluation` and `votes`; this module knows
none of them, so that the order of the loop can be read, and tested, alone.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from feedback_app.store.tables import Round, Snapshot, Version


class Opinion(Protocol):
    """What the gate says: `kind` is pass, hold or fail."""

    @property
    def kind(self) -> str: ...

    @property
    def reasons(self) -> tuple[str, ...]: ...


@dataclass(frozen=True)
class Steps:
    """The steps of a round, injected. `recorded` writes a stage's row around each of them."""

    chain: Callable[[str], tuple[str, ...]]
    snapshot: Callable[[Round], Awaitable[Snapshot]]
    train: Callable[[Round, str, Snapshot], Awaitable[Path]]
    register: Callable[[Round, Path], Awaitable[Version]]
    stage: Callable[[Version], Awaitable[None]]
    evaluate: Callable[[Round, Version], Awaitable[Any]]
    gate: Callable[[Any], Opinion]
    challenge: Callable[[Round, Version, Opinion], Awaitable[None]]
    hold: Callable[[Round, Version, Opinion], Awaitable[None]]
    reject: Callable[[Round, Version, Opinion], Awaitable[None]]
    recorded: Callable[[Round, str], AbstractAsyncContextManager[None]]


async def take_turn(turn: Round, steps: Steps) -> None:
    """Judgements in, a challenger (or a reason why there is none) out.

    Raises `AlignloopError` when a step cannot be done; serving is then as it was, because nothing before
    the last line changes what people are answered with.
    """
    async with steps.recorded(turn, "snapshot"):
        snapshot = await steps.snapshot(turn)

    for name in steps.chain(turn.method):
        async with steps.recorded(turn, name):
            artifact = await steps.train(turn, name, snapshot)

    async with steps.recorded(turn, "register"):
        version = await steps.register(turn, artifact)

    async with steps.recorded(turn, "stage"):
        await steps.stage(version)

    async with steps.recorded(turn, "evaluate"):
        evidence = await steps.evaluate(turn, version)

    async with steps.recorded(turn, "gate"):
        opinion = steps.gate(evidence)
        match opinion.kind:
            case "pass":
                await steps.challenge(turn, version, opinion)  # people decide now, in blind votes: see `votes`
            case "hold":
                await steps.hold(turn, version, opinion)
            case _:
                await steps.reject(turn, version, opinion)
