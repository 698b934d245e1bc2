"""LoRA adapters for training: made, continued, and saved in the form that vLLM serves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NotRequired, TypedDict

from alignment.methods.shared_training.loading import linear_names
from alignment.methods.shared_training.scale import layers_for, threads_for
from alignment.methods.shared_training.settings import PolicySettings
from alignment.stage.checkpoints import trainer_folder
from alignment.stage.spec import StageSpec

POLICY = "default"


def lora_config(
    rank: int,
    alpha: int,
    task: str = "CAUSAL_LM",
    modules_to_save: list[str] | None = None,
    *,
    layers: list[int] | None = None,
    names: list[str] | None = None,
) -> Any:
    """LoRA on all linear modules, no dropout and no biases: what vLLM takes, where `modules_to_save` is None.

    `layers` are the numbers of the layers that get an adapter, None for all; `names` are then the linear
    modules' (PEFT takes a choice of layers only beside a list of names).
    """
    from peft import LoraConfig

    return LoraConfig(
        r=rank,
        lora_alpha=alpha,
        target_modules="all-linear" if layers is None else names,
        layers_to_transform=layers,
        lora_dropout=0.0,
        bias="none",
        task_type=task,
        modules_to_save=modules_to_save,
    )


def policy_lora(model: Any, rank: int, alpha: int, share: float) -> Any:
    """LoRA for a policy, on a share of the layers of `model`; 0: by its size (`scale`)."""
    text = model.config.get_text_config()
    layers = layers_for(int(text.hidden_size), int(text.num_hidden_layers), share)
    return lora_config(rank, alpha, layers=layers, names=linear_names(model))


def save_adapter(model: Any, out: Path) -> None:
    """Write the policy's adapter alone, as safetensors, readable for a vLLM that runs as another user."""
    model.save_pretrained(out, selected_adapters=[POLICY], safe_serialization=True)
    tidy(out)
    (out / "adapter_model.safetensors").chmod(0o644)


def tidy(folder: Path) -> None:
    """Leave nothing of chance in an adapter's folder: PEFT writes a set in any order, and an empty model card."""
    (folder / "README.md").unlink(missing_ok=True)
    config = folder / "adapter_config.json"
    if not config.is_file():
        return
    told = json.loads(config.read_text(encoding="utf-8"))
    if isinstance(told.get("target_modules"), list):
        told["target_modules"].sort()
    config.write_text(json.dumps(told, indent=2, sort_keys=True), encoding="utf-8")


def start_policy(spec: StageSpec, model: Any, settings: PolicySettings) -> tuple[Any, Any]:
    """The model with the adapter that training continues from; or the bare model, and the shape of a new adapter."""
    from peft import PeftModel

    if spec.adapter is not None:
        return PeftModel.from_pretrained(model, str(spec.adapter), is_trainable=True), None
    return model, policy_lora(model, settings.rank, settings.alpha, settings.layers)


class TrainerArguments(TypedDict):
    """Keywords of transformers' `TrainingArguments`, and `max_length`, which not every trainer's config has."""

    output_dir: str
    learning_rate: float
    lr_scheduler_type: str
    max_steps: int
    per_device_train_batch_size: int
    gradient_checkpointing: bool
    use_cpu: bool
    bf16: bool
    seed: int
    data_seed: int
    max_length: NotRequired[None]
    logging_steps: int
    logging_nan_inf_filter: bool
    save_strategy: str
    report_to: list[str]
    disable_tqdm: bool
    dataloader_pin_memory: bool
    remove_unused_columns: bool


def trainer_arguments(
    out: Path,
    *,
    seed: int,
    hidden: int,
    steps: int,
    batch: int,
    rate: float,
    bf16: bool,
    threads: int,
    records: int,
    part: int = 0,
) -> TrainerArguments:
    """What all our Hugging Face trainers are told alike, and the number of threads set for this process.

    `records` is about how many log lines a run writes; `hidden` is the model's hidden size;
    `part` numbers the trainers of one stage. Checkpoints are asked for by `resuming`, not by the trainer.
    """
    import torch

    on_gpu = torch.cuda.is_available()
    chosen = threads_for(hidden, threads)
    if chosen is not None:
        torch.set_num_threads(chosen)
    return {
        "output_dir": str(trainer_folder(out, part)),
        "learning_rate": rate,
        "lr_scheduler_type": "linear",
        "max_steps": steps,
        "per_device_train_batch_size": batch,
        "gradient_checkpointing": hidden > 1024,  # a small model's activations fit; recomputing them costs a third
        "use_cpu": not on_gpu,
        "bf16": bf16,
        "seed": seed,
        "data_seed": seed,
        "max_length": None,
        "logging_steps": max(1, steps // records),
        "logging_nan_inf_filter": False,
        "save_strategy": "no",
        "report_to": [],
        "disable_tqdm": True,
        "dataloader_pin_memory": on_gpu,
        "remove_unused_columns": False,
    }


def wants_bf16(dtype: str) -> bool:
    """Whether a setting of auto, bf16 or fp32 means bfloat16 on this machine."""
    from alignment.methods.shared_training.loading import bf16_is_fast

    return dtype == "bf16" or (dtype == "auto" and bf16_is_fast())
