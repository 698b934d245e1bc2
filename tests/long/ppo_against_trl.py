"""Our PPO beside TRL 1.12.0's on the same task: seconds, win rate and memory. One JSON line a seed.

    make study NAME=ppo_against_trl ARGS="--seeds 1-10"
    make study NAME=ppo_against_trl ARGS="--memory --seeds 1-3"
    python -m tests.long.ppo_against_trl [--dtype bf16] [--threads 2] [--trl PYTHON] [--out FILE.jsonl]

A scripted annotator gives each seed 400 comparisons of the embedded model's answers; our reward stage learns from
them. Both trainers then get the same base, reward model, prompts, dtype, threads, 512 rollouts (8 steps of 64), 4
epochs, minibatches of 32 and adapter (`SETTINGS`; trl_ppo.py says what TRL does not let be the same). They run one
after the other as child processes, odd seeds ours first, even seeds TRL's. `training_s` is from loaded models to a
saved adapter, sampling included; `set_up_s` is loading; `whole_s` and `cpu_s` (processor time) are the whole child's,
starting Python and importing included. Win rates are against the base, one sample each at serving temperature on 400
unseen prompts, by the annotator's own taste.

With `--memory` the model has 100 million random weights in a Llama's shape and the embedded model's tokenizer, the
reward model too; the peak is summed over the process and all it starts. Fewer rollouts are enough if the peak is that
of one minibatch and of the weights; lines with other `--steps` say whether it is. Random weights never end an answer,
so neither side gains by leaving out padding.

Other work on the machine stretches seconds more than processor time, and not both sides alike: where it was busy,
`cpu_s` is the figure to read. Where ours goes (torch's profiler, fp32, one thread): sampling 15 %, scoring by policy,
reference and reward model 20 %, updates 65 %, and of the updates two thirds are matrix products. TRL's trainer
computes, by its sizes, about four times as much (padding, a whole value model, logits of every position), but in
larger products, at nearly twice the operations a second.

A seed whose line is in the file is not run again; labels and reward models stay in artifacts/ppo-against-trl.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from alignment.dataset.reading.folder import read_pairs
from alignment.evaluation.evaluate import win_rate
from alignment.evaluation.tastes import TASTES
from alignment.methods.ppo.settings import PpoSettings
from alignment.run import quiet_environment
from alignment.stage.artifact import read_manifest
from alignment.stage.spec import Setting, StageSpec
from tests.alignment.compiled import write_compiled
from tests.long import methods
from tests.long.lines import RESULTS, provenance, read_lines, seeds_of, spread
from tests.long.processes import Used, measured

WORK = methods.ROOT / "artifacts" / "ppo-against-trl"
TRL = methods.ROOT / "artifacts" / "trl-ppo" / "bin" / "python"
PROMPTS = str(methods.DATA / "prompts" / "compare.jsonl")
LABELS, PROBES = 400, 32
# `microbatch` is ours alone: in how large parts a minibatch goes through the model. What TRL's trainer has no
# counterpart for is off: the clip of rewards and the early end of an epoch.
SETTINGS: dict[str, Setting] = {
    "steps": 8,
    "rollouts": 64,
    "epochs": 4,
    "minibatch": 32,
    "microbatch": 8,
    "rate": 1e-3,
    "max_tokens": 50,
    "reward_clip": 0.0,
    "stop_step_kl": 0.0,
}
MEMORY: dict[str, Setting] = {**SETTINGS, "steps": 1, "rollouts": 32, "epochs": 1}
LAYERS, HIDDEN = 14, 768  # 100 million weights with the embedded model's small vocabulary


def summary(lines: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What the lines of one dtype and kind say: medians, and the win rates' difference in points over seeds."""

    def median(side: str, name: str) -> float:
        return round(statistics.median(line[side][name] for line in lines), 2)

    def ratio(name: str) -> float:
        return round(statistics.median(line["ours"][name] / line["trl"][name] for line in lines), 3)

    found: dict[str, Any] = {"runs": len(lines)}
    for name in ("training_s", "cpu_s", "peak_gib"):
        found[name] = {"ours": median("ours", name), "trl": median("trl", name), "ratio": ratio(name)}
    if all("win_rate" in line["ours"] for line in lines):
        points = [100 * (line["ours"]["win_rate"] - line["trl"]["win_rate"]) for line in lines]
        mean, half = spread(points)
        found["points"] = {
            "mean": round(mean, 2),
            "lower": round(mean - half, 2),
            "each": [round(p, 2) for p in points],
        }
    return found


def whole_reward(folder: Path, model: Path, out: Path) -> None:
    """The reward stage's adapter and head as a plain classifier's whole weights, what TRL's trainer takes."""
    from peft import PeftModel

    from alignment.methods.shared_training.loading import load_tokenizer
    from alignment.methods.shared_training.reward_model import base_for_scores, member

    tokenizer = load_tokenizer(str(model))
    merged: Any = PeftModel.from_pretrained(base_for_scores(str(model), bf16=False), str(member(folder, 0)))
    merged = merged.merge_and_unload()
    merged.config.pad_token_id = tokenizer.pad_token_id
    merged.save_pretrained(out)


def probes(data: Path, tokenizer: Any) -> list[list[int]]:
    """Whole sequences, answers included, on which both sides' reward models must agree."""
    from alignment.methods.shared_training.tokenized import completion_ids

    rows = read_pairs(data, "train")[: PROBES // 2]
    split = [completion_ids(tokenizer, row.prompt, (row.chosen, row.rejected)) for row in rows]
    return [prompt + answer for prompt, *answers in split for answer in answers]


def our_scores(spec: StageSpec, tokenizer: Any, sequences: Sequence[Sequence[int]]) -> list[float]:
    """What our reward model says of them inside the one base, in float32."""
    from alignment.methods.online.model import OneBase, rectangle

    model = OneBase(str(spec.model), reward=spec.reward, pad=tokenizer.pad_token_id)
    ids, mask, answer = rectangle(sequences, [1] * len(sequences), model.pad, model.device)
    return [float(score) for score in model.judge(ids, mask, answer).scores]


def job_for(spec: StageSpec, whole: Path, out: Path, tokenizer: Any, *, checkpointing: bool) -> dict[str, Any]:
    """What trl_ppo.py is told: our own run's settings, prompts and models."""
    from alignment.methods.online.rollouts import render
    from alignment.methods.online.setup import asked_prompts
    from alignment.methods.shared_training.reward_model import read_facts

    assert spec.reward is not None
    settings = PpoSettings.read(spec.settings)
    return {name: getattr(settings, name) for name in PpoSettings.__slots__} | {
        "prompts": [render(tokenizer, prompt) for prompt in asked_prompts(spec, settings, tokenizer)[0]],
        "probes": probes(spec.data, tokenizer),
        "model": str(spec.model),
        "reward": str(whole),
        "std": read_facts(spec.reward).std,
        "out": str(out),
        "seed": spec.seed,
        "checkpointing": checkpointing,
    }


def ours(spec: StageSpec) -> dict[str, Any]:
    """One run of our stage, as the worker runs it."""
    file = spec.out.with_suffix(".json")
    file.write_text(spec.to_json())
    used = measured([sys.executable, "-m", "alignment.run", str(file)], spec.out.with_suffix(".log"), cwd=methods.ROOT)
    if used.code:
        raise SystemExit(f"ppo failed: {(spec.out / 'error.json').read_text()}")
    found = read_manifest(spec.out).metrics
    ends = {end: {name: found[end][name] for name in ("reward", "kl", "length")} for end in ("first", "last")}
    return _times(used, found["seconds_training"], found["seconds_set_up"]) | {
        "sampling_s": round(found["seconds_sampling"], 2),
        **ends,
    }


def theirs(python: Path, job: Mapping[str, Any]) -> tuple[dict[str, Any], list[float]]:
    """One run of TRL's, and its reward model's scores of the probes."""
    out = Path(job["out"])
    out.mkdir(parents=True, exist_ok=True)
    file = out.with_suffix(".json")
    file.write_text(json.dumps(job))
    words = [str(python), str(methods.ROOT / "tests" / "long" / "trl_ppo.py"), str(file)]
    used = measured(words, out.with_suffix(".log"), cwd=out)
    if used.code:
        raise SystemExit(f"TRL's PPO failed; its words are in {out.with_suffix('.log')}")
    found = json.loads((out / "result.json").read_text())
    records = [entry for entry in found["log"] if "objective/scores" in entry]
    ends = {
        end: {"score": round(float(entry["objective/scores"]), 4), "kl": round(float(entry["objective/kl"]), 4)}
        for end, entry in (("first", records[0]), ("last", records[-1]))
    }
    return _times(used, found["seconds_training"], found["seconds_set_up"]) | ends, found["scores"]


def _times(used: Used, training: float, set_up: float) -> dict[str, Any]:
    return {
        "training_s": round(training, 2),
        "set_up_s": round(set_up, 2),
        "whole_s": round(used.seconds, 2),
        "cpu_s": round(used.cpu_s, 2),
        "peak_gib": round(used.peak_gib, 3),
    }


def both(spec: StageSpec, whole: Path, python: Path, *, checkpointing: bool) -> dict[str, Any]:
    """The two, odd seeds ours first. Raises `SystemExit` when their reward models disagree by 1e-3 or more."""
    from alignment.methods.shared_training.loading import load_tokenizer

    tokenizer = load_tokenizer(str(spec.model))
    trl_out = spec.out.with_name("trl")
    for folder in (spec.out, trl_out):
        shutil.rmtree(folder, ignore_errors=True)
    job = job_for(spec, whole, trl_out, tokenizer, checkpointing=checkpointing)
    expected = our_scores(spec, tokenizer, job["probes"])
    first = ours(spec) if spec.seed % 2 else None
    other, found = theirs(python, job)
    differ = max((abs(a - b) for a, b in zip(expected, found, strict=True)), default=0.0)
    if differ >= 1e-3:
        raise SystemExit(f"The two reward models differ by {differ:.4f}: the comparison would be void.")
    mine = first or ours(spec)
    return {"ours": mine, "trl": other, "scores_differ": float(f"{differ:.1e}"), "prompts": len(job["prompts"])}


def speed(seed: int, dtype: str, threads: int, python: Path, base: methods.Model) -> dict[str, Any]:
    """Labels, reward model, both runs, both win rates."""
    taste = TASTES["warm"]
    folder = WORK / f"seed-{seed}"
    if not (folder / "data" / "manifest.json").is_file():
        judgements = methods.labels(base, taste, LABELS, seed, marks=False)
        write_compiled(judgements, folder / "data", seed=seed)
    reward = folder / "reward"
    if not (reward / "COMPLETE").is_file():
        methods.run_stage(StageSpec("reward", folder / "data", str(methods.MODEL), reward, {}, seed))
    whole_reward(reward, methods.MODEL, folder / "whole")
    settings = SETTINGS | {"dtype": dtype, "threads": threads, "prompts": PROMPTS}
    spec = StageSpec("ppo", folder / "data", str(methods.MODEL), folder / "ours", settings, seed, reward=reward)
    line = both(spec, folder / "whole", python, checkpointing=False)
    unseen = methods.prompts_of("eval.jsonl")[-methods.UNSEEN :]
    before = [samples[0].text for samples in base.answers(unseen, 3_000_000 + seed)]
    for side in ("ours", "trl"):
        after = [samples[0].text for samples in methods.Model(folder / side).answers(unseen, 2_000_000 + seed)]
        compared = win_rate(after, before, taste.score, tie_within=taste.threshold)
        line[side] |= {
            "win_rate": round(compared.win_rate, 4),
            "interval": [round(end, 4) for end in compared.interval],
            "length_ratio": round(compared.length_ratio, 3),
        }
    return line


def memory(seed: int, dtype: str, threads: int, python: Path, steps: int, *, checkpointing: bool) -> dict[str, Any]:
    """Both runs on a model of 100 million random weights."""
    folder = WORK / "memory"
    model, reward = folder / "model", folder / "reward"
    if not (folder / "whole" / "config.json").is_file():
        big_model(model)
        random_reward(model, reward)
        whole_reward(reward, model, folder / "whole")
    data = folder / "data"
    if not (data / "manifest.json").is_file():
        judgements = methods.labels(methods.Model(), TASTES["warm"], 40, 1, marks=False)
        write_compiled(judgements, data, seed=1)
    settings = MEMORY | {"dtype": dtype, "threads": threads, "prompts": PROMPTS, "steps": steps}
    spec = StageSpec("ppo", data, str(model), folder / "ours", settings, seed, reward=reward)
    return both(spec, folder / "whole", python, checkpointing=checkpointing)


def big_model(out: Path) -> None:
    """100 million random weights."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    from alignment.methods.shared_training.loading import load_tokenizer

    config = AutoConfig.from_pretrained(methods.MODEL)
    config.hidden_size, config.num_hidden_layers, config.intermediate_size = HIDDEN, LAYERS, 2048
    config.num_attention_heads = config.num_key_value_heads = HIDDEN // config.head_dim
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config, dtype=torch.float32).save_pretrained(out)
    load_tokenizer(str(methods.MODEL)).save_pretrained(out)


def random_reward(model: Path, out: Path) -> None:
    """A reward model in the reward stage's form, its adapter and head random: memory does not depend on them."""
    import torch
    from peft import get_peft_model

    from alignment.methods.shared_training.adapters import lora_config
    from alignment.methods.shared_training.reward_model import RewardFacts, base_for_scores, member

    torch.manual_seed(1)
    scorer = get_peft_model(base_for_scores(str(model), bf16=False), lora_config(16, 32, "SEQ_CLS", ["score"]))
    out.mkdir(parents=True, exist_ok=True)
    scorer.save_pretrained(member(out, 0))
    RewardFacts("adapter", 1, str(model), 0.0, 1.0).write(out)


def key(line: Mapping[str, Any]) -> tuple[Any, ...]:
    """What makes a line another one's repetition."""
    return tuple(line[name] for name in ("what", "seed", "dtype", "threads", "steps", "checkpointing"))


def main(words: Sequence[str] | None = None) -> int:
    """Run the seeds that are not done, appending a line for each, and print what all lines say."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", default="1-10")
    parser.add_argument("--dtype", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--memory", action="store_true", help="peak memory on a model of 100 million weights")
    parser.add_argument("--steps", type=int, default=0, help="steps of a memory run; 0: one")
    parser.add_argument("--checkpointing", action="store_true", help="TRL's policy recomputes its activations")
    parser.add_argument("--trl", type=Path, default=TRL, help="the Python of TRL 1.12.0's environment")
    parser.add_argument("--out", type=Path, default=RESULTS / "ppo-against-trl.jsonl")
    parser.add_argument("--show", action="store_true", help="run nothing, say what the lines say")
    options = parser.parse_args(words)
    if not options.show and not options.trl.is_file():
        print(f"{options.trl} is missing; make study NAME=ppo_against_trl makes it.", file=sys.stderr)
        return 2
    quiet_environment()
    what = "memory" if options.memory else "speed"
    steps = (options.steps or int(MEMORY["steps"])) if options.memory else int(SETTINGS["steps"])
    base = None
    for seed in [] if options.show else seeds_of(options.seeds):
        about = {"what": what, "seed": seed, "dtype": options.dtype, "threads": options.threads}
        about |= {"steps": steps, "checkpointing": options.memory and options.checkpointing}
        if key(about) in map(key, read_lines(options.out)):
            continue
        if options.memory:
            found = memory(
                seed, options.dtype, options.threads, options.trl, steps, checkpointing=options.checkpointing
            )
        else:
            base = base or methods.Model()
            found = speed(seed, options.dtype, options.threads, options.trl, base)
        line = about | found | {"settings": MEMORY if options.memory else SETTINGS} | provenance()
        with options.out.open("a") as file:
            file.write(json.dumps(line) + "\n")
        print(json.dumps(line), file=sys.stderr)
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for line in read_lines(options.out):
        groups.setdefault((line["what"], line["dtype"], line["checkpointing"]), []).append(line)
    for (kind, dtype, checkpointing), lines in groups.items():
        print(kind, dtype, "with TRL's checkpointing" if checkpointing else "", json.dumps(summary(lines)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
