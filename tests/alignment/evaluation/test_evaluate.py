"""Evidence from a sampler: what is asked, how often, and what is made of the answers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignment.dataset.judgement import Message
from alignment.evaluation.capability import Question
from alignment.evaluation.evaluate import FEWEST, collect_evidence, evaluate_models, fresh_answers, win_rate
from alignment.evaluation.gate import VerdictKind, guard_verdict
from alignment.evaluation.guards import length_ratio, mean_kl, paired_loss, repetition, text_facts
from alignment.evaluation.kl import kl_by
from alignment.stage.sampler import Sample, Sampling
from tests.alignment.builders import user

SAMPLING = Sampling(temperature=0.8, max_tokens=64, seed=9)
QUESTIONS = [
    Question(f"sums-{i}", "sums" if i % 2 else "colours", "unseen", f"What is {i} + 0?", {"any": [rf"\b{i}\b"]})
    for i in range(600)
]
PROMPTS = [user(f"Prompt {i}") for i in range(10)]


class ScriptedSampler:
    """Answers by version from a function; remembers what it was asked. Also scores: `nats` per version and token."""

    def __init__(self, nats: Mapping[str, float] | None = None, wrong: Mapping[str, int] | None = None) -> None:
        self.asked: list[tuple[str, int, Sampling]] = []
        self._nats = nats or {}
        self._wrong = wrong or {}

    def sample(self, version: str, prompts: Sequence[Sequence[Message]], sampling: Sampling) -> list[list[Sample]]:
        self.asked.append((version, len(prompts), sampling))
        return [[self._answer(version, prompt[-1].content, i)] * sampling.n for i, prompt in enumerate(prompts)]

    def score(self, version: str, prompts: Sequence[Sequence[Message]], samples: Sequence[Sample]) -> list[list[float]]:
        return [[self._nats[version]] * len(sample.tokens) for sample in samples]

    def _answer(self, version: str, prompt: str, number: int) -> Sample:
        if prompt.startswith("What is"):
            text = "Who knows." if number < self._wrong.get(version, 0) else f"It is {prompt.split()[2]}."
        else:
            text = f"{version} answers {prompt} now."
        return Sample(text, "stop", tokens=(5, 6, 7, 2))


def test_evidence_holds_everything_the_gate_reads_and_is_json() -> None:
    sampler = ScriptedSampler({"new": -0.5, "old": -1.0, "base": -1.5}, wrong={"new": 6})
    steps: list[str] = []
    evidence = collect_evidence(
        sampler, "new", "old", "base", QUESTIONS, PROMPTS, SAMPLING, kl_by(sampler), step=steps.append
    )
    assert evidence.capability.challenger == 0.99
    assert evidence.capability.vs_base.points == pytest.approx(1.0)
    assert evidence.capability.by_category == {"colours": 0.99, "sums": 0.99}
    assert evidence.kl == pytest.approx(4 * 0.5)
    assert evidence.kl_base == pytest.approx(4 * 1.0)
    assert evidence.language is None
    assert evidence.length_ratio == 1.0
    assert evidence.samples[0] == {
        "prompt": "Prompt 0",
        "before": "old answers Prompt 0 now.",
        "after": "new answers Prompt 0 now.",
    }
    assert steps == ["capability", "sampling", "kl", "facts"] == list(evidence.seconds)
    assert guard_verdict(evidence).kind is VerdictKind.PASS
    assert json.loads(json.dumps(evidence.to_record(), allow_nan=False))["kl"] == evidence.kl


def test_capability_is_greedy_and_an_incumbent_that_is_the_base_is_asked_once() -> None:
    sampler = ScriptedSampler({"new": 0.0, "base": 0.0})
    collect_evidence(sampler, "new", "base", "base", QUESTIONS, PROMPTS, SAMPLING, kl_by(sampler))
    capability = [(version, sampling.temperature) for version, count, sampling in sampler.asked if count == 600]
    assert capability == [("new", 0.0), ("base", 0.0)]
    fresh = [(version, sampling) for version, count, sampling in sampler.asked if count == 10]
    assert fresh == [("new", SAMPLING), ("base", SAMPLING)]


def test_log_probabilities_that_came_with_the_answers_are_not_asked_again() -> None:
    class Logging(ScriptedSampler):
        scored: list[str]

        def score(
            self, version: str, prompts: Sequence[Sequence[Message]], samples: Sequence[Sample]
        ) -> list[list[float]]:
            self.scored = [*getattr(self, "scored", []), version]
            return super().score(version, prompts, samples)

    scorer = Logging({"new": -0.5, "old": -1.0})
    with_logprobs = [Sample("a", "stop", tokens=(5, 2), logprobs=(-0.25, -0.25))]
    assert kl_by(scorer)("new", "old", PROMPTS[:1], with_logprobs) == pytest.approx(1.5)
    assert kl_by(scorer)("new", "old", PROMPTS[:1], [Sample("a", "stop", tokens=(5, 2))]) == pytest.approx(1.0)
    assert scorer.scored == ["old", "old", "new"]


def test_known_answers_are_not_asked_again() -> None:
    sampler = ScriptedSampler({"new": 0.0, "old": 0.0, "base": 0.0})
    known = {"old": [True] * 600, "base": [False] * 600}
    evidence = collect_evidence(
        sampler, "new", "old", "base", QUESTIONS, PROMPTS, SAMPLING, kl_by(sampler), known=known
    )
    assert [version for version, count, _ in sampler.asked if count == 600] == ["new"]
    assert evidence.capability.base == 0.0
    assert evidence.capability.vs_base.gained == 600


def test_what_could_not_be_measured_is_held() -> None:
    sampler = ScriptedSampler()
    evidence = collect_evidence(sampler, "new", "old", "base", QUESTIONS, [], SAMPLING, None)
    verdict = guard_verdict(evidence)
    assert verdict.kind is VerdictKind.HOLD
    assert len(verdict.reasons) == 2


def test_a_version_that_forgot_its_sums_fails() -> None:
    sampler = ScriptedSampler({"new": 0.0, "old": 0.0, "base": 0.0}, wrong={"new": 60})
    evidence = collect_evidence(sampler, "new", "old", "base", QUESTIONS, PROMPTS, SAMPLING, kl_by(sampler))
    assert guard_verdict(evidence).kind is VerdictKind.FAIL


def test_win_rate_counts_ties_as_half() -> None:
    result = win_rate(["aaa bbb", "a", "b"], ["a", "a", "bbb"], len)
    assert (result.n, result.decided, result.wins, result.losses, result.ties) == (3, 2, 1, 1, 1)
    assert result.win_rate == 0.5
    assert result.length_ratio == pytest.approx(4 / 3)


def test_scores_within_the_tolerance_tie() -> None:
    assert win_rate(["aa"], ["a"], len, tie_within=1).ties == 1
    assert win_rate(["aaa"], ["a"], len, tie_within=1).wins == 1


@given(st.lists(st.tuples(st.text("ab ", max_size=5), st.text("ab ", max_size=5)), max_size=40))
def test_swapping_the_sides_mirrors_the_win_rate(pairs: list[tuple[str, str]]) -> None:
    left, right = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    there, back = win_rate(left, right, len), win_rate(right, left, len)
    assert (there.wins, there.losses, there.ties) == (back.losses, back.wins, back.ties)
    assert there.win_rate == pytest.approx(1 - back.win_rate)
    assert there.interval[0] <= there.win_rate <= there.interval[1]


def test_an_evaluation_has_the_keys_that_scripts_rely_on() -> None:
    sampler = ScriptedSampler(wrong={"new": 6})
    result = evaluate_models(
        sampler,
        "new",
        "longer-name",
        ("brief", lambda text: -len(text)),
        PROMPTS,
        4,
        sampling=SAMPLING,
        questions=QUESTIONS,
    )
    assert {"model", "against", "judge", "n", "decided", "win_rate", "interval", "length_ratio", "capability"} <= set(
        result
    )
    assert (result["n"], result["decided"], result["win_rate"]) == (4, 4, 1.0)
    assert result["capability"]["model"] == 0.99
    json.dumps(result, allow_nan=False)
    seeds = [sampling.seed for _, count, sampling in sampler.asked if count == 4]
    assert seeds == [9, 13]


def test_without_a_judge_only_capability_is_measured() -> None:
    result = evaluate_models(ScriptedSampler(), "new", "old", None, PROMPTS, 4, sampling=SAMPLING)
    assert result["win_rate"] is None
    assert result["capability"] is None


def test_repetition_is_the_share_of_repeated_three_word_runs() -> None:
    assert repetition("one two three four") == 0.0
    assert repetition("so it is") == 0.0
    assert repetition("") == 0.0
    assert repetition("a b a b a b a b") == pytest.approx(1 - 2 / 6)


def test_facts_of_texts_count_empty_and_endless_ones() -> None:
    facts = text_facts([Sample("", "stop"), Sample("a b c", "length"), Sample("a", "stop"), Sample("a b", "stop")])
    assert (facts.n, facts.words, facts.empty, facts.endless) == (4, 1.5, 0.25, 0.25)


def test_the_length_ratio_stays_finite() -> None:
    nothing, something = text_facts([Sample("", "stop")]), text_facts([Sample("a b", "stop")])
    assert length_ratio(nothing, nothing) == 1.0
    assert length_ratio(something, nothing) == pytest.approx(200)


def test_kl_is_the_mean_difference_and_needs_answers() -> None:
    assert mean_kl([-1.0, -2.0], [-2.0, -5.0]) == 2.0
    with pytest.raises(ValueError, match="at least one answer"):
        mean_kl([], [])


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=300))
def test_a_paired_loss_is_the_difference_of_shares(answers: list[tuple[bool, bool]]) -> None:
    after, before = [pair[0] for pair in answers], [pair[1] for pair in answers]
    loss = paired_loss(after, before)
    assert loss.points == pytest.approx(100 * (sum(before) - sum(after)) / len(answers))
    assert loss.points <= loss.upper <= 100


def test_fresh_answers_stop_when_those_that_follow_would_not_fit_and_keep_their_seeds() -> None:
    now: list[float] = [0.0]
    seeds: list[tuple[str, int]] = []

    class Slow:
        def sample(self, version, prompts, sampling):  # type: ignore[no-untyped-def]
            now[0] += len(prompts)
            seeds.extend((version, sampling.seed + at) for at in range(len(prompts)))
            return [[Sample(version, "stop")] for _ in prompts]

    prompts = [(Message("user", f"Say {number}."),) for number in range(64)]
    for seconds, answers in ((None, 64), (1000.0, 64), (100.0, 48), (0.0, FEWEST)):
        now[0], seeds[:] = 0.0, []
        after, before = fresh_answers(Slow(), ("new", "old"), prompts, SAMPLING, seconds, clock=lambda: now[0])
        assert (len(after), len(before)) == (answers, answers)
        assert {sample.text for sample in after} == {"new"}
        assert sorted(seeds) == sorted((name, SAMPLING.seed + at) for name in ("new", "old") for at in range(answers))
