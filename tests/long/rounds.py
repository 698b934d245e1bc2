"""Does a round do what its annotator wants? Real rounds over seeds, one JSON line each.

    make study NAME=rounds ARGS="--seeds 1-20 --annotator warm"
    python -m tests.long.rounds --seeds 1-20 --annotator warm [--out FILE.jsonl] [--model DIR] [--vllm-url URL]

For each seed, in a new ALIGNLOOP_HOME and with one vLLM shared by all of them: 40 scripted comparisons, a
DPO round, which must then be held and say how many votes it needs, 60 scripted votes between challenger
and incumbent, the verdict; then one sample per version on 400 prompts that nothing was trained on, at
serving temperature, judged by the taste `--judge` (the annotator's, or warm when that is random).
Everything goes through the product's own code: store, collect, worker, simulate. Nothing is faked. Seeds that
the file holds already are not run again.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from alignment.dataset.judgement import Message
from alignment.evaluation.tastes import TASTES
from alignment.stage.sampler import Sampling
from feedback_app.collect.answer import Answers
from feedback_app.collect.tasks import Comparing
from feedback_app.loop.report import round_report
from feedback_app.loop.rounds import start_round
from feedback_app.loop.worker import Worker
from feedback_app.prompt_sets import TINY, shipped_sets
from feedback_app.settings import Settings, TrainOn
from feedback_app.simulate import simulate
from feedback_app.store.database import Store, open_store
from feedback_app.store.tables import Version
from serving.client import VllmClient
from serving.launch import command, environment
from serving.model_check import check_model
from serving.sampler import HttpSampler
from serving.supervise import Supervisor
from tests.long.lines import RESULTS, provenance, read_lines, seeds_of
from tests.serving.ready import wait_ready
from tests.serving.real import base_names

COMPARISONS = 40
VOTES = 60
UNSEEN = 400


@asynccontextmanager
async def served(model: str, port: int, folder: Path) -> AsyncIterator[str]:
    """A vLLM of our own for the whole study; yields its address."""
    url = f"http://127.0.0.1:{port}"
    supervisor = Supervisor(
        command(model, port, max_lora_rank=16, max_loras=6, served_names=base_names(model)),
        environment(os.environ, kv_gib=1, model=model),
        folder / "vllm.log",
        folder / "vllm.pid",
        f"{url}/health",
    )
    running = asyncio.create_task(supervisor.run())
    try:
        await wait_ready(supervisor, 600.0)
        yield url
    finally:
        await supervisor.stop()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def study_settings(home: Path, model: str, url: str) -> Settings:
    """The product's settings as they ship, in a home of their own."""
    return Settings(home=home, model=model, vllm_url=url, votes=VOTES, train_on=TrainOn.BESIDE)


async def one_seed(seed: int, annotator: str, judge: str, settings: Settings) -> dict[str, Any]:
    """One whole turn of the loop and what came of it."""
    started = time.perf_counter()
    settings.home.mkdir(parents=True, exist_ok=True)
    store = open_store(settings.database)
    client = VllmClient(settings.vllm_address, timeout_s=settings.request_deadline_s)
    sampler = HttpSampler(settings.vllm_address, concurrency=16)
    facts = check_model(settings.model_source)
    # vLLM is shared by all seeds, so no two of them may call their version the same.
    worker = Worker(store, settings, [client], sampler, facts, next_name=lambda: f"policy-{seed:02d}01")
    rng = random.Random(f"seed {seed}")
    prompts = [prompt.asked for prompt in shipped_sets(settings.data)[TINY].training()]
    rng.shuffle(prompts)
    answers = Answers(store, client, settings, facts, rng=random.Random(f"sampling {seed}"))
    comparing = Comparing(answers, prompts, rng=random.Random(f"sides {seed}"))
    line: dict[str, Any] = {"seed": seed, "annotator": annotator, "judge": judge}
    try:
        await worker.begin()
        await worker.look_after_vllm()
        voted = await simulate(store, answers, comparing, annotator, COMPARISONS, seed=seed)
        line["comparisons"] = asdict(voted)
        start_round(store, "dpo", seed=seed)
        turn = await worker.run_next_round()
        assert turn is not None
        assert turn.id is not None
        line["before_votes"] = {"status": turn.status, "reasons": turn.reasons}
        line |= {"rows": turn.rows, "seconds": round_report(store, turn)["seconds"]}
        line["stages"] = {stage["name"]: stage["seconds"] for stage in round_report(store, turn)["stages"]}
        line["guards"] = _guards(turn.evaluation)
        if turn.version is not None:
            line |= await _votes(worker, store, answers, comparing, annotator, seed, turn.id)
            line |= await asyncio.to_thread(_unseen, sampler, worker, store, turn.version, judge, seed)
        else:
            line["status"] = turn.status
    finally:
        await comparing.close()
        for version in await asyncio.to_thread(store.versions.listing):
            if version.form == "adapter":
                await client.unload(version.name)
        sampler.close()
        await client.close()
        store.close()
    return line | {"total_seconds": round(time.perf_counter() - started, 1), **provenance()}


async def _votes(
    worker: Worker, store: Store, answers: Answers, comparing: Comparing, annotator: str, seed: int, round_id: int
) -> dict[str, Any]:
    """The blind votes, and what the round says after them."""
    turn = store.rounds.get(round_id)
    assert turn is not None
    if turn.status != "held" or store.versions.challenger() is None:
        return {"status": turn.status, "reasons": turn.reasons}
    votes = asdict(await simulate(store, answers, comparing, annotator, VOTES, seed=seed + 1000))
    await worker.look_after_vllm()
    await worker.settle()
    turn = store.rounds.get(round_id)
    assert turn is not None
    published = store.versions.published()
    return {
        "votes": {**votes, **turn.evaluation.get("votes", {})},
        "status": turn.status,
        "reasons": turn.reasons,
        "policy": published.version if published else None,
    }


def _unseen(sampler: HttpSampler, worker: Worker, store: Store, name: str, judge: str, seed: int) -> dict[str, Any]:
    """One answer per version to prompts that nothing was trained on, compared by the taste."""
    turn_version = store.versions.get(name)
    base = next(version for version in store.versions.listing() if version.form == "full")
    assert turn_version is not None
    prompts = unseen_prompts(worker.settings.data / "prompts" / "eval.jsonl", UNSEEN)
    texts = [
        _sampled(sampler, version, prompts, worker, seed + offset)
        for version, offset in ((turn_version, 0), (base, 100_000))
    ]
    return {"unseen": preferred(texts[0], texts[1], judge, seed)}


def preferred(texts: Sequence[str], against: Sequence[str], judge: str, seed: int) -> dict[str, Any]:
    """How often a taste prefers the first of two answers to a prompt; `win_rate` counts ties as half."""
    rng = random.Random(seed)
    sides = [TASTES[judge].prefer(new, old, rng).side for new, old in zip(texts, against, strict=True)]
    wins, losses, ties = sides.count("left"), sides.count("right"), sides.count("tie")
    return {
        "n": len(sides),
        "wins": wins,
        "losses": losses,
        "ties": ties,
        "win_rate": round((wins + ties / 2) / len(sides), 4),
        "of_decided": round(wins / (wins + losses), 4) if wins + losses else 0.5,
        "words": [round(sum(len(text.split()) for text in many) / len(many), 1) for many in (texts, against)],
    }


def _sampled(
    sampler: HttpSampler, version: Version, prompts: Sequence[Sequence[Message]], worker: Worker, seed: int
) -> list[str]:
    sampling = Sampling(worker.steps.temperature, worker.steps.max_tokens, seed=1_000_000 + seed * 1000)
    return [samples[0].text for samples in sampler.sample(version.served_name, prompts, sampling)]


def unseen_prompts(path: Path, count: int) -> list[tuple[Message, ...]]:
    """The last `count` prompts of the file: the evaluation's guards look at the first ones."""
    lines = [json.loads(line)["prompt"] for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    return [(Message("user", prompt),) for prompt in lines[-count:]]


def _guards(evaluation: dict[str, Any]) -> dict[str, Any]:
    """The few numbers of an evaluation that a table wants."""
    capability = evaluation.get("capability") or {}
    return {
        "kl": evaluation.get("kl"),
        "length_ratio": evaluation.get("length_ratio"),
        "capability": {key: capability.get(key) for key in ("n", "challenger", "incumbent")},
        "vs_incumbent": capability.get("vs_incumbent"),
    }


def summary(lines: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The figures over all seeds: promotions, win rates with ties as half and of decided, the worst seed."""
    rates = [line["unseen"]["win_rate"] for line in lines if "unseen" in line]
    decided = [line["unseen"]["of_decided"] for line in lines if "unseen" in line]
    return {
        "seeds": len(lines),
        "held_before_votes": sum(line["before_votes"]["status"] == "held" for line in lines),
        "promoted": sum(line.get("status") == "promoted" for line in lines),
        "win_rate": round(sum(rates) / len(rates), 4) if rates else None,
        "of_decided": round(sum(decided) / len(decided), 4) if decided else None,
        "worst": round(min(rates), 4) if rates else None,
        "longest_rest_s": max((line["seconds"]["rest"] for line in lines), default=None),
    }


async def study(arguments: argparse.Namespace, url: str, home: Path) -> list[dict[str, Any]]:
    """Run the seeds that are not done, appending a line for each as it ends."""
    out: Path = arguments.out
    done = read_lines(out)
    judge = arguments.judge or ("warm" if arguments.annotator == "random" else arguments.annotator)
    for seed in seeds_of(arguments.seeds):
        if seed in {line["seed"] for line in done}:
            continue
        settings = study_settings(home / f"seed-{seed}-{os.getpid()}", arguments.model, url)
        line = await one_seed(seed, arguments.annotator, judge, settings)
        with out.open("a") as file:
            file.write(json.dumps(line) + "\n")
        print(
            f"seed {seed}: {line['before_votes']['status']} → {line.get('status')}, "
            f"{line.get('unseen', {}).get('win_rate')} on unseen prompts, {line['total_seconds']} s",
            file=sys.stderr,
        )
        done.append(line)
    return done


async def main(arguments: argparse.Namespace) -> int:
    """Run, print the summary as JSON."""
    arguments.out = arguments.out or RESULTS / f"rounds-{arguments.annotator}.jsonl"
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="alignloop-rounds-") as folder:
        home = Path(folder)
        if arguments.vllm_url:
            lines = await study(arguments, arguments.vllm_url, home)
        else:
            model = arguments.model or str(Settings(home=home).model_source)
            async with served(model, arguments.port, home) as url:
                lines = await study(arguments, url, home)
    print(json.dumps(summary(lines)))
    return 0


def parse(words: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", default="1-20")
    parser.add_argument("--annotator", default="warm", choices=sorted(TASTES))
    parser.add_argument("--judge", default="", help="taste that judges the unseen prompts")
    parser.add_argument("--out", type=Path, default=None, help="default: tests/long/results/rounds-ANNOTATOR.jsonl")
    parser.add_argument("--model", default="", help="another model than the embedded one")
    parser.add_argument("--vllm-url", default="", help="a running vLLM instead of one of our own")
    parser.add_argument("--port", type=int, default=8239)
    return parser.parse_args(words)


if __name__ == "__main__":
    sys.exit(asyncio.run(main(parse())))
