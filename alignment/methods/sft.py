"""Supervised finetuning: a model learns from whole conversations, with loss on the assistant's words alone.

Of a row worth imitating, the loss is on its completion alone: nobody said that the earlier turns were good, nor
that a model of ours said them. Of a conversation file it is on every assistant's turn, but for those of `weight` 0
(OpenAI's mark for a turn to be read and not learned, which `alignloop export` sets on all turns but the last).
"""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import Any

from alignment.checkpoints import trainer_folder
from alignment.errors import StageError
from alignment.snapshot import read_sft
from alignment.spec import StageSpec
from alignment.stages import Progress

DEFAULTS: dict[str, bool | int | float | str] = {
    "epochs": 1.0,
    "max_steps": -1,
    "batch_size": 32,
    "learning_rate": 3e-4,
    "warmup_share": 0.05,
    "max_length": 256,
    "log_every": 10,
    "bf16": True,
}


class SftDataError(StageError):
    """The rows cannot be trained on: none, or none with an assistant's turn."""


def read_rows(data: Path) -> list[dict[str, Any]]:
    """The conversations of ``train.jsonl``, or the training rows worth imitating of a dataset's ``sft.jsonl``.

    Each is {"messages"}, of which every assistant's turn is learned, or all are {"prompt", "completion"}, of which
    only the completion is. Raises SftDataError with the counts when there is no such file, or no row with an
    assistant's turn.
    """
    conversations, imitated = data / "train.jsonl", data / "sft.jsonl"
    if conversations.exists():
        lines = [line for line in conversations.read_text(encoding="utf-8").splitlines() if line.strip()]
        rows = [json.loads(line)["messages"] for line in lines]
        kept = [row for row in rows if any(map(_learned, row))]
        if not kept:
            raise SftDataError(
                f"sft needs at least one conversation with an assistant's turn; 0 of {len(rows)} have one."
            )
        if all(_learned(turn) for row in kept for turn in row if turn["role"] == "assistant"):
            return [{"messages": [_bare(turn) for turn in row]} for row in kept]
        answers = [one for row in kept for one in _answers(row)]
        if not answers:
            raise SftDataError(f"sft needs at least one answer after a question; 0 of {len(rows)} have one to learn.")
        return answers
    if not imitated.exists():
        raise SftDataError(
            f"sft needs at least one row worth imitating; {data} has 0: no train.jsonl and no sft.jsonl."
        )
    found = read_sft(data, "train")
    if not found:
        raise SftDataError("sft needs at least one row worth imitating; this snapshot has 0: collect corrections.")
    return [
        {
            "prompt": [{"role": turn.role, "content": turn.content} for turn in row.prompt],
            "completion": [{"role": "assistant", "content": row.completion}],
        }
        for row in found
    ]


def turns_of(row: dict[str, Any]) -> list[dict[str, Any]]:
    """A row as one conversation."""
    return row["messages"] if "messages" in row else [*row["prompt"], *row["completion"]]


def _learned(turn: dict[str, Any]) -> bool:
    return bool(turn["role"] == "assistant" and turn.get("weight", 1) != 0)


def _bare(turn: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in turn.items() if name != "weight"}


def _answers(turns: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A row for each answer of a conversation that is to be learned."""
    bare = [_bare(turn) for turn in turns]
    return [
        {"prompt": bare[:place], "completion": [bare[place]]}
        for place, turn in enumerate(turns)
        if place and _learned(turn)
    ]


def train(spec: StageSpec, progress: Progress) -> dict[str, Any]:
    """Finetune ``spec.model`` on ``spec.data`` and write the whole model to ``spec.out``; return its metrics.

    Rows longer than ``max_length`` tokens are dropped and counted in ``left_out``, never cut.
    Progress records: `step`, `steps`, `epoch`, `loss`, `seconds_left` and what else the trainer logs.
    Raises `StageError` (SftDataError on data) with one sentence, and NonFiniteLossError when training breaks down.
    """
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer, PrinterCallback
    from trl import SFTConfig, SFTTrainer

    from alignment.methods.pretrain import NonFiniteLossError, save
    from alignment.methods.progress_callback import ProgressCallback
    from alignment.methods.resuming import train_on

    if spec.model is None:
        raise StageError("sft needs a model to start from; name one, or pretrain first.")
    unknown = sorted(set(spec.settings) - set(DEFAULTS))
    if unknown:
        raise StageError(f"sft has no setting {', '.join(unknown)}; it has {', '.join(DEFAULTS)}.")
    settings: dict[str, Any] = {**DEFAULTS, **spec.settings}
    tokenizer = AutoTokenizer.from_pretrained(spec.model)
    model = AutoModelForCausalLM.from_pretrained(spec.model, dtype="float32")
    rows = read_rows(spec.data)
    lengths = [len(tokenizer.apply_chat_template(turns_of(row), return_dict=False)) for row in rows]
    kept = [row for row, length in zip(rows, lengths, strict=True) if length <= settings["max_length"]]
    if not kept:
        raise SftDataError(
            f"{len(rows)} of {len(rows)} rows are longer than {settings['max_length']} tokens, and sft needs at least "
            "one that fits: collect shorter ones or raise max_length."
        )
    started = time.monotonic()

    config = SFTConfig(
        output_dir=str(trainer_folder(spec.out)),
        num_train_epochs=settings["epochs"],
        max_steps=settings["max_steps"],
        per_device_train_batch_size=settings["batch_size"],
        learning_rate=settings["learning_rate"],
        lr_scheduler_type="linear",
        warmup_steps=settings["warmup_share"],
        max_length=settings["max_length"],
        assistant_only_loss=True,
        logging_steps=settings["log_every"],
        logging_nan_inf_filter=False,
        train_sampling_strategy="group_by_length",
        save_strategy="no",
        report_to="none",
        use_cpu=True,
        bf16=settings["bf16"],
        gradient_checkpointing=False,
        disable_tqdm=True,
        seed=spec.seed,
        data_seed=spec.seed,
    )
    trainer = SFTTrainer(
        model=model,
        args=config,
        train_dataset=Dataset.from_list(kept),
        processing_class=tokenizer,
        callbacks=[ProgressCallback(progress)],
    )
    trainer.remove_callback(PrinterCallback)
    result = train_on(trainer, spec)
    if not math.isfinite(result.training_loss):
        raise NonFiniteLossError(f"the mean loss was {result.training_loss}; lower learning_rate")
    save(trainer.model, tokenizer, spec.out)
    return {
        "loss": result.training_loss,
        "steps": trainer.state.global_step,
        "rows": len(kept),
        "left_out": len(rows) - len(kept),
        "seconds": time.monotonic() - started,
    }
