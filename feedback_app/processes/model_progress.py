"""What people see while a model is unpacked or fetched, which happens once a machine: a bar with the time left."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import TaskID

    from feedback_app.processes.output import Output
    from serving.named_models import Progress


@contextmanager
def model_progress(out: Output) -> Iterator[Progress]:
    """A function that shows what is being done and how much of it, from its first call on; silent without one.

    Where nobody looks (a log, a pipe), each new thing that is done is one line.
    """
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    bar = Progress(*columns, console=out.console, transient=True)
    tasks: dict[str, TaskID] = {}

    def progress(words: str, share: float) -> None:
        if words not in tasks:
            if not out.console.is_terminal:
                out.console.print(words[0].upper() + words[1:], markup=False)
            elif not tasks:
                bar.start()
            tasks[words] = bar.add_task(words[0].upper() + words[1:], total=1.0)
        bar.update(tasks[words], completed=share)

    try:
        yield progress
    finally:
        if tasks and out.console.is_terminal:
            bar.stop()  # one that was never started would end a line all the same
