"""`alignloop train` and `alignloop evaluate`: one stage alone, and one model against another."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from alignment.dataset.left_out import from_where, in_words
from alignment.methods.registry import CARDS
from feedback_app.errors import UsageError
from feedback_app.key_values import read_pairs
from feedback_app.processes.output import AsJson, output

if TYPE_CHECKING:
    from rich.console import Console


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command("train")(train)
    app.command("evaluate")(evaluate)


def train(
    ctx: typer.Context,
    stage: Annotated[str, typer.Argument(help=f"One of {', '.join(CARDS)}.")],
    data: Annotated[Path, typer.Option(help="Folder of rows, or a file of feedback in any format that import reads.")],
    out: Annotated[Path, typer.Option(help="Folder for the artifact; it must not hold one yet.")],
    model: Annotated[str, typer.Option(help="Model to start from: a folder or hub name; none for pretrain.")] = "",
    adapter: Annotated[Path | None, typer.Option(help="Adapter folder to continue from.")] = None,
    reward: Annotated[Path | None, typer.Option(help="Reward model's folder, to learn from.")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="KEY=VALUE, as often as needed.")] = None,
    seed: Annotated[int, typer.Option(help="Same seed, same artifact.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Run one stage alone, without a database."""
    from alignment.methods.registry import run_stage
    from alignment.run import ADDRESS_KEY, quiet_environment
    from alignment.stage.spec import StageSpec
    from feedback_app.loop.stage_with_vllm import VllmOutside

    if stage not in CARDS:
        raise UsageError(f"There is no stage called {stage}. Stages: {', '.join(CARDS)}.")
    if not data.exists():
        raise UsageError(f"--data {data} is neither a folder nor a file. Name one that exists.")
    for folder, option in ((adapter, "--adapter"), (reward, "--reward")):
        if folder is not None and not folder.is_dir():
            raise UsageError(f"{option} {folder} is not a folder. Name one that exists.")
    if not model and CARDS[stage].needs_model:
        raise UsageError(f"{stage} needs a model to start from. Name one with --model.")
    settings = read_pairs(set_ or [])
    if settings.get("watch"):
        raise UsageError(
            "watch asks people through a worker, and alignloop train has none: start a round with "
            "alignloop round start --method ppo --set watch=100 --set milestones=0.5, or leave watch out."
        )
    quiet_environment()
    spec = StageSpec(stage, data, model or None, out, settings, seed, adapter, reward=reward)
    with _Bar(output(ctx)) as bar:
        manifest = run_stage(spec, bar, outside=VllmOutside, key=os.environ.get(ADDRESS_KEY, ""))
    result = {"stage": stage, "out": str(out), "hash": manifest.hash, "metrics": manifest.metrics}
    output(ctx).done(result, lambda console: _show_trained(console, result))


def _show_trained(console: Console, result: dict[str, Any]) -> None:
    console.print(f"{result['stage']} is done: {result['out']}", markup=False)
    found = result["metrics"].get("left_out_rows") or {}
    for reason, count in (result["metrics"].get("left_out") or {}).items():
        named = found.get(reason) or {}
        origins = from_where(named.get("judgements") or (), count)
        console.print(f"  left out: {in_words(reason, count, named.get('words', ''))}{origins}", markup=False)
    for note in result["metrics"].get("notes") or ():
        console.print(f"  {note}", markup=False)


class _Bar:
    """A stage's progress records as one bar with the loss and the time left."""

    def __init__(self, out: Any) -> None:
        from rich.progress import BarColumn, Progress, TextColumn

        self._progress = Progress(
            TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[words]}"), console=out.console
        )
        self._task = self._progress.add_task("starting", total=None, words="")

    def __enter__(self) -> _Bar:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def __call__(self, record: Any) -> None:
        """Take one record."""
        self._progress.update(
            self._task,
            description=f"step {record.get('step', '')}",
            completed=record.get("step") or 0,
            total=record.get("steps"),
            words=words(record),
        )


def words(record: Any) -> str:
    """Loss and time left of a progress record, as far as it has them; or what the stage waits for."""
    if waiting := record.get("waiting"):
        return f"waits for people: {waiting}"
    parts = []
    if isinstance(loss := record.get("loss"), int | float):
        parts.append(f"loss {loss:.3f}")
    if isinstance(left := record.get("seconds_left"), int | float):
        parts.append(f"{left:.0f} s left")
    return ", ".join(parts)


def evaluate(
    ctx: typer.Context,
    model: Annotated[str, typer.Option(help="A version's name, or a folder of weights or of an adapter.")],
    against: Annotated[str, typer.Option(help="What to compare with: default what `policy` means now.")] = "policy",
    judge: Annotated[str, typer.Option(help="A taste: warm, brief, honest or random. None: capability alone.")] = "",
    prompts: Annotated[Path | None, typer.Option(help="JSONL with a prompt on each line; default ours.")] = None,
    n: Annotated[int, typer.Option("--n", min=1, help="How many prompts.")] = 200,
    seed: Annotated[int, typer.Option(help="Same seed, same samples.")] = 0,
    capability: Annotated[bool, typer.Option(help="Ask the capability questions too.")] = True,
    as_json: AsJson = False,
) -> None:
    """Compare two models on the same prompts, one sample each at serving temperature."""
    from feedback_app.commands.evaluate import evaluate_names

    out = output(ctx)
    with out.console.status("Sampling"):
        result = evaluate_names(model, against, judge, prompts, n, seed, capability=capability)
    out.done(result, lambda console: _show(console, result))


def _show(console: Console, result: dict[str, Any]) -> None:
    console.print(f"{result['model']} against {result['against']} on {result['n']} prompts", markup=False)
    if result["win_rate"] is not None:
        low, high = result["interval"]
        console.print(
            f"  preferred by {result['judge']}: {result['win_rate']:.0%} with ties as half "
            f"(95 % interval {low:.0%} to {high:.0%}), {result['decided']} decided"
        )
    console.print(f"  length: {result['length_ratio']:.2f} times")
    capability, suites = result["capability"], [(suite["name"], suite) for suite in result["suites"]]
    if capability and all(capability["by_category"] != suite["by_category"] for _, suite in suites):
        suites.insert(0, ("capability", capability))
    for name, each in suites:
        console.print(
            f"  {name}: {each['model']:.1%} against {each['against']:.1%} of {each['n']} questions", markup=False
        )
