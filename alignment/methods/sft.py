"""Supervised finetuning: a model learns from whole conversations, with loss on the assistant's words alone."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from alignment.spec import StageSpec

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


class SftDataError(ValueError):
    """The rows cannot be trained on: none, or none with an assistant's turn."""


def read_rows(data: Path) -> list[dict[str, Any]]:
    """Return the {"messages"} rows of ``train.jsonl`` or ``sft.jsonl`` in ``data``.

    Raises FileNotFoundError when neither is there, SftDataError when no row has an assistant's turn.
    """
    paths = [path for path in (data / "train.jsonl", data / "sft.jsonl") if path.exists()]
    if not paths:
        raise FileNotFoundError(f"no train.jsonl and no sft.jsonl in {data}")
    lines = paths[0].read_text(encoding="utf-8").splitlines()
    rows = [{"messages": json.loads(line)["messages"]} for line in lines if line.strip()]
    rows = [row for row in rows if any(message["role"] == "assistant" for message in row["messages"])]
    if not rows:
        raise SftDataError(f"{paths[0]} has no conversation with an assistant's turn")
    return rows


def train(spec: StageSpec, progress: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Finetune ``spec.model`` on ``spec.data`` and write the whole model to ``spec.out``; return its metrics.

    Rows longer than ``max_length`` tokens are dropped and counted in ``left_out``, never cut.
    Raises SftDataError or FileNotFoundError on data, ValueError on settings or without a start model, and
    NonFiniteLossError when training breaks down.
    """
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
    from trl import SFTConfig, SFTTrainer

    from alignment.methods.pretrain import NonFiniteLossError, save

    if spec.model is None:
        raise ValueError("supervised finetuning starts from a model: give one, or pretrain first")
    unknown = sorted(set(spec.settings) - set(DEFAULTS))
    if unknown:
        raise ValueError(f"supervised finetuning has no setting {', '.join(unknown)}; it has {', '.join(DEFAULTS)}")
    settings: dict[str, Any] = {**DEFAULTS, **spec.settings}
    tokenizer = AutoTokenizer.from_pretrained(spec.model)
    model = AutoModelForCausalLM.from_pretrained(spec.model, dtype="float32")
    rows = read_rows(spec.data)
    lengths = [len(tokenizer.apply_chat_template(row["messages"], return_dict=False)) for row in rows]
    kept = [row for row, length in zip(rows, lengths, strict=True) if length <= settings["max_length"]]
    if not kept:
        raise SftDataError(f"every row is longer than {settings['max_length']} tokens")
    started = time.monotonic()

    class Report(TrainerCallback):  # type: ignore[misc]
        """Passes the trainer's log lines on and stops a run whose loss is not finite."""

        def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **_: Any) -> None:
            if not logs or "loss" not in logs:
                return
            if not math.isfinite(logs["loss"]):
                raise NonFiniteLossError(
                    f"the loss was {logs['loss']} at step {state.global_step}; lower learning_rate"
                )
            pace = (time.monotonic() - started) / max(1, state.global_step)
            left = pace * (state.max_steps - state.global_step)
            progress({"step": state.global_step, "steps": state.max_steps, "loss": logs["loss"], "seconds_left": left})

    config = SFTConfig(
        output_dir=str(spec.out / "run"),
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
        callbacks=[Report()],
    )
    result = trainer.train()
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
