"""Tiny random models on disk, and adapters for them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

WINDOW = 512


def make_adapter(model: Path, folder: Path, seed: int = 0, rank: int = 8) -> Path:
    """Write a random LoRA adapter for `model`: strong enough to change what it says."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(seed)
    config = LoraConfig(
        r=rank, lora_alpha=8 * rank, target_modules="all-linear", init_lora_weights=False, task_type="CAUSAL_LM"
    )
    get_peft_model(AutoModelForCausalLM.from_pretrained(model), config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random Llama."""
    from tests.alignment.tiny_model import make_tiny_model

    return make_tiny_model(tmp_path_factory.mktemp("model") / "llama", window=WINDOW)


@pytest.fixture(scope="session")
def tiny_opt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random model of another architecture."""
    from tests.alignment.tiny_model import make_tiny_model

    return make_tiny_model(tmp_path_factory.mktemp("model") / "opt", architecture="opt", window=WINDOW)


@pytest.fixture(scope="session")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path, int], Path]:
    """Makes adapters for a model, one per seed, each in a folder of its own."""
    root = tmp_path_factory.mktemp("adapters")

    def make(model: Path, seed: int) -> Path:
        folder = root / f"{model.name}-{seed}"
        return folder if folder.exists() else make_adapter(model, folder, seed)

    return make
