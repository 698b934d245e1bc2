"""Kahneman–Tversky optimisation: likes and dislikes as they are and a start model in, a LoRA adapter out.

For marks that never meet in a pair: a like alone or a dislike alone teaches too. The adapter is one that
vLLM serves as it is, and continuing one works as in `dpo`: the reference is then the model with it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from alignment.dataset.left_out import LeftOut
from alignment.dataset.reading.folder import read_marks
from alignment.errors import StageError
from alignment.methods.kto.settings import MOVED, KtoSettings, check_marks
from alignment.methods.shared_training.adapters import save_adapter
from alignment.methods.shared_training.loading import load_tokenizer, window
from alignment.methods.shared_training.tokenized_labels import TokenizedMark, tokenize_marks
from alignment.records import StageMetrics
from alignment.stage.spec import Progress, StageSpec

if TYPE_CHECKING:
    from alignment.methods.kto.trainer import WeightedKtoTrainer


def train(spec: StageSpec, progress: Progress) -> StageMetrics:
    """Train an adapter on the snapshot's marks and save it into `spec.out`.

    Progress records: `step`, `steps`, `epoch`, `loss`, `margin` (mean reward of likes minus that of
    dislikes), `accuracy` (rows whose reward has the right sign), `logps_chosen` (liked), `logps_rejected`,
    `kl` (the batch's estimate), `seconds_left`. Returns the metrics.
    Raises `StageError` with one sentence when the data are unusable or the loss is not finite.
    """
    from alignment.methods.shared_training.resuming import train_on
    from alignment.methods.shared_training.rows_trainer import ends, run_metrics
    from alignment.methods.shared_training.top_up_schedule import UntilMoved

    if spec.model is None:
        raise StageError("kto needs a model to start from; name one.")
    settings = KtoSettings.read(spec.settings)
    began = time.perf_counter()
    left = LeftOut()
    rows = read_marks(spec.data, left=left)
    training = [row for row in rows if row.split == "train"]
    likes = sum(row.label for row in training)
    if not left.total:
        check_marks(likes, len(training) - likes, settings.min_marks)
    tokenizer = load_tokenizer(spec.model)
    max_length = settings.max_length or window(spec.model, tokenizer)
    marks, unusable = tokenize_marks(training, tokenizer, max_length)
    left.update(unusable)
    likes = sum(mark.label for mark in marks)
    _check_usable(left, likes, len(marks) - likes, settings.min_marks, max_length)
    held_out, unusable = tokenize_marks([row for row in rows if row.split == "held_out"], tokenizer, max_length)
    left.update(unusable)
    trainer = build_trainer(spec, settings, tokenizer, marks, progress)
    before = trainer.logps(_answers(held_out))
    trainer.add_callback(UntilMoved(distance_on(trainer, held_out, before, marks), trainer.cycle, MOVED))
    ready = time.perf_counter()
    train_on(trainer, spec)
    trained = time.perf_counter()
    metrics: StageMetrics = {
        "rows": {"train": len(marks), "held_out": len(held_out), "likes": likes, "dislikes": len(marks) - likes},
        **left.to_record(),
        "tokens": sum(len(mark.prompt) + len(mark.completion) for mark in marks),
        **run_metrics(trainer, spec, settings, len(marks)),
        "beta": settings.beta,
        **ends(trainer, ("loss", "margin", "accuracy", "logps_chosen", "logps_rejected", "kl")),
    }
    if held_out:
        after = trainer.logps(_answers(held_out))
        right = sum((new > old) is mark.label for new, old, mark in zip(after, before, held_out, strict=True))
        metrics["held_out_accuracy"] = right / len(held_out)
    save_adapter(trainer.model, spec.out)
    metrics["seconds_set_up"] = round(ready - began, 3)
    metrics["seconds_training"] = round(trained - ready, 3)
    return metrics


def build_trainer(
    spec: StageSpec, settings: KtoSettings, tokenizer: Any, marks: Sequence[TokenizedMark], progress: Progress
) -> WeightedKtoTrainer:
    """The trainer, ready to go: model loaded, adapter in place, reference log-probabilities computed."""
    from trl import KTOConfig

    from alignment.methods.kto.trainer import WeightedKtoTrainer
    from alignment.methods.shared_training.rows_trainer import set_up

    ready = set_up(spec, settings, len(marks), progress)
    return WeightedKtoTrainer(
        model=ready.model,
        config=KTOConfig(beta=settings.beta, train_sampling_strategy="sequential", **ready.told),
        marks=balanced(marks, settings),
        cycle=ready.cycle,
        processing_class=tokenizer,
        peft_config=ready.lora,
        callbacks=[ready.callback],
    )


def balanced(marks: Sequence[TokenizedMark], settings: KtoSettings) -> list[TokenizedMark]:
    """The rows with their side's weight in their own."""
    liked = sum(mark.weight for mark in marks if mark.label)
    desirable, undesirable = settings.sides_for(liked, sum(mark.weight for mark in marks) - liked)
    return [replace(mark, weight=mark.weight * (desirable if mark.label else undesirable)) for mark in marks]


def distance_on(
    trainer: WeightedKtoTrainer,
    held_out: Sequence[TokenizedMark],
    reference: Sequence[float],
    marks: Sequence[TokenizedMark],
) -> Callable[[], float]:
    """Measures how far the model has moved from the reference, on held-out answers where there are enough of them.

    `reference` holds the reference's log-probabilities of `held_out`.
    """
    from alignment.methods.shared_training.top_up_schedule import PROBE, moved

    enough = len(held_out) >= PROBE
    answers = _answers((held_out if enough else marks)[:PROBE])
    before = reference[:PROBE] if enough else trainer.logps(answers)
    return lambda: moved([new - old for new, old in zip(trainer.logps(answers), before, strict=True)])


def _answers(marks: Sequence[TokenizedMark]) -> list[tuple[list[int], list[int]]]:
    return [(mark.prompt, mark.completion) for mark in marks]


def _check_usable(left: LeftOut, likes: int, dislikes: int, needed: int, max_length: int) -> None:
    if likes + dislikes < needed or not likes or not dislikes:
        lacking = f"which leaves {likes} likes and {dislikes} dislikes"
        tokens = f"the model's {max_length} tokens"
        left.check("kto", likes + dislikes, needed, "marked answers", tokens, lacking=lacking)
