"""Training with TRL's trainers that answer every prompt several times, our reward model as their reward.

Everything runs in this process, unless a sampler elsewhere answers. What may not be done here: a method's own loss,
which its trainer has.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from alignment.errors import StageError
from alignment.methods.online.model import OneBase
from alignment.methods.online.publish import publisher
from alignment.methods.online.reward_function import RewardFunction
from alignment.methods.online.rewards import Unit
from alignment.methods.online.settings import GroupSettings
from alignment.methods.online.setup import asked_prompts, folders
from alignment.methods.shared_training.adapters import save_adapter, start_policy, trainer_arguments, wants_bf16
from alignment.methods.shared_training.loading import load_model, load_tokenizer
from alignment.records import StageMetrics, StepRecord
from alignment.stage.checkpoints import newest
from alignment.stage.sampler import Sampler
from alignment.stage.spec import Progress, StageSpec


def train_with_trl(
    spec: StageSpec,
    progress: Progress,
    settings: GroupSettings,
    *,
    config: type[Any],
    trainer: type[Any],
    sampler: Sampler | None,
    **method: Any,
) -> StageMetrics:
    """Train an adapter against `spec.reward` and save it into `spec.out`.

    `config` and `trainer` are TRL's, `method` what only this method's config takes; with a `sampler` elsewhere
    (as in `ppo`) the trainer is an `OutsideRollouts` too.
    Progress records: `step`, `steps`, `epoch`, `loss`, `reward` (mean, in spreads of the starting model's), `kl` (to
    the reference, nats per answer), `entropy` (nats per token), `length` (tokens), `sampler_gap`, `seconds_left`; a
    step is one update. Returns the metrics.
    Raises `StageError` with one sentence when the data are unusable or the loss is not finite.
    """
    from datasets import Dataset
    from transformers import PrinterCallback

    from alignment.methods.shared_training.progress_callback import ProgressCallback
    from alignment.methods.shared_training.resuming import train_on

    source, reward = folders(spec)
    began = time.perf_counter()
    tokenizer = load_tokenizer(source)
    prompts, left = asked_prompts(spec, settings, tokenizer)
    bf16 = wants_bf16(settings.dtype)
    judge = OneBase(source, reward=reward, bf16=bf16, pad=tokenizer.pad_token_id, seed=spec.seed)
    model, lora = start_policy(spec, load_model(source, bf16=bf16), settings)
    per_generation = settings.rollouts // settings.minibatch
    arguments = trainer_arguments(
        spec.out,
        seed=spec.seed,
        hidden=judge.hidden_size,
        steps=settings.steps * settings.iterations * per_generation,
        batch=settings.minibatch,
        rate=settings.rate_for(judge.hidden_size),
        bf16=bf16,
        threads=settings.threads,
        records=200,
    )
    del arguments["max_length"]  # prompts that do not fit were left out above
    chosen = config(
        **arguments,
        num_generations=settings.answers,
        steps_per_generation=per_generation,
        num_iterations=settings.iterations,
        max_completion_length=settings.max_tokens,
        temperature=settings.temperature,
        top_p=1.0,
        top_k=0,
        beta=settings.beta,
        epsilon=settings.clip,
        **method,
    )
    rewards = RewardFunction(judge, tokenizer, clip=settings.reward_clip, missing_end=settings.missing_end)
    if (found := newest(spec)) and (unit := found.notes["unit"]):
        rewards.unit = Unit(**unit)
    outside = {} if sampler is None else {"sampler": sampler, "publish": publisher(sampler, spec)}
    run = trainer(
        model=model,
        reward_funcs=rewards,
        args=chosen,
        train_dataset=Dataset.from_list([{"prompt": [asdict(turn) for turn in prompt]} for prompt in prompts]),
        processing_class=tokenizer,
        peft_config=lora,
        callbacks=[ProgressCallback(progress)],
        **outside,
    )
    run.remove_callback(PrinterCallback)
    set_up = time.perf_counter()
    # Between rollouts alone: what was sampled and not yet learned from is in no checkpoint.
    train_on(
        run,
        spec,
        every=per_generation * settings.iterations,
        notes=lambda folder: {"unit": asdict(rewards.unit) if rewards.unit else None},
    )
    history = [entry for entry in run.state.log_history if "loss" in entry]
    if not history or not all(math.isfinite(entry["loss"]) for entry in history):
        raise StageError(f"{spec.stage} ended because its loss is not a number any more. Use a smaller rate.")
    save_adapter(run.model, spec.out)
    return {
        "prompts": len(prompts),
        **left.to_record(),
        "rollouts": settings.rollouts * settings.steps,
        "steps": run.state.global_step,
        "rate": run.args.learning_rate,
        "beta": settings.beta,
        "rank": settings.rank,
        "dtype": "bf16" if bf16 else "fp32",
        "started_from": "adapter" if spec.adapter else "model",
        "first": _rounded(history[0]),
        "last": _rounded(history[-1]),
        "seconds_set_up": round(set_up - began, 3),
        "seconds_training": round(time.perf_counter() - set_up, 3),
    }


def _rounded(entry: Mapping[str, float]) -> StepRecord:
    from alignment.methods.shared_training.progress_callback import figures, rounded

    return rounded(figures(entry))
