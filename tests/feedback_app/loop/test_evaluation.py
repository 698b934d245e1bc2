"""Evidence: what is asked of vLLM, what is not asked twice, and how a round's questions are chosen."""

from __future__ import annotations

import json
import threading
from collections import Counter
from pathlib import Path

import pytest

from alignment.judgement import Message
from alignment.sampler import Sampling
from feedback_app.errors import RoundFailed
from feedback_app.loop.evaluation import (
    CHUNK,
    Asked,
    Interruptible,
    KnownRights,
    Stopped,
    evaluation_prompts,
    gather,
    load_questions,
)
from feedback_app.settings import shipped_data
from feedback_app.store.tables import Version
from tests.feedback_app.loop.parts import FakeSampler

SKY = Asked("sky", "colours", "What colour is the sky?", {"any": [r"\bblue\b"]})
GRASS = Asked("grass", "colours", "What colour is grass?", {"any": [r"\bgreen\b"]})
PROMPTS = [(Message("user", f"Say {number}."),) for number in range(4)]
SAMPLING = Sampling(0.8, 32, seed=1)


def version(name: str, form: str = "adapter") -> Version:
    return Version(
        name=name, kind="x", form=form, path="/p", base_hash="b", artifact_hash=f"hash-{name}", created_at=0.0
    )


NEW, OLD, BASE = version("policy-0002"), version("policy-0001"), version("base", "full")


def test_what_is_measured_is_about_the_right_versions(tmp_path: Path) -> None:
    sampler = FakeSampler(answers={"policy-0002": "Blue and green, gladly!", "policy-0001": "Blue."})
    rights = KnownRights(tmp_path, [SKY, GRASS], 32)
    evidence = gather(sampler, NEW, OLD, BASE, [SKY, GRASS], PROMPTS, SAMPLING, rights)
    assert (evidence.capability.challenger, evidence.capability.incumbent, evidence.capability.base) == (1.0, 0.5, 0.5)
    assert evidence.kl == pytest.approx(1.5)  # three tokens at -1.0 against -1.5
    assert evidence.length_ratio == pytest.approx(4.0)
    assert evidence.samples[0] == {"prompt": "Say 0.", "before": "Blue.", "after": "Blue and green, gladly!"}


def test_a_versions_greedy_answers_are_asked_for_once(tmp_path: Path) -> None:
    sampler = FakeSampler()
    for challenger in (NEW, version("policy-0003")):
        rights = KnownRights(tmp_path, [SKY, GRASS], 32)
        gather(sampler, challenger, OLD, BASE, [SKY, GRASS], PROMPTS, SAMPLING, rights)
    assert sampler.asked == {"policy-0002": 2 + 4, "policy-0003": 2 + 4, "policy-0001": 2 + 4 + 4, "base": 2}
    other = KnownRights(tmp_path, [SKY], 32)
    assert other.get(OLD) is None, "other questions are another matter"


def test_a_broken_file_of_known_answers_is_asked_again(tmp_path: Path) -> None:
    rights = KnownRights(tmp_path, [SKY], 32)
    rights.put(OLD, [True])
    assert rights.get(OLD) == (True,)
    next(tmp_path.iterdir()).write_text("[1,")
    assert rights.get(OLD) is None


def test_a_cancelled_round_stops_asking_and_seeds_do_not_depend_on_parts() -> None:
    seeds: list[int] = []
    stop = threading.Event()

    class Watched(FakeSampler):
        def sample(self, version, prompts, sampling):  # type: ignore[no-untyped-def]
            seeds.extend(sampling.seed + number for number in range(len(prompts)))
            if len(seeds) > CHUNK:
                stop.set()
            return super().sample(version, prompts, sampling)

    prompts = [(Message("user", str(number)),) for number in range(3 * CHUNK)]
    with pytest.raises(Stopped):
        Interruptible(Watched(), stop).sample("base", prompts, SAMPLING)
    assert seeds == list(range(1, 1 + 2 * CHUNK))


def test_fewer_questions_are_the_same_ones_from_every_category() -> None:
    folder = shipped_data() / "questions"
    everything = load_questions(folder, 10_000)
    some = load_questions(folder, 120)
    assert some == load_questions(folder, 120)
    assert {question.id for question in some} <= {question.id for question in everything}
    sizes = Counter(question.category for question in some)
    assert max(sizes.values()) - min(sizes.values()) <= 1
    assert set(sizes) == {question.category for question in everything}


def test_evaluation_prompts_come_behind_the_system_prompt(tmp_path: Path) -> None:
    path = tmp_path / "eval.jsonl"
    path.write_text("".join(json.dumps({"prompt": f"p{n}"}) + "\n" for n in range(5)))
    prompts = evaluation_prompts(path, 2, "Be kind.")
    assert prompts == tuple((Message("system", "Be kind."), Message("user", f"p{n}")) for n in range(2))
    path.write_text("not json\n")
    with pytest.raises(RoundFailed, match=r"eval\.jsonl"):
        evaluation_prompts(path, 2)
