"""Evidence: what is asked of vLLM, what is not asked twice, and how a round's questions are chosen."""

from __future__ import annotations

import threading
from collections import Counter
from pathlib import Path

import pytest

from alignment.dataset.judgement import Message
from alignment.dataset.reading.prompts import plain, prompt_of
from alignment.evaluation.capability import Question
from alignment.evaluation.language_loss import Text
from alignment.stage.sampler import Sample, Sampling
from feedback_app.errors import RoundFailed
from feedback_app.loop.evaluation import (
    CHUNK,
    TEXTS,
    Interruptible,
    Stopped,
    chosen_questions,
    evaluation_prompts,
    gather,
    held_out_texts,
)
from feedback_app.loop.evaluation_cache import KnownLosses, KnownRights
from feedback_app.settings import shipped_data
from feedback_app.store.tables import Version
from tests.feedback_app.loop.parts import FakeSampler

SKY = Question("sky", "colours", "made", "What colour is the sky?", {"any": [r"\bblue\b"]})
GRASS = Question("grass", "colours", "made", "What colour is grass?", {"any": [r"\bgreen\b"]})
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


HELD_OUT = [Text((Message("user", f"Ask {number}."),), f"Answer {number}.") for number in range(3)]


def test_the_kl_to_the_base_and_the_loss_on_held_out_texts_are_measured(tmp_path: Path) -> None:
    sampler = FakeSampler()
    rights, losses = KnownRights(tmp_path, [SKY], 32), KnownLosses(tmp_path, HELD_OUT)
    evidence = gather(sampler, NEW, OLD, BASE, [SKY], PROMPTS, SAMPLING, rights, HELD_OUT, losses)
    assert evidence.kl == pytest.approx(1.5)  # three tokens at -1.0 against -1.5
    assert evidence.kl_base == pytest.approx(3.0)  # and against -2.0
    assert evidence.language is not None
    assert (evidence.language.texts, evidence.language.challenger, evidence.language.base) == (3, 1.5, 2.0)
    assert evidence.language.added == -0.5
    assert "language" in evidence.seconds
    again = FakeSampler()
    gather(again, version("policy-0003"), BASE, BASE, [SKY], PROMPTS, SAMPLING, rights, HELD_OUT, losses)
    assert again.encoded == 0, "one base has one tokenizer"
    assert again.scored == {"base": 4, "policy-0003": 3}, "the base's loss is known, and its KL is asked for once"


def test_a_template_that_renders_answered_prompts_otherwise_leaves_the_loss_unmeasured(tmp_path: Path) -> None:
    class Otherwise(FakeSampler):
        def encode(self, version, prompts, answers):  # type: ignore[no-untyped-def]
            return [Sample(answer, "stop") for answer in answers]

    losses = KnownLosses(tmp_path, HELD_OUT)
    rights = KnownRights(tmp_path, [SKY], 32)
    assert gather(Otherwise(), NEW, OLD, BASE, [SKY], PROMPTS, SAMPLING, rights, HELD_OUT, losses).language is None


def test_broken_files_of_losses_are_made_again(tmp_path: Path) -> None:
    losses = KnownLosses(tmp_path, HELD_OUT)
    losses.put(OLD, 1.25)
    losses.put_tokens(BASE, [Sample(text.answer, "stop", (7,)) for text in HELD_OUT])
    assert losses.get(OLD) == 1.25
    assert [sample.tokens for sample in losses.tokens(BASE) or []] == [(7,)] * 3
    assert KnownLosses(tmp_path, HELD_OUT[:1]).get(OLD) is None, "other texts are another matter"
    for path in tmp_path.iterdir():
        path.write_text("{")
    assert losses.get(OLD) is None
    assert losses.tokens(BASE) is None


def test_the_shipped_texts_are_answered_questions(tmp_path: Path) -> None:
    texts = held_out_texts(shipped_data() / "texts" / "held_out.jsonl")
    assert len(texts) == TEXTS
    assert all(text.prompt[-1].role == "user" and text.answer for text in texts)
    broken = tmp_path / "held_out.jsonl"
    broken.write_text('{"messages": [{"role": "user", "content": "Hi"}]}\n')
    with pytest.raises(RoundFailed, match=r"held_out\.jsonl, line 1, is not a conversation with an answer"):
        held_out_texts(broken)
    with pytest.raises(RoundFailed, match="cannot be read"):
        held_out_texts(tmp_path / "nothing")


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
    everything = chosen_questions(folder, 10_000)
    some = chosen_questions(folder, 120)
    assert some == chosen_questions(folder, 120)
    assert {question.id for question in some} <= {question.id for question in everything}
    sizes = Counter(question.category for question in some)
    assert max(sizes.values()) - min(sizes.values()) <= 1
    assert set(sizes) == {question.category for question in everything}


def test_evaluation_prompts_come_behind_the_system_prompt() -> None:
    several = [plain(f"p{n}") for n in range(5)]
    prompts = evaluation_prompts(several, 2, "Be kind.")
    assert prompts == tuple((Message("system", "Be kind."), Message("user", f"p{n}")) for n in range(2))
    pirate = prompt_of({"prompt": [{"role": "system", "content": "Arr."}, {"role": "user", "content": "Hi"}]})
    (asked,) = evaluation_prompts([pirate], 8, "Be kind.")
    assert asked == (Message("system", "Be kind.\n\nArr."), Message("user", "Hi"))
    assert evaluation_prompts([pirate], 8) == (pirate.messages,)
