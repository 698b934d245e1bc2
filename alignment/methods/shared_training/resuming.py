"""Writing and reading checkpoints in the middle of a stage: our own loops, and Hugging Face's trainers.

What is continued gives bit for bit what an uninterrupted run gives, on a CPU with the same number of threads.
A checkpoint is written at most every `spec.checkpoint_s` seconds, and seldom enough to cost at most a twentieth
of the time. Where they lie and when one counts is `alignment.stage.checkpoints`' business.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Generic, Protocol, TypedDict, TypeVar, cast

import torch
from transformers import TrainerCallback

from alignment.records import StepRecord
from alignment.stage.checkpoints import CHECKPOINTS, Checkpoint, Notes, newest, whole
from alignment.stage.spec import StageSpec

STATE, CHANCE = "state.pt", "chance.pt"
_SHARE = 20  # one part of so many of the time may go into checkpoints

RunState = TypeVar("RunState", bound=Mapping[str, object])
"""A TypedDict of tensors, numbers, texts, and lists, tuples and dicts of them: read back without running code."""

Kept = TypeVar("Kept", bound=Mapping[str, object])
TakenUp = TypeVar("TakenUp", contravariant=True)


class LoopState(TypedDict, Generic[RunState]):
    """What a loop of steps goes on from: its run's state, and the figures of the steps so far."""

    run: RunState
    history: list[StepRecord]


class Resumable(Protocol[TakenUp]):
    """The optimiser's side of a loop."""

    def load_state(self, state: TakenUp) -> None: ...


class Pace:
    """When the next checkpoint is due."""

    def __init__(self, every_s: float) -> None:
        """Negative: never."""
        self._every_s = every_s
        self._next = time.monotonic() + every_s

    def due(self) -> bool:
        """Whether one may be written now."""
        return self._every_s >= 0 and time.monotonic() >= self._next

    def written(self, seconds: float) -> None:
        """One was, in so many seconds."""
        self._next = time.monotonic() + max(self._every_s, _SHARE * seconds if self._every_s else 0.0)


class LoopCheckpoints(Generic[Kept]):
    """For a loop of our own: hands over the state to begin with, and takes the state after each step."""

    def __init__(self, spec: StageSpec) -> None:
        self._spec = spec
        self._pace = Pace(spec.checkpoint_s)
        self.found: Checkpoint | None = newest(spec)

    @property
    def step(self) -> int:
        """The step to go on from; 0 is the beginning."""
        return self.found.step if self.found else 0

    def state(self) -> Kept | None:
        """What `offer` was given at that step, on the CPU; None at the beginning."""
        if self.found is None:
            return None
        read = torch.load(self.found.folder / STATE, map_location="cpu", weights_only=True)
        torch.set_rng_state(read["chance"])
        return cast(Kept, read)

    def take_up(
        self, run: Resumable[RunState], asked: Iterator[Any], each: int, state: LoopState[RunState] | None
    ) -> list[StepRecord]:
        """The records so far; `run`, and `asked` with `each` prompts a step, are then where they were after those.

        `state` is what `state()` gave.
        """
        if state is None:
            return []
        run.load_state(state["run"])
        next(islice(asked, self.step * each - 1, None))
        return state["history"]

    def offer(self, step: int, state: Callable[[], Kept], *, now: bool = False) -> None:
        """Write the state after a step if one is due; with `now` unless checkpoints are switched off."""
        if not (self._pace.due() or (now and self._spec.checkpoint_s >= 0)):
            return
        began = time.monotonic()
        folder = self._spec.out / CHECKPOINTS / f"step-{step}"
        folder.mkdir(parents=True, exist_ok=True)
        torch.save({**state(), "chance": torch.get_rng_state()}, folder / STATE)
        whole(folder, self._spec, step)
        self._pace.written(time.monotonic() - began)


def train_on(
    trainer: Any,
    spec: StageSpec,
    *,
    every: int = 1,
    before: int = 0,
    notes: Callable[[Path], Notes] = lambda folder: {},
) -> Any:
    """`trainer.train()`, from the stage's last checkpoint where there is one, with new ones on the way.

    Checkpoints fall on steps that are multiples of `every`; `before` are the steps of the stage that other
    trainers took. `notes` may put further files into a checkpoint's folder, and gives what else to note in it.
    """
    found = newest(spec)
    if found is not None and found.folder.parent != Path(trainer.args.output_dir):
        found = None  # another trainer's
    trainer.add_callback(TrainerCheckpoints(spec, every=every, before=before, notes=notes, found=found))
    return trainer.train(resume_from_checkpoint=str(found.folder) if found else None)


class TrainerCheckpoints(TrainerCallback):  # type: ignore[misc]  # transformers ships no types
    """Asks the trainer for its own checkpoint when one is due, and calls it whole when all of it is written.

    Beside what the trainer keeps, it keeps the state of chance at the beginning of the pass over the data: a
    trainer that goes on in the middle of a pass draws the rows' order anew, and must draw the same.
    """

    def __init__(
        self,
        spec: StageSpec,
        *,
        every: int,
        before: int,
        notes: Callable[[Path], Notes],
        found: Checkpoint | None,
    ) -> None:
        self._spec = spec
        self._every = every
        self._before = before
        self._notes = notes
        self._found = found
        self._pace = Pace(spec.checkpoint_s)
        self._began = 0.0
        self._pass: dict[str, Any] = {}

    def on_epoch_begin(self, args: Any, state: Any, control: Any, train_dataloader: Any = None, **_: Any) -> None:
        """Keep chance as it is, or after an interruption put it back."""
        generators = list(_generators(train_dataloader))
        if self._found is not None:
            kept = torch.load(self._found.folder / CHANCE, weights_only=True)
            in_the_middle = state.global_step % len(train_dataloader) > 0
            if in_the_middle:
                torch.set_rng_state(kept["pass"]["all"])
            for generator, then in zip(generators, kept["pass" if in_the_middle else "now"]["own"], strict=True):
                generator.set_state(then)
            self._found = None
        self._pass = _chance(generators)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Ask for a checkpoint if one is due; none after the last step."""
        last = state.global_step >= state.max_steps or control.should_training_stop
        if self._pace.due() and state.global_step % self._every == 0 and not last:
            self._began = time.monotonic()
            control.should_save = True

    def on_save(self, args: Any, state: Any, control: Any, train_dataloader: Any = None, **_: Any) -> None:
        """Add ours, and call it whole."""
        folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        torch.save({"pass": self._pass, "now": _chance(list(_generators(train_dataloader)))}, folder / CHANCE)
        whole(folder, self._spec, self._before + state.global_step, self._notes(folder))
        self._pace.written(time.monotonic() - self._began)


def _chance(generators: Sequence[torch.Generator]) -> dict[str, Any]:
    return {"all": torch.get_rng_state(), "own": [generator.get_state() for generator in generators]}


def _generators(loader: Any) -> Iterator[torch.Generator]:
    """The generators of a data loader's samplers that live on from one pass to the next."""
    inner = loader
    while inner is not None:
        generator = getattr(inner, "generator", None)
        seeds_every_pass = hasattr(inner, "initial_seed")  # accelerate's, which needs nothing kept
        if isinstance(generator, torch.Generator) and not seeds_every_pass:
            yield generator
        inner = getattr(inner, "batch_sampler", None) or getattr(inner, "sampler", None)
