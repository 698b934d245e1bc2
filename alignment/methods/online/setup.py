"""What every stage that learns from a reward model begins with: the folders it needs, its prompts, its models."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from alignment.dataset.left_out import LeftOut
from alignment.errors import StageError
from alignment.methods.online.prompts import Prompt, prompts_for, usable_prompts
from alignment.methods.shared_training.adapters import wants_bf16
from alignment.methods.shared_training.loading import window
from alignment.methods.shared_training.scale import threads_for
from alignment.stage.spec import StageSpec

if TYPE_CHECKING:
    from alignment.methods.online.model import OneBase


class Answering(Protocol):
    """The settings of a stage that answers prompts itself."""

    @property
    def prompts(self) -> str: ...
    @property
    def min_prompts(self) -> int: ...
    @property
    def max_tokens(self) -> int: ...
    @property
    def max_length(self) -> int: ...


class Adapting(Protocol):
    """The settings that shape the models in memory."""

    @property
    def rank(self) -> int: ...
    @property
    def alpha(self) -> int: ...
    @property
    def layers(self) -> float: ...
    @property
    def dtype(self) -> str: ...
    @property
    def temperature(self) -> float: ...
    @property
    def threads(self) -> int: ...


def folders(spec: StageSpec) -> tuple[str, Path]:
    """The start model and the reward model. Raises `StageError` naming the one that is missing."""
    if spec.model is None:
        raise StageError(f"{spec.stage} needs a model to start from; name one.")
    if spec.reward is None:
        raise StageError(f"{spec.stage} needs a reward model: train one first, and name its folder with --reward.")
    return spec.model, spec.reward


def asked_prompts(spec: StageSpec, settings: Answering, tokenizer: Any) -> tuple[list[Prompt], LeftOut]:
    """The prompts that can be answered and leave room for it, and what was left out.

    Raises `StageError` with the counts when there are too few.
    """
    left = LeftOut()
    prompts = prompts_for(spec.data, settings.prompts, spec.stage, settings.min_prompts, left)
    room = (settings.max_length or window(str(spec.model), tokenizer)) - settings.max_tokens
    return usable_prompts(prompts, tokenizer, room, spec.stage, settings.min_prompts, left), left


def one_base(spec: StageSpec, settings: Adapting, tokenizer: Any) -> OneBase:
    """The base with its adapters for policy and reward, and this process's threads set for its size."""
    import torch

    from alignment.methods.online.model import OneBase

    source, reward = folders(spec)
    model = OneBase(
        source,
        reward=reward,
        adapter=spec.adapter,
        rank=settings.rank,
        alpha=settings.alpha,
        layers=settings.layers,
        bf16=wants_bf16(settings.dtype),
        pad=tokenizer.pad_token_id,
        temperature=settings.temperature,
        seed=spec.seed,
    )
    threads = threads_for(model.hidden_size, settings.threads)
    if threads is not None:
        torch.set_num_threads(threads)
    return model
