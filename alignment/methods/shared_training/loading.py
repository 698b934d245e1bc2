"""Loading a model and its tokenizer for training or scoring, with sentences for what can be wrong."""

from __future__ import annotations

from typing import Any

from alignment.errors import StageError

LONGEST = 2048  # tokens of one training sequence at most, whatever the model's window


def load_tokenizer(source: str) -> Any:
    """The tokenizer of a model, with a padding token. Raises `StageError` when it has no chat template."""
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(source)
    except (OSError, ValueError) as error:
        raise StageError(f"{source} has no tokenizer that transformers can load: {_first_line(error)}") from error
    if not tokenizer.chat_template:
        raise StageError(f"{source} has no chat template, so there is no way to render a conversation for it.")
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_model(source: str, *, bf16: bool) -> Any:
    """The causal language model of a folder or hub name, safetensors only. Raises `StageError` when there is none.

    `bf16` loads the frozen weights in bfloat16, the form they are served in.
    """
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()  # a bar for each small file among what a command has to say
    try:
        model = AutoModelForCausalLM.from_pretrained(
            source, dtype=torch.bfloat16 if bf16 else torch.float32, use_safetensors=True
        )
    except (OSError, ValueError) as error:
        raise StageError(f"{source} is not a model that transformers can load: {_first_line(error)}") from error
    model.config.use_cache = False
    return model


def linear_names(model: Any) -> list[str]:
    """Names of the linear modules inside the layers (`q_proj`, `down_proj`, …), without the output head's."""
    import torch

    head = model.get_output_embeddings()
    return sorted(
        {
            name.rpartition(".")[2]
            for name, module in model.named_modules()
            if isinstance(module, torch.nn.Linear) and module is not head
        }
    )


def window(source: str, tokenizer: Any) -> int:
    """The longest training sequence in tokens: the model's own window, at most `LONGEST`."""
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(source).get_text_config()
    limit = int(getattr(config, "max_position_embeddings", LONGEST) or LONGEST)
    named = int(getattr(tokenizer, "model_max_length", limit) or limit)
    return max(1, min(limit, named, LONGEST))


def bf16_is_fast() -> bool:
    """Whether this machine multiplies bfloat16 natively: a GPU that does, or a CPU with AVX-512 BF16 or the like."""
    import torch

    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported())
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            flags = file.read()
    except OSError:
        return False
    return any(flag in flags for flag in ("avx512_bf16", "amx_bf16", " bf16"))


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
