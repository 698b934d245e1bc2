"""What DPO and KTO on collected rows share: a TRL trainer's set-up, what it is told, and what a run reports.

What may not be done here: a loss, or reading rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import torch
from datasets import Dataset
from transformers import PrinterCallback
from trl.trainer.utils import add_fused_lm_head

from alignment.methods.shared_training.adapters import TrainerArguments, start_policy, trainer_arguments, wants_bf16
from alignment.methods.shared_training.completion_logprobs import answer_logps
from alignment.methods.shared_training.loading import load_model
from alignment.methods.shared_training.progress_callback import ProgressCallback
from alignment.methods.shared_training.settings import RowsSettings
from alignment.methods.shared_training.top_up_schedule import planned, sawtooth, travelled
from alignment.records import StageMetrics, StepRecord
from alignment.stage.spec import Progress, StageSpec

RECORDS = 200  # progress records of a cycle, about


class RowsTrainer:
    """Put before a TRL trainer: rows are tokenized already, and the learning rate falls in each of the cycles."""

    # What is used of the trainer.
    model: Any
    args: Any
    optimizer: Any
    cycle: int

    def settle(self) -> None:
        """After TRL's own set-up: undo what is not used of it."""
        if "ref" in self.model.peft_config:  # TRL's copy of an adapter that training continues from
            self.model.delete_adapter("ref")
        # TRL's head also computes entropy and more of every token; only the log-probabilities are needed.
        add_fused_lm_head(self.model.get_base_model(), outputs=("log_probs",))
        self.remove_callback(PrinterCallback)  # type: ignore[attr-defined]  # the trainer's

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        """The linear decay of each cycle (transformers' own hook)."""
        self.lr_scheduler = sawtooth(optimizer or self.optimizer, self.cycle)
        return self.lr_scheduler

    def _prepare_dataset(self, dataset: Dataset, *_: Any) -> Dataset:
        return dataset  # tokenized already, by the model's own template, with nothing cut

    def answer_logps(self, batch: Mapping[str, torch.Tensor], prefix: str = "") -> Any:
        """Summed log-probabilities of the answers of a padded batch, (B,), of those columns that begin so."""
        return answer_logps(self.model, batch, prefix)


@dataclass(frozen=True, slots=True)
class Ready:
    """What a trainer of rows is given: the loaded `model`, the shape of a new adapter (`lora`, None where one is
    continued), `cycle` in steps, what TRL's config is told, and what reports its steps."""

    model: Any
    lora: Any
    cycle: int
    told: TrainerArguments
    callback: ProgressCallback


def set_up(spec: StageSpec, settings: RowsSettings, rows: int, progress: Progress) -> Ready:
    """For a run over so many rows."""
    bf16 = wants_bf16(settings.dtype)
    model = load_model(str(spec.model), bf16=bf16)
    hidden = int(model.config.get_text_config().hidden_size)
    model, lora = start_policy(spec, model, settings)
    cycle = settings.steps_for(rows)
    told = trainer_arguments(
        spec.out,
        seed=spec.seed,
        hidden=hidden,
        steps=cycle * settings.cycles,
        batch=settings.batch,
        rate=settings.rate_for(hidden),
        bf16=bf16,
        threads=settings.threads,
        records=RECORDS * settings.cycles,
    )
    return Ready(model, lora, cycle, told, ProgressCallback(progress, partial(planned, cycle=cycle)))


def run_metrics(trainer: Any, spec: StageSpec, settings: RowsSettings, rows: int) -> StageMetrics:
    """What both report of a finished run over so many rows, beside what only one of them knows."""
    return {
        "steps": trainer.state.global_step,
        **travelled(trainer.state, trainer.cycle, settings.epochs_for(rows)),
        "rate": trainer.args.learning_rate,
        "rank": settings.rank,
        "dtype": "bf16" if trainer.args.bf16 else "fp32",
        "started_from": "adapter" if spec.adapter else "model",
    }


def ends(trainer: Any, names: Sequence[str]) -> StageMetrics:
    """These figures at the `first` and at the `last` logged step; nothing where none was logged."""
    history: list[Mapping[str, float]] = [entry for entry in trainer.state.log_history if "loss" in entry]
    if not history:
        return {}
    first, last = (
        cast(StepRecord, {name: round(float(entry[name]), 4) for name in names if name in entry})
        for entry in (history[0], history[-1])
    )
    return {"first": first, "last": last}
