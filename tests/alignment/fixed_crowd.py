"""A fixed crowd: seeded judgements and signals of every kind, and what is recorded of them.

`python -m tests.alignment.fixed_crowd` prints the hashes and loss traces that `test_fixed_crowd` expects; it is run
on the commit before a change and never to make a failing test pass. Holds no expectations itself.
"""

from __future__ import annotations

import hashlib
import json
import random
import sys
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from alignment.dataset.compile.implicit import ImplicitSignal
from alignment.dataset.compile.rules import Contradictions, Rules, Signal
from alignment.dataset.compile.snapshot_writer import write_snapshot
from alignment.dataset.compile.stream import Stream
from alignment.dataset.judgement import Excluded, Judgement, Mark, Message, Strength
from alignment.dataset.rows import GroupRow, MarkRow, PairRow, SftRow, to_record
from alignment.dataset.snapshot import Manifest
from alignment.stage.spec import Setting
from tests.alignment.builders import like, ranking, user, vote

KINDS: dict[str, type[Any]] = {"pairs": PairRow, "marks": MarkRow, "sft": SftRow, "groups": GroupRow}
RULES = {
    "default": Rules(),
    "majority": Rules(
        trusted=frozenset({"p1", "p2"}),
        contradictions=Contradictions.MAJORITY,
        promotions={"sft": 2},
        implicit=frozenset(Signal),
    ),
    "drop": Rules(contradictions=Contradictions.DROP, reliability=False),
}
SMALL: dict[str, Setting] = {"dtype": "fp32", "epochs": 2, "batch": 8, "rate": 1e-3}
SETTINGS: dict[str, dict[str, Setting]] = {
    "dpo": SMALL,
    "kto": SMALL,
    "reward": SMALL,
    "ppo": {
        "dtype": "fp32",
        "rate": 1e-3,
        "steps": 3,
        "rollouts": 16,
        "epochs": 2,
        "minibatch": 8,
        "microbatch": 4,
        "max_tokens": 8,
    },
}
LOSSES = {"dpo": ("loss",), "kto": ("loss",), "reward": ("loss",), "ppo": ("loss", "value_loss")}


def judgements(seed: int = 20) -> list[Judgement]:
    """330 verdicts of seven people: votes, ties, marks, corrections, rankings, repeats, gold, excluded, cut answers."""
    chance = random.Random(seed)
    people = [f"p{number}" for number in range(1, 8)]
    listed: list[Judgement] = []
    for number in range(140):
        prompt = f"What goes with {number // 2}?"  # two people each
        ranks = chance.choice([(1, 2), (1, 2), (2, 1), (1, 1), (None, None)])
        marks = chance.choice([(None, None), (Mark.GOOD, Mark.BAD), (Mark.BAD, Mark.BAD), (Mark.GOOD, None)])
        made = vote(
            number,
            f"Gladly: {number // 2} goes with {number // 2 + 1}!",
            f"{number // 2 + 1}.",
            ranks,
            prompt=prompt,
            strength=chance.choice([*Strength, None]),
            marks=marks,
            finish=("stop", "length") if number % 23 == 0 else ("stop", "stop"),
            person=people[number % 7],
            cannot_judge=number % 19 == 0,
            conversation=f"k{number % 5}" if number % 3 == 0 else None,
            scripted=number % 7 == 6,
        )
        if number % 17 == 0:
            made = replace(made, candidates=(replace(made.candidates[0], excluded=Excluded.FORCED), made.candidates[1]))
        listed.append(replace(made, task=f"t{number // 2}", at=float(number)))
    for number in range(140, 300):
        text = f"Answer {number}, and {chance.choice(['gladly', 'kindly', 'no more'])}."
        correction = f"Better {number}: {text}" if number % 6 == 0 else None
        mark = None if correction and number % 12 == 0 else chance.choice([*[Mark.GOOD] * 8, Mark.BAD])
        person = "p1" if number < 270 else chance.choice(people)
        made = like(number, text, mark, prompt=f"Say {number // 2}.", person=person, correction=correction)
        listed.append(replace(made, at=float(number)))
    for number in range(300, 320):
        ranks = [chance.randint(1, 3) for _ in range(chance.randint(2, 5))]
        listed.append(replace(ranking(number, ranks, prompt=f"Name {number % 9} fruits."), person=people[number % 7]))
    for number in range(320, 330):
        shown = listed[number - 320 + 20]
        extra: dict[str, Any] = {"repeat": True} if number % 2 else {"gold": number % 4 == 0}
        listed.append(replace(shown, id=f"j{number:05d}", **extra))
    return listed


def signals() -> list[ImplicitSignal]:
    """Thanks and retries of one person, most on answers that they marked; those that they did not mark become rows."""
    listed: list[ImplicitSignal] = []
    for judgement in judgements():
        if not 140 <= int(judgement.id[1:]) < 300:
            continue
        mark = judgement.candidates[0].mark
        signal = Signal.THANKS if mark is Mark.GOOD else Signal.RETRY
        text, context = judgement.candidates[0].text, judgement.context
        listed.append(ImplicitSignal(f"s{judgement.id}", "p1", signal, context, text, "sft"))
    for number in range(30):
        context = (*user(f"And {number}?"), Message("assistant", "Yes."), Message("user", "More."))
        signal = Signal.COPY if number % 2 else Signal.THANKS
        listed.append(ImplicitSignal(f"x{number}", "p1", signal, context, f"More of {number}.", "sft"))
    return listed


def hash_of(rows: Iterable[Any]) -> str:
    """The SHA-256 of rows as JSON lines."""
    digest = hashlib.sha256()
    for row in rows:
        digest.update(json.dumps(to_record(row), sort_keys=True, ensure_ascii=False).encode() + b"\n")
    return digest.hexdigest()


def compiled(rules: Rules, scratch: Path) -> Stream:
    """The crowd's rows under these rules."""
    scratch.mkdir(parents=True)
    return Stream(judgements(), scratch, seed=3, rules=rules, signals=signals())


def row_hashes(stream: Stream) -> dict[str, str]:
    """By kind of rows and side, the hash of them all; the number of rows stands before it."""
    found = {}
    for kind, make in KINDS.items():
        for side in ("train", "held_out"):
            rows = list(stream.rows(make, side))
            found[f"{kind} {side}"] = f"{len(rows)} {hash_of(rows)}"
    return found


def snapshot(rules: Rules, folder: Path) -> Manifest:
    """The crowd's snapshot in `folder`/data."""
    stream = compiled(rules, folder / "scratch")
    return frozen(stream, folder / "data")


def frozen(stream: Stream, folder: Path) -> Manifest:
    """A compilation as a snapshot."""
    return write_snapshot(
        stream.contexts(), folder, counts=stream.counts.to_record, filters={"scripted": True}, watermark=330
    )


def trained(folder: Path, methods: Iterable[str] = tuple(SETTINGS)) -> dict[str, dict[str, Any]]:
    """By method: the losses of every record, and the SHA-256 of the weights. PPO learns from the reward model."""
    from alignment.methods.registry import run_stage
    from alignment.stage.spec import StageSpec
    from tests.alignment.tiny_model import make_tiny_model

    model = make_tiny_model(folder / "model")
    snapshot(Rules(), folder)
    found: dict[str, dict[str, Any]] = {}
    for method in methods:
        records: list[Mapping[str, Any]] = []
        reward = folder / "reward" if method == "ppo" else None
        spec = StageSpec(method, folder / "data", str(model), folder / method, SETTINGS[method], 5, reward=reward)
        run_stage(spec, records.append)
        found[method] = {
            name: [round(record[name], 6) for record in records if name in record] for name in LOSSES[method]
        }
        found[method]["weights"] = {
            str(path.relative_to(folder / method)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted((folder / method).rglob("*.safetensors"))
        }
    return found


def main() -> None:
    """Print what is recorded of the crowd, as JSON."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = {name: row_hashes(compiled(rules, folder / f"rows-{name}")) for name, rules in RULES.items()}
        manifests = {name: snapshot(rules, folder / name) for name, rules in RULES.items()}
        found: dict[str, Any] = {
            "rows": rows,
            "snapshots": {name: manifest.hash for name, manifest in manifests.items()},
            "counts": {name: manifest.counts for name, manifest in manifests.items()},
        }
        if "--train" in sys.argv:
            found["trained"] = trained(folder / "trained")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
