"""What people see while scripted ones vote: how many verdicts are in, how many answers failed, the time left."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from feedback_app.processes.output import Output
    from feedback_app.simulate import Standing, Watch

LINES = 10  # where nobody looks: a line for each tenth


def in_words(standing: Standing) -> str:
    """How far it is, and how long the rest takes at the pace so far."""
    words = f"{standing.done} of {standing.asked}"
    if standing.failed:
        words += f", {standing.failed} failed"
    left = standing.left_s
    if left is None:
        return f"{words}, waiting for the first answers"
    return f"{words}, {_time(left)} left" if standing.done < standing.asked else words


@contextmanager
def simulate_progress(out: Output, what: str, asked: int) -> Iterator[Watch]:
    """A function that shows how far it is: a bar, or lines in a log or a pipe."""
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[words]}"))
    bar = Progress(*columns, console=out.console, transient=True, disable=not out.console.is_terminal)
    task = bar.add_task(what, total=asked, words="waiting for the first answers")
    tenth = 0

    def watch(standing: Standing) -> None:
        nonlocal tenth
        bar.update(task, completed=standing.done, words=in_words(standing))
        now = standing.done * LINES // standing.asked
        if not out.console.is_terminal and tenth < now < LINES:
            out.console.print(f"{what}: {in_words(standing)}", markup=False)
        tenth = max(tenth, now)

    with bar:
        yield watch


def _time(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"
