"""Direct preference optimisation: pairs and a start model in, a LoRA adapter out.

The adapter is one that vLLM serves as it is: LoRA on all linear modules of the trained layers, no DoRA, no
trained biases, no `modules_to_save`. Training always starts from `spec.model`; with `spec.adapter` it
continues that adapter, and the reference is then the model with that adapter, so one adapter on the base
stays all there is to serve. The metrics record which. Runs on a GPU where there is one, else on the CPU, in
bfloat16 where the processor has it.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alignment.dataset.judgement import Message
from alignment.dataset.left_out import LeftOut
from alignment.dataset.reading.folder import read_marks, read_pairs, read_sft
from alignment.dataset.reading.training_files import has_table
from alignment.errors import StageError
from alignment.methods.dpo.settings import MOVED, DpoSettings
from alignment.methods.shared_training.adapters import save_adapter
from alignment.methods.shared_training.few_pairs import check_pairs
from alignment.methods.shared_training.loading import load_tokenizer, window
from alignment.methods.shared_training.tokenized import TokenizedAnswer, TokenizedPair, tokenize_answers, tokenize_pairs
from alignment.records import StageMetrics
from alignment.stage.spec import Progress, StageSpec

if TYPE_CHECKING:
    from alignment.methods.dpo.trainer import WeightedDpoTrainer


def train(spec: StageSpec, progress: Progress) -> StageMetrics:
    """Train an adapter on the snapshot's pairs and save it into `spec.out`.

    Progress records: `step`, `steps`, `epoch`, `loss`, `margin` (mean reward margin), `accuracy` (pairs in
    the right order), `logps_chosen`, `nll` (what `sft` adds, per token, where it is set), `seconds_left`.
    Returns the metrics.
    Raises `StageError` with one sentence when the data are unusable or the loss is not finite.
    """
    from alignment.methods.shared_training.resuming import train_on
    from alignment.methods.shared_training.rows_trainer import ends, run_metrics
    from alignment.methods.shared_training.top_up_schedule import UntilMoved

    if spec.model is None:
        raise StageError("dpo needs a model to start from; name one.")
    settings = DpoSettings.read(spec.settings)
    began = time.perf_counter()
    left = LeftOut()
    rows = read_pairs(spec.data, left=left)
    check_pairs("dpo", sum(row.split == "train" for row in rows) + left.total, settings.min_pairs)
    tokenizer = load_tokenizer(spec.model)
    max_length = settings.max_length or window(spec.model, tokenizer)
    bad = found_bad(spec.data) if settings.sft else set()
    pairs, unusable = tokenize_pairs([row for row in rows if row.split == "train"], tokenizer, max_length, bad=bad)
    left.update(unusable)
    left.check("dpo", len(pairs), settings.min_pairs, "pairs", f"the model's {max_length} tokens")
    held_out, unusable = tokenize_pairs([row for row in rows if row.split == "held_out"], tokenizer, max_length)
    left.update(unusable)
    answers, answers_left = _answers(spec.data, pairs, tokenizer, max_length) if settings.sft else ([], 0)
    trainer = build_trainer(spec, settings, tokenizer, pairs, progress, answers)
    reference = trainer.logps(_dataset(held_out)) if held_out else ([], [])
    trainer.add_callback(UntilMoved(distance_on(trainer, held_out, reference, pairs), trainer.cycle, MOVED))
    ready = time.perf_counter()
    train_on(trainer, spec)
    trained = time.perf_counter()
    metrics: StageMetrics = {
        "rows": {"train": len(pairs), "held_out": len(held_out)},
        **left.to_record(),
        "tokens": sum(2 * len(pair.prompt) + len(pair.chosen) + len(pair.rejected) for pair in pairs),
        **run_metrics(trainer, spec, settings, len(pairs)),
        "loss": settings.loss,
        "beta": settings.beta,
        "flips": settings.flips,
        "margin_scale": settings.margin,
        "layers": _trained_layers(trainer),
        **ends(trainer, ("loss", "margin", "accuracy", "logps_chosen", "logps_rejected", "nll")),
    }
    if settings.sft:
        metrics |= {"sft": settings.sft, "sft_rows": len(answers), "sft_rows_left_out": answers_left}
    if held_out:
        metrics["held_out_accuracy"] = _accuracy(trainer.logps(_dataset(held_out)), reference)
    save_adapter(trainer.model, spec.out)
    metrics["seconds_set_up"] = round(ready - began, 3)
    metrics["seconds_training"] = round(trained - ready, 3)
    return metrics


def build_trainer(
    spec: StageSpec,
    settings: DpoSettings,
    tokenizer: Any,
    pairs: list[TokenizedPair],
    progress: Progress,
    answers: Sequence[TokenizedAnswer] = (),
) -> WeightedDpoTrainer:
    """The trainer, ready to go: model loaded, adapter in place, reference log-probabilities computed."""
    from trl import DPOConfig

    from alignment.methods.dpo.trainer import WeightedDpoTrainer
    from alignment.methods.shared_training.rows_trainer import set_up

    ready = set_up(spec, settings, len(pairs), progress)
    return WeightedDpoTrainer(
        model=ready.model,
        config=DPOConfig(beta=settings.beta, **ready.told),
        pairs=pairs,
        answers=answers,
        settings=settings,
        cycle=ready.cycle,
        processing_class=tokenizer,
        peft_config=ready.lora,
        callbacks=[ready.callback],
    )


def found_bad(data: Path) -> set[tuple[tuple[Message, ...], str]]:
    """Prompts with the answers to them that people marked bad: chosen or not, nobody wants those imitated."""
    if not has_table(data, "marks"):
        return set()
    return {(row.prompt, row.completion) for row in read_marks(data, "train") if not row.label and row.origin == "vote"}


def _answers(
    data: Path, pairs: Sequence[TokenizedPair], tokenizer: Any, max_length: int
) -> tuple[list[TokenizedAnswer], int]:
    """The SFT rows that no pair holds as its chosen answer (a correction is both), and how many cannot be used."""
    if not has_table(data, "sft"):
        return [], 0
    chosen = {tuple(pair.prompt + pair.chosen) for pair in pairs}
    left = LeftOut()
    answers, unusable = tokenize_answers(read_sft(data, "train", left=left), tokenizer, max_length)
    left.update(unusable)
    alone = [answer for answer in answers if tuple(answer.prompt + answer.completion) not in chosen]
    return alone, left.total


def _dataset(pairs: list[TokenizedPair]) -> Any:
    from alignment.methods.dpo.trainer import as_dataset

    return as_dataset(pairs)


def distance_on(
    trainer: WeightedDpoTrainer,
    held_out: Sequence[TokenizedPair],
    reference: tuple[list[float], list[float]],
    pairs: Sequence[TokenizedPair],
) -> Callable[[], float]:
    """Measures how far the model has moved from the reference, on held-out pairs where there are enough of them.

    `reference` holds the reference's log-probabilities of `held_out`; the trainer has those of `pairs`.
    """
    from alignment.methods.shared_training.top_up_schedule import PROBE, gains, moved

    if len(held_out) >= PROBE:
        probe, (chosen, rejected) = held_out, reference
    else:
        probe, known = pairs, trainer.train_dataset
        chosen, rejected = known["ref_chosen_logps"], known["ref_rejected_logps"]
    rows, before = _dataset(list(probe[:PROBE])), (chosen[:PROBE], rejected[:PROBE])
    return lambda: moved(gains(trainer.logps(rows), before))


def _accuracy(after: tuple[list[float], list[float]], before: tuple[list[float], list[float]]) -> float:
    """The share of held-out pairs whose chosen answer gained more than the rejected one. Support, not evidence."""
    from alignment.methods.shared_training.top_up_schedule import gains

    found = gains(after, before)
    return sum(gain > 0 for gain in found) / len(found)


def _trained_layers(trainer: WeightedDpoTrainer) -> list[int]:
    """Numbers of the layers that have an adapter."""
    names = [name for name, parameter in trainer.model.named_parameters() if parameter.requires_grad]
    return sorted({int(number) for name in names for number in re.findall(r"\.(\d+)\.", name)[:1]})
