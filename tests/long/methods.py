"""What does each method make of the same labels? One JSON line a method and seed.

    make study NAME=methods ARGS="--method ppo --seeds 1-5"
    python -m tests.long.methods --method ppo --seeds 1-5 [--out FILE.jsonl] [--set KEY=VALUE] [--labels 400]

For each seed a scripted annotator of known taste gives its labels in this process: comparisons of two
samples of the embedded model, or for `kto` likes and dislikes of single answers; for `constitution` it is the
adviser, asked over HTTP to choose between two answers to each of so many prompts. They are compiled by the
product's own rules, and each stage of the method's chain runs as the worker runs it, as a child process.
Then one sample of the new model and one of the model it started from, at serving temperature on 400 prompts
that nothing was trained on, are compared by the same taste: ties count as half, Wilson's interval is over
the prompts. KL is in nats per answer at temperature 1; capability is the paired change over 600 questions;
`seconds` and `cpu_s` are those of all stages' processes, `high_water_gib` the largest resident size of any.
A seed whose line is in FILE is not run again.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from alignment.dataset.judgement import Judgement, Message
from alignment.evaluation.capability import check, load_questions
from alignment.evaluation.evaluate import win_rate
from alignment.evaluation.guards import mean_kl, paired_loss
from alignment.evaluation.tastes import TASTES, Taste
from alignment.methods.registry import CARDS, METHODS, chain_of, stage_settings
from alignment.run import quiet_environment
from alignment.stage.artifact import read_manifest
from alignment.stage.sampler import Sampling
from alignment.stage.spec import Setting, StageSpec
from tests.alignment.compiled import write_compiled
from tests.long.adviser import adviser
from tests.long.lines import RESULTS, provenance, read_lines, seeds_of
from tests.long.processes import Used
from tests.long.processes import measured as used_by
from tests.long.scripted import marked, voted

ROOT = Path(__file__).resolve().parents[2]
MODEL, DATA = ROOT / "data" / "model", ROOT / "data"
UNSEEN, QUESTIONS = 400, ("unseen", "blind")
TEMPERATURE, TOP_P, MAX_TOKENS = 0.8, 0.95, 192
LIKES = ("kto",)  # methods that learn from marks; the others learn from comparisons


def prompts_of(name: str) -> list[str]:
    """The prompts of a file in data/prompts."""
    lines = (DATA / "prompts" / name).read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["prompt"] for line in lines if line.strip()]


def asked(texts: Sequence[str]) -> list[tuple[Message, ...]]:
    """Each text as a conversation of one message."""
    return [(Message("user", text),) for text in texts]


class Model:
    """The embedded model, with an adapter or without, asked in this process."""

    def __init__(self, adapter: Path | None = None) -> None:
        from alignment.methods.online.model import OneBase
        from alignment.methods.online.rollouts import BatchSampler
        from alignment.methods.shared_training.adapters import wants_bf16
        from alignment.methods.shared_training.loading import load_tokenizer

        tokenizer = load_tokenizer(str(MODEL))
        self.inside = OneBase(
            str(MODEL), reward=None, adapter=adapter, bf16=wants_bf16("auto"), pad=tokenizer.pad_token_id
        )
        self.tokenizer = tokenizer
        self.version = "policy" if adapter else "base"
        self.nucleus = BatchSampler(self.inside, tokenizer, top_p=TOP_P)
        self.plain = BatchSampler(self.inside, tokenizer)

    def answers(self, prompts: Sequence[str], seed: int, n: int = 1) -> list[list[Any]]:
        """Samples as people are answered."""
        return self.nucleus.sample(self.version, asked(prompts), Sampling(TEMPERATURE, MAX_TOKENS, seed, n))

    def texts(self, prompts: Sequence[str], seed: int) -> list[str]:
        """One sample for each prompt, as people are answered."""
        return [samples[0].text for samples in self.answers(prompts, seed)]

    def rights(self) -> list[bool]:
        """Which capability questions it answers right, greedily."""
        questions = [q for name in QUESTIONS for q in load_questions(DATA / "questions" / f"{name}.jsonl")]
        found = self.plain.sample(self.version, asked([q.prompt for q in questions]), Sampling(0.0, MAX_TOKENS, seed=0))
        return [check(samples[0].text, q.check) for samples, q in zip(found, questions, strict=True)]

    def kl(self, prompts: Sequence[str], seed: int, to: Path | None = None) -> float:
        """KL to the bare base, or to the base with the adapter `to`, nats per answer, on fresh answers at T = 1."""
        from alignment.methods.online.rollouts import collect
        from alignment.methods.online.scoring import batch_of, by_length

        rollouts = collect(self.plain, self.version, self.tokenizer, asked(prompts), Sampling(1.0, MAX_TOKENS, seed))
        other = None
        if to is not None:
            other = "other"
            self.inside.model.load_adapter(str(to), adapter_name=other)
            self.inside.model.to(self.inside.device)
        sums: dict[str, list[float]] = {"policy": [], "base": []}
        for rows in by_length(rollouts, range(len(rollouts)), 64):
            ids, mask, answer = batch_of(self.inside, rollouts, rows)
            for name, adapter in (("policy", "default"), ("base", other)):
                with self.inside.frozen(adapter):
                    logps = self.inside.answer_logps(ids, mask, answer)
                counts = answer[:, 1:].sum(dim=1).tolist()
                sums[name] += [float(part.sum()) for part in logps.split(counts)]
        return mean_kl(sums["policy"], sums["base"])


def labels(
    base: Model, taste: Taste, count: int, seed: int, *, marks: bool, after: int = 0, version: str = "base"
) -> list[Judgement]:
    """`count` scripted judgements: comparisons, or marks of the better and the worse answer of two.

    `after` judgements came before (for their numbers), `version` is the name under which `base` wrote the answers.
    """
    rng = random.Random(f"labels {seed}")
    prompts = prompts_of("compare.jsonl")
    rng.shuffle(prompts)
    prompts = prompts[:count] + prompts[: max(0, count - len(prompts))]
    found: list[Judgement] = []
    for prompt, samples in zip(prompts, base.answers(prompts, 1_000_000 + seed * 1000, n=6), strict=True):
        first = samples[0]
        second = next((sample for sample in samples if sample.text != first.text), None)
        if second is None or len(found) >= count:
            continue
        seen = taste.prefer(first.text, second.text, rng)
        if marks:
            better, worse = (second, first) if seen.side == "right" else (first, second)
            found.append(marked(after + len(found), prompt, better, True))
            if seen.side != "tie" and len(found) < count:
                found.append(marked(after + len(found), prompt, worse, False))
            continue
        found.append(voted(after + len(found), prompt, (first, second), seen, version=version))
    return found


def chain(method: str, seed: int, folder: Path, settings: Mapping[str, Setting]) -> Iterator[StageSpec]:
    """The method's stages in `folder`, one after the other: run each before asking for the next."""
    data, reward = folder / "data", None
    for stage in chain_of(method):
        own = stage_settings(settings, method, stage)
        if CARDS[stage].samples:
            own.setdefault("prompts", str(DATA / "prompts" / "compare.jsonl"))
        if stage == "constitution":
            own.setdefault("principles", str(DATA / "principles.txt"))
        out = folder / stage
        yield StageSpec(stage, data, str(MODEL), out, own, seed, reward=reward)
        reward = out if stage == "reward" else reward
        data = out if stage == "constitution" else data  # the rows that it made


def run_stage(spec: StageSpec) -> tuple[dict[str, Any], Used]:
    """The stage as a child: its metrics, and the time and memory of the process from start to end."""
    file = spec.out.with_suffix(".json")
    file.write_text(spec.to_json())
    used = used_by([sys.executable, "-m", "alignment.run", str(file)], spec.out.with_suffix(".log"), cwd=ROOT)
    if used.code:
        raise SystemExit(f"{spec.stage} failed: {(spec.out / 'error.json').read_text()}")
    return read_manifest(spec.out).metrics, used


def one_seed(
    method: str,
    seed: int,
    folder: Path,
    base: Model,
    rights: Sequence[bool],
    settings: dict[str, Setting],
    count: int,
    address: str = "",
) -> dict[str, Any]:
    """Labels, stages, measurements; `address` is the adviser's."""
    taste = TASTES["warm"]
    if method == "constitution":
        own = {"constitution.url": address, "constitution.count": count, "constitution.revise": False}
        settings, judgements = {**own, **settings}, []
    else:
        judgements = labels(base, taste, count, seed, marks=method in LIKES)
    compiled = write_compiled(judgements, folder / "data", seed=seed)
    line: dict[str, Any] = {"method": method, "seed": seed, "labels": len(judgements) or count}
    line["settings"] = {name: value for name, value in settings.items() if value != address}
    line |= {"rows": compiled.counts["rows"], "stages": {}, "seconds": 0.0, "cpu_s": 0.0, "high_water_gib": 0.0}
    out = folder
    for spec in chain(method, seed, folder, settings):
        out = spec.out
        metrics, used = run_stage(spec)
        line["stages"][spec.stage] = {
            "seconds": round(used.seconds, 1),
            **{
                key: value
                for key, value in metrics.items()
                if key.startswith(("seconds", "held_out", "first", "last", "moved", "top_ups"))
            },
        }
        line["seconds"] = round(line["seconds"] + used.seconds, 1)
        line["cpu_s"] = round(line["cpu_s"] + used.cpu_s, 1)
        line["high_water_gib"] = round(max(line["high_water_gib"], used.peak_gib), 2)
    return line | measured(out, base, rights, taste, seed) | provenance()


def measured(adapter: Path, base: Model, rights: Sequence[bool], taste: Taste, seed: int) -> dict[str, Any]:
    """What became of the model: taste, KL, capability, length."""
    unseen = prompts_of("eval.jsonl")[-UNSEEN:]
    tuned = Model(adapter)
    after = [samples[0].text for samples in tuned.answers(unseen, 2_000_000 + seed)]
    before = [samples[0].text for samples in base.answers(unseen, 3_000_000 + seed)]
    compared = win_rate(after, before, taste.score, tie_within=taste.threshold)
    loss = paired_loss(tuned.rights(), rights)
    return {
        "win_rate": round(compared.win_rate, 4),
        "interval": [round(end, 4) for end in compared.interval],
        "wins": compared.wins,
        "losses": compared.losses,
        "ties": compared.ties,
        "length_ratio": round(compared.length_ratio, 3),
        "kl": round(tuned.kl(unseen[:100], seed), 3),
        "capability": {key: round(value, 2) for key, value in asdict(loss).items()},
    }


def done(out: Path) -> set[tuple[str, int]]:
    """(method, seed) of the lines that are there; a half-written one is not."""
    return {(line["method"], line["seed"]) for line in read_lines(out)}


def setting(text: str) -> tuple[str, Setting]:
    """`KEY=VALUE`; the stage reads the value as its setting's type."""
    key, sign, value = text.partition("=")
    if not sign:
        raise argparse.ArgumentTypeError(f"{text} is not KEY=VALUE")
    return key, value


def main(words: Sequence[str] | None = None) -> int:
    """Run the seeds that are not done, appending a line for each as it ends."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--method", required=True, choices=sorted(METHODS))
    parser.add_argument("--seeds", default="1-5")
    parser.add_argument("--labels", type=int, default=400)
    parser.add_argument("--out", type=Path, default=RESULTS / "methods.jsonl")
    parser.add_argument("--set", dest="settings", type=setting, action="append", default=[], metavar="KEY=VALUE")
    arguments = parser.parse_args(words)
    quiet_environment()
    base = Model()
    rights = base.rights()
    for seed in seeds_of(arguments.seeds):
        if (arguments.method, seed) in done(arguments.out):
            continue
        with (
            tempfile.TemporaryDirectory(prefix="alignloop-methods-") as folder,
            adviser(TASTES["warm"]) as address,
        ):
            settings, count = dict(arguments.settings), arguments.labels
            line = one_seed(arguments.method, seed, Path(folder), base, rights, settings, count, address)
        with arguments.out.open("a") as file:
            file.write(json.dumps(line) + "\n")
        print(json.dumps(line), file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
