"""`alignloop simulate`: scripted people of known taste, through the same tickets as everyone."""

from __future__ import annotations

import asyncio
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from feedback_app.domain.judging import Kind
from feedback_app.errors import UsageError
from feedback_app.processes.output import AsJson, output
from feedback_app.processes.simulate_progress import simulate_progress

if TYPE_CHECKING:
    from rich.console import Console

    from feedback_app.settings import Settings
    from feedback_app.simulate import Simulated, Watch
    from feedback_app.store.database import Store

WHOSE = (
    "Whose taste: short, asks-back, structured, plain-words, rambler or random on any model; "
    "warm, brief and honest know the manners of the embedded one."
)


@dataclass(frozen=True, slots=True)
class Wish:
    """What was asked for on the command line."""

    annotator: str
    judgements: int
    kind: str
    seed: int
    noise: float
    left_bias: float
    at_once: int | None


def register(app: typer.Typer) -> None:
    """Add this command."""
    app.command("simulate")(simulate)


def simulate(
    ctx: typer.Context,
    annotator: Annotated[str, typer.Option(help=WHOSE)],
    judgements: Annotated[int, typer.Option(min=1, help="How many judgements.")],
    kind: Annotated[str, typer.Option(help="like, compare, rank or mixed.")] = Kind.COMPARE.value,
    seed: Annotated[int, typer.Option(help="Same seed, same choices on the same answers.")] = 0,
    noise: Annotated[float, typer.Option(min=0, max=1, help="Share of judgements that ignore the answers.")] = 0.0,
    left_bias: Annotated[float, typer.Option(min=0, max=1, help="Share that takes the left one whatever it is.")] = 0.0,
    at_once: Annotated[
        int | None,
        typer.Option(min=1, help="How many people vote at once; by default as many as the machine can answer."),
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", hidden=True, help="Needed no longer; taken from older scripts.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Let scripted people vote. They are marked as such and counted apart everywhere."""
    from feedback_app.processes.wiring import settings_and_store

    settings, store = settings_and_store()
    _check(annotator, kind)
    out = output(ctx)
    wish = Wish(annotator, judgements, kind, seed, noise, left_bias, at_once)
    with simulate_progress(out, f"{annotator} is judging", judgements) as watch:
        result = asyncio.run(_simulate(settings, store, wish, watch))
    out.done({**asdict(result), "advice": result.advice}, lambda console: _say(console, result))


def _say(console: Console, result: Simulated) -> None:
    console.print(
        f"{result.annotator} judged {sum(result.judgements.values())} times in {result.seconds:.0f} s: "
        f"{result.decided} decided, {result.ties} ties.",
        markup=False,
    )
    for sentence, times in result.failed.items():
        console.print(
            f"{times} {'times' if times > 1 else 'time'} no answer came, and another was asked for: {sentence}",
            markup=False,
        )
    if result.advice:
        console.print(result.advice, markup=False)


def _check(annotator: str, kind: str) -> None:
    """What `simulate` itself would refuse, before vLLM is asked for anything."""
    from alignment.evaluation.tastes import TASTES
    from feedback_app.simulate import KINDS

    if annotator not in TASTES:
        raise UsageError(f"There is no scripted annotator called {annotator}. There are: {', '.join(TASTES)}.")
    if kind not in KINDS:
        raise UsageError(f"Scripted people cannot {kind}. They can: {', '.join(KINDS)}.")


async def _simulate(settings: Settings, store: Store, wish: Wish, watch: Watch) -> Simulated:
    from feedback_app.processes.preflight import check_model
    from feedback_app.processes.wiring import client_of, rules_of
    from feedback_app.prompt_sets import prompt_set
    from feedback_app.simulate import PEOPLE, voters_at_once
    from feedback_app.simulate import simulate as run

    facts = await asyncio.to_thread(check_model, settings)
    prompts = await asyncio.to_thread(prompt_set(settings).training)
    async with client_of(settings, facts) as vllm:
        answers, comparing = rules_of(settings, store, vllm, facts)
        # On the embedded model always the same people, so that the same seed asks the same of them everywhere.
        fitting = PEOPLE if settings.embedded else voters_at_once(answers.admission.answers, wish.kind)
        try:
            return await run(
                store,
                answers,
                comparing,
                wish.annotator,
                wish.judgements,
                wish.kind,
                wish.seed,
                wish.noise,
                wish.left_bias,
                prompts=prompts,
                people=wish.at_once or fitting,
                watch=watch,
            )
        finally:
            await comparing.close()
