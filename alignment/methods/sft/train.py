"""Supervised finetuning: a model learns from whole conversations, with loss on the assistant's words alone."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

from alignment.dataset.left_out import LeftOut
from alignment.dataset.reading.folder import read_conversations
from alignment.dataset.reading.training_files import holds_nothing
from alignment.dataset.reading.training_rows import Conversation
from alignment.errors import StageError
from alignment.methods.sft.settings import SftSettings
from alignment.methods.shared_training.chat_template import as_turns
from alignment.methods.shared_training.tokenized import Laying
from alignment.records import StageMetrics
from alignment.stage.checkpoints import trainer_folder
from alignment.stage.spec import Progress, StageSpec


class SftDataError(StageError):
    """The rows cannot be trained on: none, or none with an assistant's turn."""


def read_rows(data: Path, left: LeftOut) -> list[Conversation]:
    """What is to be learned: conversations, or the training rows worth imitating of a dataset.

    Of a conversation every answer is learned but those that the file gives no weight, of a row worth imitating only
    its completion. Rows that cannot be used are counted in ``left``.
    Raises SftDataError where there is nothing to learn and nothing was left out.
    """
    rows = [] if holds_nothing(data) else read_conversations(data, left=left)
    if not rows and not left.total:
        raise SftDataError(
            f"sft needs at least one conversation or row worth imitating; {data} has 0: collect corrections."
        )
    return rows


class SftExample(TypedDict, total=False):
    """A row for TRL: a conversation whose every answer is learned, or a prompt and the one answer to learn."""

    messages: list[dict[str, str]]
    prompt: list[dict[str, str]]
    completion: list[dict[str, str]]


UNMARKED = (
    "sft cannot tell which words of this model's chat template are the assistant's: put {% generation %} and "
    "{% endgeneration %} around them in the template, or start from a model whose template has them."
)


def laid_out(rows: Sequence[Conversation], laying: Laying) -> list[SftExample]:
    """The rows for TRL: whole conversations where every answer is learned, else one row an answer to learn."""
    kept = []
    for row in rows:
        turns = laying.conversation(row.turns, row.judgements, learned=row.learned)
        if turns is not None:
            kept.append((as_turns(turns), row.learned))
    if all(len(learned) == sum(turn["role"] == "assistant" for turn in turns) for turns, learned in kept):
        return [SftExample(messages=turns) for turns, _ in kept]
    return [
        SftExample(prompt=turns[:place], completion=[turns[place]])
        for turns, learned in kept
        for place in learned
        if place
    ]


def train(spec: StageSpec, progress: Progress) -> StageMetrics:
    """Finetune ``spec.model`` on ``spec.data`` and write the whole model to ``spec.out``; return its metrics.

    Rows that cannot be used, or are longer than ``max_length`` tokens, are left out and counted, never cut.
    Progress records: `step`, `steps`, `epoch`, `loss`, `seconds_left` and what else the trainer logs.
    Raises `StageError` (SftDataError on data) with one sentence, and NonFiniteLossError when training breaks down.
    """
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer, PrinterCallback
    from trl import SFTConfig, SFTTrainer

    from alignment.methods.pretrain.train import NonFiniteLossError, save
    from alignment.methods.shared_training.progress_callback import ProgressCallback
    from alignment.methods.shared_training.resuming import train_on

    if spec.model is None:
        raise StageError("sft needs a model to start from; name one, or pretrain first.")
    settings = SftSettings.read(spec.settings)
    left = LeftOut()
    rows = read_rows(spec.data, left)
    tokenizer = AutoTokenizer.from_pretrained(spec.model)
    laying = Laying(tokenizer, settings.max_length)
    kept = laid_out(rows, laying)
    left.update(laying.left)
    left.check("sft", len(kept), 1, "rows", f"{settings.max_length} tokens")
    model = AutoModelForCausalLM.from_pretrained(spec.model, dtype="float32")
    started = time.monotonic()

    config = SFTConfig(
        output_dir=str(trainer_folder(spec.out)),
        num_train_epochs=settings.epochs,
        max_steps=settings.max_steps,
        per_device_train_batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
        lr_scheduler_type="linear",
        warmup_steps=settings.warmup_share,
        max_length=settings.max_length,
        assistant_only_loss=True,
        logging_steps=settings.log_every,
        logging_nan_inf_filter=False,
        train_sampling_strategy="group_by_length",
        save_strategy="no",
        report_to="none",
        use_cpu=True,
        bf16=settings.bf16,
        gradient_checkpointing=False,
        disable_tqdm=True,
        seed=spec.seed,
        data_seed=spec.seed,
    )
    try:
        trainer = SFTTrainer(
            model=model,
            args=config,
            train_dataset=Dataset.from_list(kept),
            processing_class=tokenizer,
            callbacks=[ProgressCallback(progress)],
        )
    except ValueError as error:
        if "chat template" not in str(error):
            raise
        raise StageError(UNMARKED) from error  # the answers alone are learned, and nothing says where they begin
    trainer.remove_callback(PrinterCallback)
    result = train_on(trainer, spec)
    if not math.isfinite(result.training_loss):
        raise NonFiniteLossError(f"the mean loss was {result.training_loss}; lower learning_rate")
    save(trainer.model, tokenizer, spec.out)
    return {
        "loss": result.training_loss,
        "steps": trainer.state.global_step,
        "rows": len(kept),
        **left.to_record(),
        "seconds": time.monotonic() - started,
    }
