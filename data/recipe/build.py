"""Builds the embedded model from its seeds: corpus, pretraining, supervised finetuning, measured figures.

Run as ``python -m data.recipe.build``; an interrupted build continues where it stopped. The same seed and the same
number of threads on the same processor give the same corpus everywhere and the same weights up to rounding.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from alignment.files import beside, numbered_lines, sha256_of
from alignment.methods.pretrain import train as pretrain
from alignment.methods.sft import train as sft
from alignment.stage.spec import StageSpec

from . import corpus, questions
from .asking import WEIGHTS
from .measure import measure

DATA = Path(__file__).resolve().parent.parent
SEED = 1
PRETRAIN_ROWS, PRETRAIN_SEED = 260_000, 2026
SFT_ROWS, SFT_SEED = 30_000, 2027
# Finetuning practises most what pretraining leaves weakest, by category.
SFT_WEIGHTS = {
    "capitals": 5.0,
    "sums": 26.0,
    "calendar": 15.0,
    "colours": 5.0,
    "opposites": 7.0,
    "animals": 8.0,
    "lists": 20.0,
    "stories": 2.0,
    "greetings": 10.0,
    "rewriting": 4.0,
    "harm": 6.0,
    "unknown": 4.0,
}
TEMPERATURE = 0.8
PRETRAIN: dict[str, bool | int | float | str] = {
    "hidden_size": 256,
    "intermediate_size": 768,
    "layers": 4,
    "heads": 4,
    "row_length": 192,
    "batch_rows": 21,
    "steps": 1900,
    "temperature": TEMPERATURE,
}
SFT: dict[str, bool | int | float | str] = {"learning_rate": 7e-4, "batch_size": 32}
MODEL_FILES = ("config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")


class FrozenQuestionsError(RuntimeError):
    """A question file is not the one that was frozen before training."""


def verify_frozen(folder: Path) -> None:
    """Check the question files in ``folder`` against ``SHA256SUMS``; raises FrozenQuestionsError on a difference."""
    for _, line in numbered_lines(folder / "SHA256SUMS"):
        digest, name = line.split()
        if sha256_of(folder / name) != digest:
            raise FrozenQuestionsError(f"{name} is not the file that was frozen; restore it before building")


def _report(stage: str) -> Callable[[dict[str, Any]], None]:
    def show(row: dict[str, Any]) -> None:
        place = f"step {row['step']} of {row['steps']}, loss {row['loss']:.3f}"
        sys.stderr.write(f"{stage}: {place}, {row['seconds_left'] / 60:.1f} min left\n")

    return show


def _corpus(folder: Path, rows: int, seed: int, weights: Mapping[str, float] = WEIGHTS) -> Path:
    """Write a corpus unless it is there already; a half-written one is never taken for a whole one."""
    done = folder / "train.jsonl"
    if not done.exists():
        partial = beside(done)
        corpus.write(partial, corpus.rows(rows, seed, questions.refused(), weights))
        partial.replace(done)
    return folder


def build(work: Path, model: Path) -> dict[str, Any]:
    """Build the model with intermediate files in ``work``, write it to ``model``, and return its figures."""
    verify_frozen(DATA / "questions")
    first = work / "pretrained"
    if not (first / "model.safetensors").exists():
        rows = _corpus(work / "corpus", PRETRAIN_ROWS, PRETRAIN_SEED)
        pretrain.train(StageSpec("pretrain", rows, None, first, PRETRAIN, SEED), _report("pretraining"))
    second = work / "finetuned"
    if not (second / "model.safetensors").exists():
        rows = _corpus(work / "sft", SFT_ROWS, SFT_SEED, SFT_WEIGHTS)
        sft.train(StageSpec("sft", rows, str(first), second, SFT, SEED), _report("finetuning"))
    model.mkdir(parents=True, exist_ok=True)
    for name in (*MODEL_FILES, "chat_template.jinja"):
        shutil.copyfile(second / name, model / name)
    return measure(model, TEMPERATURE)


def main() -> None:
    """Build the embedded model and print its figures as JSON."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--work", type=Path, default=Path("artifacts/model"), help="folder for corpus and checkpoints")
    parser.add_argument("--model", type=Path, default=DATA / "model", help="folder the finished model is written to")
    given = parser.parse_args()
    print(json.dumps(build(given.work, given.model), indent=1))


if __name__ == "__main__":
    main()
