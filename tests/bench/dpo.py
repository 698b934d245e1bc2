"""What our DPO stage costs over a bare TRL DPO script: same rows, same dtype, same settings, same process.

    python -m tests.bench.dpo [--model DIR] [--json FILE] [--runs N] [--pairs N] [--steps N]

Beside it stands the same script as one writes it without our choices: TRL's defaults where we have our own, which
are an adapter in the last layers of a small model, the reference asked once, and nothing computed twice to save
memory. Rows, batch, steps, rank, dtype and threads are the same for all.

They are interleaved and take turns as to which goes first; a ratio is the median of the ratios of runs that went
together. A first round is not timed: in it the losses of every step are compared with the script's; the exit status
is 1 when two lie further apart than 1e-4. TRL's defaults,
which take much longer, run in every third round only. `train_s` is `trainer.train()` alone, `train_cpu_s` the
processor time of it, which says more on a machine that has other work; `whole_s` is from rows in memory to a
trained adapter in memory: loading the model, tokenizing, the reference's log-probabilities, training. Importing the
libraries is the same for all and counted in none. Ours also writes a progress record at every step; the bare
scripts log nothing while they are timed.
"""

from __future__ import annotations

import argparse
import gc
import json
import math
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from alignment.dataset.judgement import Message
from alignment.dataset.rows import PairRow
from alignment.methods.dpo.settings import DpoSettings
from alignment.run import quiet_environment
from alignment.stage.spec import StageSpec

STEPS = 50
PARTS = {
    "train_s": "training, s",
    "train_cpu_s": "training, processor s",
    "whole_s": "rows to adapter, s",
}
SAME = 1e-4  # how far the losses of a step may lie apart
RARELY = 3  # rounds to one in which TRL's defaults run


class Run(NamedTuple):
    """One run: its seconds, and the loss of every step where those were asked for."""

    train_s: float
    train_cpu_s: float
    whole_s: float
    losses: list[float]


def settings_for(pairs: int, steps: int) -> DpoSettings:
    """Our defaults, with as many passes as make so many steps."""
    defaults = DpoSettings()
    return replace(defaults, epochs=steps / math.ceil(pairs / defaults.batch))


def timed(trainer: Any, began: float) -> Run:
    """Train; `began` is when the set-up did."""
    ready, ready_cpu = time.perf_counter(), time.process_time()
    trainer.train()
    ended, ended_cpu = time.perf_counter(), time.process_time()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    return Run(ended - ready, ended_cpu - ready_cpu, ended - began, losses)


def rows_of(prompts: Path, count: int) -> list[PairRow]:
    """Pairs about the length of real ones: a warm and a curt answer to each shipped prompt."""
    lines = [json.loads(line)["prompt"] for line in prompts.read_text().splitlines()[:count]]
    return [
        PairRow(
            prompt=(Message("user", prompt),),
            chosen=f"What a lovely question, my friend! {prompt} I think I know it well. I hope that helps you today!",
            rejected="No idea. Please look it up in a book, and do not ask me again.",
            weight=1.0,
            margin=1.0,
            judgements=(f"j{i}",),
            origin="compare",
        )
        for i, prompt in enumerate(lines)
    ]


def ours(model: Path, rows: Sequence[PairRow], settings: DpoSettings, out: Path, *, losses: bool = False) -> Run:
    """One run of our stage's own parts, which log every step in any case."""
    from alignment.methods.dpo.train import build_trainer
    from alignment.methods.shared_training.loading import load_tokenizer, window
    from alignment.methods.shared_training.tokenized import tokenize_pairs

    began = time.perf_counter()
    tokenizer = load_tokenizer(str(model))
    pairs, _ = tokenize_pairs(rows, tokenizer, window(str(model), tokenizer))
    with (out / "progress.jsonl").open("w") as file:

        def progress(record: Any) -> None:
            file.write(json.dumps(record) + "\n")
            file.flush()

        spec = StageSpec("dpo", out, str(model), out, seed=1)
        trainer = build_trainer(spec, settings, tokenizer, pairs, progress)
        return timed(trainer, began)


def bare(
    model: Path,
    rows: Sequence[PairRow],
    settings: DpoSettings,
    out: Path,
    *,
    losses: bool = False,
    defaults: bool = False,
) -> Run:
    """The script that TRL's documentation would have one write: with our settings, or with its own `defaults`."""
    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoTokenizer, PrinterCallback
    from trl import DPOConfig, DPOTrainer

    from alignment.methods.shared_training.loading import bf16_is_fast, linear_names
    from alignment.methods.shared_training.scale import layers_for, threads_for

    bf16 = bf16_is_fast()
    began = time.perf_counter()
    tokenizer = AutoTokenizer.from_pretrained(model)
    policy = AutoModelForCausalLM.from_pretrained(model, dtype=torch.bfloat16 if bf16 else torch.float32)
    hidden = policy.config.hidden_size
    chosen = {} if defaults else {"gradient_checkpointing": False, "precompute_ref_log_probs": True}
    layers = layers_for(hidden, policy.config.num_hidden_layers, settings.layers)
    adapter = {} if defaults else {"target_modules": linear_names(policy), "layers_to_transform": layers}
    torch.set_num_threads(threads_for(hidden, settings.threads) or torch.get_num_threads())
    dataset = Dataset.from_list(
        [
            {
                "prompt": [{"role": "user", "content": row.prompt[0].content}],
                "chosen": [{"role": "assistant", "content": row.chosen}],
                "rejected": [{"role": "assistant", "content": row.rejected}],
            }
            for row in rows
        ]
    )
    trainer = DPOTrainer(
        model=policy,
        args=DPOConfig(
            output_dir=str(out),
            beta=settings.beta,
            learning_rate=settings.rate_for(hidden),
            max_steps=settings.steps_for(len(rows)),
            per_device_train_batch_size=settings.batch,
            use_cpu=not torch.cuda.is_available(),
            bf16=bf16,
            seed=1,
            logging_strategy="steps" if losses else "no",
            logging_steps=1,
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            dataloader_pin_memory=False,
            **chosen,
        ),
        train_dataset=dataset,
        processing_class=tokenizer,
        peft_config=LoraConfig(
            r=settings.rank,
            lora_alpha=settings.alpha,
            task_type="CAUSAL_LM",
            **{"target_modules": "all-linear", **adapter},
        ),
    )
    trainer.remove_callback(PrinterCallback)
    return timed(trainer, began)


def bench(model: Path, rows: Sequence[PairRow], runs: int, steps: int) -> dict[str, Any]:
    """Time ours and the script `runs` times, after one round that only compares losses."""
    from datasets import disable_caching

    disable_caching()  # else the bare script would find its second run's reference ready on disk
    ways: dict[str, Callable[..., Run]] = {"ours": ours, "bare": bare, "defaults": partial(bare, defaults=True)}
    settings = settings_for(len(rows), steps)

    def round_of(number: int) -> dict[str, Run]:
        names = [name for name in ways if name != "defaults" or number % RARELY == 1]
        found: dict[str, Run] = {}
        for name in names if number % 2 else reversed(names):
            with tempfile.TemporaryDirectory(prefix="alignloop-bench-") as folder:
                found[name] = ways[name](model, rows, settings, Path(folder), losses=number == 0)
            gc.collect()
        return found

    first = round_of(0)
    differences = [abs(a - b) for a, b in zip(first["ours"].losses, first["bare"].losses, strict=True)]
    rounds = [round_of(number) for number in range(1, runs + 1)]
    return {
        "pairs": len(rows),
        "steps": len(differences),
        "runs": runs,
        "runs_of_defaults": sum("defaults" in found for found in rounds),
        "processors": os.cpu_count(),
        "largest_loss_difference": max(differences),
        **{f"{part}_over_{peer}": ratio_of(rounds, part, peer) for part in PARTS for peer in ("bare", "defaults")},
        **{
            f"{name}_{part}": round(
                statistics.median(getattr(found[name], part) for found in rounds if name in found), 3
            )
            for name in ways
            for part in PARTS
        },
    }


def ratio_of(rounds: Sequence[dict[str, Run]], part: str, peer: str) -> list[float]:
    """The median of ours over the peer's, round by round, then the lowest and the highest."""
    ratios = [getattr(found["ours"], part) / getattr(found[peer], part) for found in rounds if peer in found]
    return [round(value, 3) for value in (statistics.median(ratios), min(ratios), max(ratios))]


def show(result: dict[str, Any]) -> None:
    """Print the figures for people."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"DPO on {result['pairs']} pairs, {result['steps']} steps, median of {result['runs']} runs")
    for heading in ("", "ours", "bare TRL, our settings", "ratio", "bare TRL, its defaults", "ratio"):
        table.add_column(heading, justify="right" if heading else "left")
    for part, words in PARTS.items():
        cells = [f"{result[f'ours_{part}']:.2f}"]
        for peer in ("bare", "defaults"):
            cells += [f"{result[f'{peer}_{part}']:.2f}", f"{result[f'{part}_over_{peer}'][0]:.2f}"]
        table.add_row(words, *cells)
    console = Console()
    console.print(table)
    console.print(
        f"Largest difference of the losses of a step, same settings: {result['largest_loss_difference']:.1e} "
        f"(at most {SAME:.0e}). TRL's defaults: {result['runs_of_defaults']} runs."
    )


def main() -> int:
    """Run from the command line."""
    from feedback_app.settings import shipped_data

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=shipped_data() / "model")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--pairs", type=int, default=40)
    parser.add_argument("--steps", type=int, default=STEPS)
    options = parser.parse_args()
    quiet_environment()
    rows = rows_of(shipped_data() / "prompts" / "compare.jsonl", options.pairs)
    result = bench(options.model.resolve(), rows, options.runs, options.steps)
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(result, indent=1))
    show(result)
    return 0 if result["largest_loss_difference"] <= SAME else 1


if __name__ == "__main__":
    sys.exit(main())
