"""What studies share: the embedded model asked in this process, scripted people, stages run here, win rates.

Everything measured is the product's own code: its compiler, its snapshots, its stages. What may not be done
here: a claim about any one study.
"""

from __future__ import annotations

import argparse
import gc
import json
import random
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from alignment.dataset.compile import Rules
from alignment.dataset.judgement import Judgement
from alignment.evaluation.evaluate import WinRate, win_rate
from alignment.evaluation.tastes import Taste
from alignment.methods.registry import run_stage
from alignment.run import quiet_environment
from alignment.stage.sampler import Sample
from alignment.stage.spec import Setting
from tests.alignment.compiled import write_compiled
from tests.long.lines import RESULTS, provenance, read_lines, seeds_of
from tests.long.methods import DATA, UNSEEN, Model, chain, prompts_of

CHUNK = 80  # prompts that are sampled at once
PROMPTS = DATA / "prompts" / "compare.jsonl"


def distinct(samples: Sequence[Sample], count: int) -> list[Sample]:
    """The first `count` samples whose texts differ; fewer where there are none."""
    found: dict[str, Sample] = {}
    for sample in samples:
        found.setdefault(sample.text, sample)
    return list(found.values())[:count]


@dataclass
class Lab:
    """The base model, its answers to the unseen prompts, and everything that a study does with them."""

    base: Model = field(default_factory=Model)
    unseen: list[str] = field(default_factory=lambda: prompts_of("eval.jsonl")[-UNSEEN:])
    _before: dict[int, list[str]] = field(default_factory=dict)
    _pools: dict[tuple[int, int], tuple[list[tuple[str, list[Sample]]], int]] = field(default_factory=dict)

    def prompts(self, seed: int) -> list[str]:
        """Prompts to collect judgements on, in an order of this seed: none of them is among the unseen."""
        found = prompts_of("compare.jsonl") + prompts_of("eval.jsonl")[:-UNSEEN]
        random.Random(f"prompts {seed}").shuffle(found)
        return found

    def pools(self, count: int, seed: int, *, width: int = 8) -> list[tuple[str, list[Sample]]]:
        """`count` times a prompt with at least two different finished answers of the base model.

        The first ones are the same for every `count`; what was sampled before is not sampled again.
        """
        found, turn = self._pools.setdefault((seed, width), ([], 0))
        prompts = self.prompts(seed)
        while len(found) < count and turn < 20 * len(prompts):
            some = prompts[turn % len(prompts) :][:CHUNK]
            for prompt, samples in zip(some, self.base.answers(some, seed * 100_000 + turn, n=width), strict=True):
                different = distinct([sample for sample in samples if sample.finish_reason == "stop"], width)
                if len(different) > 1:
                    found.append((prompt, different))
            turn += len(some)
        self._pools[seed, width] = (found, turn)
        return found[:count]

    def train(
        self,
        method: str,
        judgements: Sequence[Judgement],
        seed: int,
        folder: Path,
        settings: Mapping[str, Setting] | None = None,
        rules: Rules | None = None,
        signals: Iterable[Any] = (),
    ) -> tuple[Path, dict[str, Any]]:
        """Compile by the product's rules and run the method's stages here: the adapter, and what became of it all."""
        compiled = write_compiled(judgements, folder / "data", seed=seed, rules=rules, signals=signals)
        record: dict[str, Any] = {"rows": compiled.counts["rows"]}
        out = folder
        for spec in chain(method, seed, folder, settings or {}):
            manifest, out = run_stage(spec), spec.out
            record[spec.stage] = {
                key: manifest.metrics[key]
                for key in ("seconds", "held_out_accuracy", "moved", "top_ups")
                if key in manifest.metrics
            }
            gc.collect()
        return out, record

    def judged(self, adapter: Path, taste: Taste, seed: int) -> WinRate:
        """One answer of the adapter against one of the base on each unseen prompt, by the taste; ties are halves."""
        if seed not in self._before:
            self._before[seed] = self.base.texts(self.unseen, 3_000_000 + seed)
        after = Model(adapter).texts(self.unseen, 2_000_000 + seed)
        return win_rate(after, self._before[seed], taste.score, tie_within=taste.threshold)


def study(
    name: str,
    doc: str | None,
    one_seed: Callable[[Lab, int, str, Path], dict[str, Any]],
    arms: Sequence[str],
    words: Sequence[str] | None = None,
    seeds: str = "1-10",
) -> int:
    """The command line of a study of (seed, arm): runs those that FILE does not hold, a JSON line each as it ends."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", default=seeds)
    parser.add_argument("--arms", default=",".join(arms), help="default: all of them")
    parser.add_argument("--out", type=Path, default=RESULTS / f"{name}.jsonl")
    arguments = parser.parse_args(words)
    if unknown := sorted(set(arguments.arms.split(",")) - set(arms)):
        parser.error(f"there is no arm {unknown[0]}; there are {', '.join(arms)}")
    quiet_environment()
    lab = Lab()
    for seed in seeds_of(arguments.seeds):
        for arm in arguments.arms.split(","):
            if (seed, arm) in {(line["seed"], line["arm"]) for line in read_lines(arguments.out)}:
                continue
            with tempfile.TemporaryDirectory(prefix=f"alignloop-{name}-") as folder:
                line = {"seed": seed, "arm": arm, **one_seed(lab, seed, arm, Path(folder)), **provenance()}
            with arguments.out.open("a") as file:
                file.write(json.dumps(line) + "\n")
            print(json.dumps(line), file=sys.stderr)
    return 0
