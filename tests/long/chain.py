"""Do rounds add up? Chained rounds by one taste, one JSON line a start and seed.

    make study NAME=chain ARGS="--seeds 1-5"
    python -m tests.long.chain --seeds 1-5 [--start incumbent|base|both] [--rounds 5] [--labels 120] [--out FILE.jsonl]

For each seed and start, five rounds of `dpo`: a scripted annotator of known taste compares 120 pairs of answers
of the incumbent (the embedded model at first), the comparisons of all rounds so far are compiled by the
product's own rules, older versions' answers weighted by age, and the stage runs as the worker runs it, from the
base or on top of the incumbent's adapter. Its version is the next incumbent whatever the gate would have said,
which stands beside it (`guards`, empty where nothing is crossed): the chain goes where it would go if nobody
watched. After each round: win rate over the base on 400 prompts that nothing was trained on (ties as half, Wilson
interval over the prompts), capability against the base (paired over 600 questions, one-sided 95 % bound), held-out
language-model loss against the base (nats per token), KL to base and incumbent (nats per answer at temperature 1).
A line that is in FILE is not made again.

The claim: round five is non-inferior to the base in capability, and its win rate over the base is not below round
one's. `--summary` prints it from FILE: bounds by seed, and the paired difference of the win rates over seeds.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from alignment.dataset.compile import Rules
from alignment.dataset.judgement import Judgement
from alignment.evaluation.gate import Limits
from alignment.evaluation.language_loss import encoded, language_loss, load_texts
from alignment.evaluation.tastes import TASTES
from alignment.run import quiet_environment
from alignment.stage.spec import StageSpec
from tests.alignment.compiled import write_compiled
from tests.long.lines import RESULTS, provenance, read_lines, seeds_of, spread
from tests.long.methods import DATA, MODEL, UNSEEN, Model, labels, measured, prompts_of, run_stage

STARTS = ("incumbent", "base")
ROUNDS, LABELS = 5, 120
TASTE = "warm"


class Base(Model):
    """The base, asked the same in every round and so answering from memory after the first."""

    def __init__(self) -> None:
        super().__init__()
        self._kept: dict[tuple[Any, ...], list[list[Any]]] = {}

    def answers(self, prompts: Sequence[str], seed: int, n: int = 1) -> list[list[Any]]:
        """As a model's."""
        key = (tuple(prompts), seed, n)
        if key not in self._kept:
            self._kept[key] = super().answers(prompts, seed, n)
        return self._kept[key]


def one_chain(
    start: str, seed: int, rounds: int, count: int, folder: Path, base: Model, rights: Sequence[bool]
) -> dict[str, Any]:
    """The rounds of one chain, each measured."""
    began = time.perf_counter()
    line: dict[str, Any] = {"start": start, "seed": seed, "labels": count, "rounds": []}
    judgements: list[Judgement] = []
    incumbent: Path | None = None
    for number in range(1, rounds + 1):
        at = folder / f"round-{number}"
        teller = Model(incumbent) if incumbent else base
        written = labels(
            teller,
            TASTES[TASTE],
            count,
            100 * seed + number,
            marks=False,
            after=len(judgements),
            version=name(number - 1),
        )
        judgements += written
        write_compiled(judgements, at / "data", seed=seed, rules=Rules(promotions=promotions(number)))
        adapter = incumbent if start == "incumbent" else None
        spec = StageSpec("dpo", at / "data", str(MODEL), at / "dpo", {}, seed, adapter=adapter)
        metrics, used = run_stage(spec)
        line["rounds"].append(
            {"round": number, "pairs": metrics["rows"]["train"], "started_from": metrics["started_from"]}
            | measured(spec.out, base, rights, TASTES[TASTE], seed)
            | {"kl_incumbent": kl_to(spec.out, incumbent, seed), "loss_added": loss_added(spec.out)}
            | {"seconds": round(used.seconds, 1)}
        )
        line["rounds"][-1]["guards"] = broken(line["rounds"][-1])
        print(json.dumps(line["rounds"][-1]), file=sys.stderr)
        incumbent = spec.out
    return line | {"seconds": round(time.perf_counter() - began, 1)} | provenance()


def name(number: int) -> str:
    """What the version of a round is called; round 0 is the base."""
    return f"policy-{number:04d}" if number else "base"


def promotions(number: int) -> dict[str, int]:
    """At the start of a round: for each version, the promotions since it was the incumbent."""
    return {name(made): number - 1 - made for made in range(number)}


def kl_to(adapter: Path, incumbent: Path | None, seed: int) -> float:
    """KL to the incumbent on the prompts that `measured` asks for the KL to the base."""
    return round(Model(adapter).kl(prompts_of("eval.jsonl")[-UNSEEN:][:100], seed, to=incumbent), 3)


def loss_added(adapter: Path) -> float:
    """Held-out language-model loss over the base's, nats per token."""
    from alignment.methods.online.local_sampler import BASE, LocalModel

    texts = load_texts(DATA / "texts" / "held_out.jsonl")
    model = LocalModel(str(MODEL), {"policy": adapter})
    answers = encoded(model, BASE, texts)
    mine, theirs = (language_loss(model, version, texts, answers) for version in ("policy", BASE))
    return round(mine - theirs, 4)


def broken(row: dict[str, Any]) -> list[str]:
    """The limits of the gate, against the base, that this round's version crosses."""
    limits, loss = Limits(), row["capability"]
    crossed = {
        "capability": loss["points"] > limits.capability_loss or loss["upper"] > limits.capability_upper,
        "kl": row["kl_incumbent"] > limits.kl,
        "length": not limits.length_low <= row["length_ratio"] <= limits.length_high,
    }
    return [limit for limit, over in crossed.items() if over]


def claim(lines: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What the lines of one start say: the last round against the base in capability, and against the first in wins.

    `gain` is the last round's win rate over the base minus the first's, in points, with a t-interval over seeds (None
    below two seeds); `non_inferior` counts the seeds whose bound is within the gate's limit.
    """
    limit = Limits().capability_upper
    first, last = [line["rounds"][0] for line in lines], [line["rounds"][-1] for line in lines]
    gains = [100 * (b["win_rate"] - a["win_rate"]) for a, b in zip(first, last, strict=True)]
    half = spread(gains)[1] if len(gains) > 1 else None
    return {
        "seeds": len(lines),
        "win_rate_first": round(fmean(row["win_rate"] for row in first), 4),
        "win_rate_last": round(fmean(row["win_rate"] for row in last), 4),
        "gain": round(fmean(gains), 2),
        "gain_interval": None if half is None else [round(fmean(gains) - half, 2), round(fmean(gains) + half, 2)],
        "capability_lost": round(fmean(row["capability"]["points"] for row in last), 2),
        "capability_upper_worst": max(row["capability"]["upper"] for row in last),
        "non_inferior": sum(row["capability"]["upper"] <= limit for row in last),
        "kl_base": round(fmean(row["kl"] for row in last), 2),
        "loss_added": round(fmean(row["loss_added"] for row in last), 4),
    }


def done(out: Path) -> set[tuple[str, int]]:
    """(start, seed) of the lines that are there; a half-written one is not."""
    return {(line["start"], line["seed"]) for line in read_lines(out)}


def summary(out: Path) -> dict[str, Any]:
    """`claim` by start."""
    lines = read_lines(out)
    by_start = {start: [line for line in lines if line["start"] == start] for start in STARTS}
    return {start: claim(found) for start, found in by_start.items() if found}


def main(words: Sequence[str] | None = None) -> int:
    """Run the chains that are not done, appending a line for each as it ends; print the summary."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", default="1-5")
    parser.add_argument("--start", default="incumbent", choices=(*STARTS, "both"))
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--labels", type=int, default=LABELS)
    parser.add_argument("--out", type=Path, default=RESULTS / "chain.jsonl")
    parser.add_argument("--summary", action="store_true", help="only say what the file holds")
    arguments = parser.parse_args(words)
    starts = STARTS if arguments.start == "both" else (arguments.start,)
    left = [] if arguments.summary else [(start, seed) for seed in seeds_of(arguments.seeds) for start in starts]
    left = [each for each in left if each not in done(arguments.out)]
    if left:
        quiet_environment()
        base = Base()
        rights = base.rights()
    for start, seed in left:
        with tempfile.TemporaryDirectory(prefix="alignloop-chain-") as folder:
            line = one_chain(start, seed, arguments.rounds, arguments.labels, Path(folder), base, rights)
        with arguments.out.open("a") as file:
            file.write(json.dumps(line) + "\n")
        print(json.dumps(line), file=sys.stderr)
    print(json.dumps(summary(arguments.out)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
