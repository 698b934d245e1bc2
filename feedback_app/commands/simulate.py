"""`alignloop simulate`: scripted people of known taste, through the same tickets as everyone."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from feedback_app.domain.judging import Kind
from feedback_app.errors import UsageError
from feedback_app.processes.output import AsJson, output

if TYPE_CHECKING:
    from feedback_app.settings import Settings
    from feedback_app.simulate import Simulated
    from feedback_app.store.database import Store


def register(app: typer.Typer) -> None:
    """Add this command."""
    app.command("simulate")(simulate)


def simulate(
    ctx: typer.Context,
    annotator: Annotated[str, typer.Option(help="Whose taste: warm, brief, honest or random.")],
    judgements: Annotated[int, typer.Option(min=1, help="How many judgements.")],
    kind: Annotated[str, typer.Option(help="like, compare, rank or mixed.")] = Kind.COMPARE.value,
    seed: Annotated[int, typer.Option(help="Same seed, same choices on the same answers.")] = 0,
    noise: Annotated[float, typer.Option(min=0, max=1, help="Share of judgements that ignore the answers.")] = 0.0,
    left_bias: Annotated[float, typer.Option(min=0, max=1, help="Share that takes the left one whatever it is.")] = 0.0,
    yes: Annotated[bool, typer.Option("--yes", help="Also on a model of your own.")] = False,
    as_json: AsJson = False,
) -> None:
    """Let scripted people vote. They are marked as such and counted apart everywhere."""
    from feedback_app.processes.wiring import settings_and_store

    settings, store = settings_and_store()
    _check(settings, annotator, kind, yes)
    out = output(ctx)
    with out.console.status(f"{annotator} is judging"):
        result = asyncio.run(_simulate(settings, store, annotator, judgements, kind, seed, noise, left_bias))
    out.done(
        asdict(result),
        lambda console: console.print(
            f"{result.annotator} judged {sum(result.judgements.values())} times in {result.seconds:.0f} s: "
            f"{result.decided} decided, {result.ties} ties.",
            markup=False,
        ),
    )


def _check(settings: Settings, annotator: str, kind: str, yes: bool) -> None:
    """What `simulate` itself would refuse, before vLLM is asked for anything."""
    from alignment.evaluation.tastes import TASTES
    from feedback_app.simulate import KINDS, check_embedded

    if annotator not in TASTES:
        raise UsageError(f"There is no scripted annotator called {annotator}. There are: {', '.join(TASTES)}.")
    if kind not in KINDS:
        raise UsageError(f"Scripted people cannot {kind}. They can: {', '.join(KINDS)}.")
    check_embedded(settings, yes=yes)


async def _simulate(
    settings: Settings,
    store: Store,
    annotator: str,
    judgements: int,
    kind: str,
    seed: int,
    noise: float,
    left_bias: float,
) -> Simulated:
    from feedback_app.collect.prompts import load_prompts
    from feedback_app.processes.preflight import check_model
    from feedback_app.processes.wiring import client_of, rules_of
    from feedback_app.simulate import simulate as run

    facts = await asyncio.to_thread(check_model, settings)
    prompts = load_prompts(settings.data / "prompts" / "compare.jsonl")
    async with client_of(settings) as vllm:
        answers, comparing = rules_of(settings, store, vllm, facts)
        try:
            # `yes`: what it would refuse has been refused above.
            return await run(
                store,
                answers,
                comparing,
                annotator,
                judgements,
                kind,
                seed,
                noise,
                left_bias,
                prompts=prompts,
                yes=True,
            )
        finally:
            await comparing.close()
