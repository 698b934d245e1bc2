"""What our DPO stage costs over a bare TRL DPO script: same rows, same dtype, same settings, same process.

    python -m tests.bench.dpo [--model DIR] [--json FILE] [--runs N] [--pairs N]

The two are interleaved and take turns as to which goes first; the ratio is the median of the pairs of
runs' own ratios. `train_s` is `trainer.train()` alone; `whole_s` is from rows in memory to a trained
adapter in memory: loading the model, tokenizing, the reference's log-probabilities, training. Importing the
libraries is the same for both and counted in neither. Ours also writes a progress record at every step;
the bare script logs nothing.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from alignment.judgement import Message
from alignment.methods.dpo_settings import DpoSettings
from alignment.rows import PairRow
from alignment.run import quiet_environment
from alignment.spec import StageSpec

Timed = tuple[float, float]  # train_s, whole_s


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


def ours(model: Path, rows: Sequence[PairRow], out: Path) -> Timed:
    """One run of our stage's own parts."""
    from alignment.methods.dpo import build_trainer
    from alignment.methods.loading import load_tokenizer, window
    from alignment.methods.tokenized import tokenize_pairs

    began = time.perf_counter()
    tokenizer = load_tokenizer(str(model))
    pairs, _ = tokenize_pairs(rows, tokenizer, window(str(model), tokenizer))
    with (out / "progress.jsonl").open("w") as file:

        def progress(record: Any) -> None:
            file.write(json.dumps(record) + "\n")
            file.flush()

        spec = StageSpec("dpo", out, str(model), out, seed=1)
        trainer = build_trainer(spec, DpoSettings(), tokenizer, pairs, progress)
        ready = time.perf_counter()
        trainer.train()
    ended = time.perf_counter()
    return ended - ready, ended - began


def bare(model: Path, rows: Sequence[PairRow], out: Path) -> Timed:
    """The script that TRL's documentation would have one write, with our settings."""
    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import DPOConfig, DPOTrainer

    from alignment.methods.loading import bf16_is_fast, linear_names

    settings = DpoSettings()
    bf16 = bf16_is_fast()
    began = time.perf_counter()
    tokenizer = AutoTokenizer.from_pretrained(model)
    policy = AutoModelForCausalLM.from_pretrained(model, dtype=torch.bfloat16 if bf16 else torch.float32)
    hidden = policy.config.hidden_size
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
            gradient_checkpointing=False,
            precompute_ref_log_probs=True,
            use_cpu=not torch.cuda.is_available(),
            bf16=bf16,
            seed=1,
            logging_strategy="no",
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            dataloader_pin_memory=False,
        ),
        train_dataset=dataset,
        processing_class=tokenizer,
        peft_config=LoraConfig(
            r=settings.rank,
            lora_alpha=settings.alpha,
            target_modules=linear_names(policy),
            layers_to_transform=settings.layers_for(hidden, policy.config.num_hidden_layers),
            task_type="CAUSAL_LM",
        ),
    )
    ready = time.perf_counter()
    trainer.train()
    ended = time.perf_counter()
    return ended - ready, ended - began


def bench(model: Path, rows: Sequence[PairRow], runs: int) -> dict[str, Any]:
    """Time both `runs` times, after one run of each that does not count."""
    from datasets import disable_caching

    disable_caching()  # else the bare script would find its second run's reference ready on disk
    ways: dict[str, Callable[[Path, Sequence[PairRow], Path], Timed]] = {"ours": ours, "bare": bare}
    times: dict[str, list[Timed]] = {name: [] for name in ways}
    for run in range(runs + 1):
        for name in list(ways) if run % 2 else list(reversed(ways)):
            with tempfile.TemporaryDirectory(prefix="alignloop-bench-") as folder:
                timed = ways[name](model, rows, Path(folder))
            gc.collect()
            if run:
                times[name].append(timed)
    pairs = list(zip(times["ours"], times["bare"], strict=True))
    settings = DpoSettings()
    return {
        "pairs": len(rows),
        "steps": settings.steps_for(len(rows)),
        "runs": runs,
        "processors": os.cpu_count(),
        "train_ratio": round(statistics.median(mine[0] / theirs[0] for mine, theirs in pairs), 3),
        "whole_ratio": round(statistics.median(mine[1] / theirs[1] for mine, theirs in pairs), 3),
        **{
            f"{name}_{part}_s": round(statistics.median(timed[i] for timed in times[name]), 3)
            for name in ways
            for i, part in enumerate(("train", "whole"))
        },
    }


def show(result: dict[str, Any]) -> None:
    """Print the figures for people."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"DPO on {result['pairs']} pairs, {result['steps']} steps, median of {result['runs']} runs")
    for heading in ("", "ours", "bare TRL", "ratio"):
        table.add_column(heading, justify="right" if heading else "left")
    for part, words in (("train", "training, s"), ("whole", "rows to adapter, s")):
        table.add_row(
            words,
            f"{result[f'ours_{part}_s']:.2f}",
            f"{result[f'bare_{part}_s']:.2f}",
            f"{result[f'{part}_ratio']:.2f}",
        )
    Console().print(table)


def main() -> int:
    """Run from the command line."""
    from feedback_app.settings import shipped_data

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=shipped_data() / "model")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--pairs", type=int, default=40)
    options = parser.parse_args()
    quiet_environment()
    rows = rows_of(shipped_data() / "prompts" / "compare.jsonl", options.pairs)
    result = bench(options.model.resolve(), rows, options.runs)
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(result, indent=1))
    show(result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
