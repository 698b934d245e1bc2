"""TRL 1.12.0's PPO as a bare script, for tests/long/ppo_against_trl.py. It imports nothing of this project.

    artifacts/trl-ppo/bin/python tests/long/trl_ppo.py JOB.json

The job names `model` (a folder), `reward` (a folder with the reward model's whole weights), `prompts` (rows of
token ids), `out` (gets the adapter and `result.json`) and the settings of a run of ours; `std` is the spread of
the reward model's scores, ours' unit. `result.json` holds the seconds of imports, of loading and of training
(sampling and saving included) and the reward model's scores of the job's `probes`.

What is the same: base, reward model, prompts, dtype, rollouts in all and a step, epochs, minibatches, LoRA
(rank, alpha, modules), temperature, most new tokens, the rate and its linear decay, AdamW's betas, γ, λ, both
clips, the KL coefficient, the penalty for a missing end. What TRL does not let be the same:
- Its reward is the raw score, ours is in spreads of the starting model's. Coefficients in reward's units (KL,
  missing end, value clip) are therefore multiplied by `std`; the mean stays in its scores, and its value model
  starts from the reward model, so it knows the mean.
- Its value model is a whole second model, trained in all its weights at the policy's rate; ours is a head.
- A minibatch goes through its models in one part: gradient accumulation would change what an update is, since
  TRL steps once per accumulated batch, not once per minibatch. Ours takes parts, with the same gradient.
- Its ratios are against the sampler's own log-probabilities, in eval and training precision as they come.
- It shuffles the prompts its own way, so a seed does not give both the same prompt at the same step.
- It clips no gradient; ours never reached its clip of 1.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

BEGAN = time.perf_counter()
for name in ("HF_HUB_OFFLINE", "DO_NOT_TRACK", "HF_HUB_DISABLE_TELEMETRY", "TQDM_DISABLE", "TRL_EXPERIMENTAL_SILENCE"):
    os.environ.setdefault(name, "1")

import torch  # noqa: E402
from datasets import Dataset  # noqa: E402
from peft import LoraConfig  # noqa: E402
from transformers import (  # noqa: E402
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    set_seed,
)
from trl.experimental.ppo import PPOConfig, PPOTrainer  # noqa: E402
from trl.experimental.utils import get_reward  # noqa: E402


def scores(reward: Any, probes: list[list[int]], pad: int) -> list[float]:
    """What the reward model says of whole sequences, by TRL's own function."""
    width = max(map(len, probes), default=0) + 1
    rows = torch.tensor([[*row, *[pad] * (width - len(row))] for row in probes], dtype=torch.long)
    with torch.no_grad():
        return [] if not probes else [float(score) for score in get_reward(reward, rows, pad, 0)[1]]


def main(file: str) -> None:
    """Run the job."""
    job = json.loads(Path(file).read_text(encoding="utf-8"))
    imported = time.perf_counter()
    torch.set_num_threads(job["threads"])
    set_seed(job["seed"])
    dtype = torch.bfloat16 if job["dtype"] == "bf16" else torch.float32
    tokenizer = AutoTokenizer.from_pretrained(job["model"], padding_side="left")
    policy = AutoModelForCausalLM.from_pretrained(job["model"], dtype=dtype)
    reward, value = (
        AutoModelForSequenceClassification.from_pretrained(job["reward"], num_labels=1, dtype=kind)
        for kind in (dtype, torch.float32)  # what is trained is kept in float32 here as it is in ours
    )
    prompts = Dataset.from_list([{"input_ids": row} for row in job["prompts"]])
    found = scores(reward, job["probes"], tokenizer.pad_token_id)
    loaded = time.perf_counter()
    trainer = PPOTrainer(
        args=PPOConfig(
            output_dir=job["out"],
            total_episodes=job["steps"] * job["rollouts"],
            per_device_train_batch_size=job["rollouts"],
            gradient_accumulation_steps=1,
            num_mini_batches=job["rollouts"] // job["minibatch"],
            local_rollout_forward_batch_size=job["minibatch"],
            num_ppo_epochs=job["epochs"],
            response_length=job["max_tokens"],
            temperature=job["temperature"],
            stop_token="eos",
            missing_eos_penalty=job["missing_end"] * job["std"],
            kl_coef=job["beta"] * job["std"],
            cliprange=job["clip"],
            cliprange_value=job["value_clip"] * job["std"],
            gamma=job["gamma"],
            lam=job["lam"],
            learning_rate=job["rate"],
            lr_scheduler_type="linear",
            adam_beta2=0.95,
            weight_decay=0.0,
            gradient_checkpointing=job["checkpointing"],
            bf16=job["dtype"] == "bf16",
            use_cpu=True,
            seed=job["seed"],
            num_sample_generations=0,
            logging_steps=1,
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            dataloader_pin_memory=False,
        ),
        processing_class=tokenizer,
        model=policy,
        ref_model=None,
        reward_model=reward,
        value_model=value,
        train_dataset=prompts,
        peft_config=LoraConfig(
            r=job["rank"], lora_alpha=job["alpha"], target_modules="all-linear", task_type="CAUSAL_LM"
        ),
    )
    began = time.perf_counter()
    trainer.train()
    trainer.policy_model.save_pretrained(job["out"])
    ended = time.perf_counter()
    result = {
        "scores": found,
        "seconds_importing": imported - BEGAN,
        "seconds_set_up": began - imported,
        "seconds_loading": loaded - imported,
        "seconds_training": ended - began,
        "log": trainer.state.log_history,
    }
    (Path(job["out"]) / "result.json").write_text(json.dumps(result))


if __name__ == "__main__":
    main(sys.argv[1])
