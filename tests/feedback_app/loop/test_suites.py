"""The suites of a home: brought, kept, chosen for the gate, and asked in a round."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from zlib import crc32

import pytest

from alignment.evaluation.gate import guard_verdict
from alignment.evaluation.guards import Evidence, TextFacts, capability_of
from alignment.evaluation.suites.items import Choice, Suite
from alignment.evaluation.suites.reading import read_suite
from alignment.stage.sampler import Sample
from feedback_app.errors import Conflict, NotFound, RoundFailed, UsageError
from feedback_app.loop.evaluation_suites import Asking, OneByOne, with_suites
from feedback_app.loop.report import round_report
from feedback_app.loop.suites import Suites
from feedback_app.settings import Settings
from feedback_app.store.tables import Version
from serving.errors import VllmError
from tests.feedback_app.loop.bench import Bench
from tests.feedback_app.loop.parts import FakeSampler

DOG, CAT = (sum(map(ord, word)) for word in ("dog", "cat"))


def questions(path: Path, count: int = 40, kind: str = "choice") -> Path:
    rows = [
        {"question": f"Is {number} a dog?", "choices": ["dog", "cat"], "answer": 0, "category": f"c{number % 2}"}
        if kind == "choice"
        else {"prompt": f"What is {number}?", "check": {"any": ["blue"]}}
        for number in range(count)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def tiny(tmp_path: Path) -> Suites:
    return Suites(Settings(home=tmp_path / "home", model="tiny"))


@pytest.fixture
def other(tmp_path: Path) -> Suites:
    return Suites(Settings(home=tmp_path / "home", model=str(tmp_path / "model")))


def asked(suites: Suites) -> dict[str, bool]:
    return {entry.name: entry.asked for entry in suites.entries()}


def test_the_shipped_suites_are_asked_only_of_the_models_that_they_were_made_for(tiny: Suites, other: Suites) -> None:
    assert asked(tiny) == {"tiny": True, "general": False}
    assert asked(other) == {"tiny": False, "general": True}
    assert (tiny.asks_tiny, tiny.asked()) == (True, ())
    [general] = other.asked()
    assert (general.name, len(general.items), general.chosen, general.margin) == ("general", 1272, False, 2.0)
    for suites, name in ((tiny, "general"), (other, "tiny")):
        with pytest.raises(UsageError, match=f"The suite {name} was made for"):
            suites.set_gate(name, True)


def test_what_the_gate_asks_is_chosen_and_stays_chosen(other: Suites, tmp_path: Path) -> None:
    other.add(questions(tmp_path / "My pets.jsonl"))
    other.set_gate("general", False)
    again = Suites(Settings(home=tmp_path / "home", model=str(tmp_path / "model")))
    assert asked(again) == {"tiny": False, "general": False, "my-pets": True}
    [mine] = again.asked()
    assert (mine.name, mine.chosen) == ("my-pets", True)
    again.set_gate("my-pets", False)
    assert again.asked() == ()
    with pytest.raises(NotFound, match=r"There is no suite pets\. Suites: tiny, general, my-pets"):
        again.set_gate("pets", True)


def test_a_suite_is_a_copy_of_its_file_under_its_hash(tiny: Suites, tmp_path: Path) -> None:
    file = questions(tmp_path / "pets.jsonl")
    entry = tiny.add(file)
    before = file.read_bytes()
    file.unlink()
    assert entry.path.read_bytes() == before
    assert entry.path.stem == entry.sha256 == entry.identity
    contents = tiny.contents(entry)
    assert (contents.items, contents.categories, contents.bad) == (40, {"c0": 20, "c1": 20}, ())
    assert contents.needed <= contents.items, "the default margin is one that so many questions hold"
    entry.path.write_text("{}\n")
    with pytest.raises(RoundFailed, match="The suite pets was changed on disk"):
        tiny.asked()
    entry.path.unlink()
    with pytest.raises(RoundFailed, match="The suite pets cannot be read"):
        tiny.asked()


def test_the_same_file_again_changes_the_margin_and_another_needs_another_name(tiny: Suites, tmp_path: Path) -> None:
    file = questions(tmp_path / "pets.jsonl")
    assert tiny.add(file).margin == 7.5
    assert tiny.add(file, margin=3).margin == 3
    with pytest.raises(Conflict, match="Give another --name"):
        tiny.add(file, listed=True)
    with pytest.raises(Conflict, match="Give another --name"):
        tiny.add(questions(tmp_path / "more.jsonl", 60), "pets")
    listed = tiny.add(file, "letters", listed=True)
    assert listed.path == tiny.get("pets").path
    assert listed.identity != listed.sha256, "what was answered to one way of asking is not known of the other"


@pytest.mark.parametrize(
    ("content", "name", "margin", "error"),
    [
        (b"", "", None, "holds no question that can be read; line 1: the file is empty"),
        (b'\n{"a": 1}\n', "", None, "line 2: none of the forms"),
        (b"\xff\xfe", "", None, "is not UTF-8 text"),
        (b'{"prompt": "?", "check": {"exact": "a"}}\n', "No/Name", None, "cannot be a suite's name"),
        (b'{"prompt": "?", "check": {"exact": "a"}}\n', "general", None, "The suite general ships"),
        (b'{"prompt": "?", "check": {"exact": "a"}}\n', "", 0.0, "percentage points above 0"),
    ],
)
def test_what_cannot_be_a_suite_is_refused_and_leaves_nothing(
    tiny: Suites, tmp_path: Path, content: bytes, name: str, margin: float | None, error: str
) -> None:
    file = tmp_path / "pets.jsonl"
    file.write_bytes(content)
    with pytest.raises((UsageError, Conflict), match=error):
        tiny.add(file, name, margin)
    assert not (tmp_path / "home").exists()


def test_a_missing_file_and_a_broken_index_are_said(tiny: Suites, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        tiny.add(tmp_path / "nothing.jsonl")
    tiny.add(questions(tmp_path / "pets.jsonl"))
    (tmp_path / "home" / "suites" / "index.json").write_text('{"suites": {"pets": {"margin": -1}}}')
    with pytest.raises(UsageError, match=r"index\.json cannot be read"):
        tiny.entries()


def test_one_prompt_that_vllm_refuses_spoils_no_other() -> None:
    class Short(FakeSampler):
        def sample(self, version, prompts, sampling):  # type: ignore[no-untyped-def]
            if any("long" in prompt[-1].content for prompt in prompts):
                raise VllmError(400, "too long")
            return super().sample(version, prompts, sampling)

        def continued(self, version, prompts, lead, texts):  # type: ignore[no-untyped-def]
            if any("long" in prompt[-1].content for prompt in prompts):
                raise VllmError(400, "too long")
            return super().continued(version, prompts, lead, texts)

        def next_logprobs(self, version, contexts, tokens):  # type: ignore[no-untyped-def]
            if [99] in contexts:
                raise VllmError(400, "too long")
            return super().next_logprobs(version, contexts, tokens)

    from alignment.dataset.judgement import Message
    from alignment.stage.sampler import Sampling

    sampler = OneByOne(Short())
    prompts = [(Message("user", text),) for text in ("short", "long", "short too")]
    found = sampler.sample("base", prompts, Sampling(0.0, 8, 0))
    assert [len(samples) for samples in found] == [1, 0, 1]
    assert isinstance(found[0][0], Sample)
    assert [pair is None for pair in sampler.continued("base", prompts, "Answer:", [["a"]] * 3)] == [False, True, False]
    assert [len(some) for some in sampler.next_logprobs("base", [[1], [99]], [[5], [5]])] == [1, 0]

    class Away(FakeSampler):
        def sample(self, version, prompts, sampling):  # type: ignore[no-untyped-def]
            raise VllmError(503, "busy")

    with pytest.raises(VllmError):
        OneByOne(Away()).sample("base", prompts, Sampling(0.0, 8, 0))


def version(name: str) -> Version:
    return Version(
        name=name, kind="x", form="adapter", path="/p", base_hash="b", artifact_hash=f"hash-{name}", created_at=0.0
    )


NEW, OLD, BASE = version("policy-0002"), version("policy-0001"), version("base")
TEXT = TextFacts(64, 20.0, 0.0, 0.0, 0.0)
UNASKED = Evidence("n", "o", "b", capability_of([], [], [], []), 3.0, 1.0, TEXT, TEXT, seconds={"sampling": 100.0})


def pets(tmp_path: Path, count: int = 40) -> Suite:
    file = questions(tmp_path / "pets.jsonl", count)
    return Suite("pets", "h", read_suite(file).items, margin=8.0)


def test_the_first_suite_heads_the_evidence_and_what_was_answered_is_known_in_the_next_round(tmp_path: Path) -> None:
    sampler = FakeSampler(likes={"policy-0001": {DOG}, "base": {DOG}, "policy-0002": {CAT}})
    asking = Asking(tmp_path / "capability", 8, minutes=8)
    evidence = with_suites(UNASKED, sampler, NEW, OLD, BASE, [pets(tmp_path)], asking)
    [score] = evidence.suites
    assert (evidence.headline, score.n, score.fits) == ("pets", 40, True)
    assert (evidence.capability.challenger, evidence.capability.incumbent, evidence.capability.base) == (0.0, 1.0, 1.0)
    assert evidence.capability.categories["c0"].lost == 20
    assert "suites" in evidence.seconds
    assert guard_verdict(evidence).reasons[0].startswith("It lost 100.0 points of pets to the incumbent")
    record = evidence.to_record()
    assert (record["suites"][0]["margin"], record["suites"][0]["hash"]) == (8.0, "h"), "the gate's choice is kept"

    again = FakeSampler(likes={"policy-0003": {DOG}})
    found = with_suites(UNASKED, again, version("policy-0003"), OLD, BASE, [pets(tmp_path)], asking)
    assert again.chosen.keys() == {"policy-0003"}
    assert found.capability.challenger == 1.0


def test_broken_files_of_what_is_known_are_asked_again(tmp_path: Path) -> None:
    asking = Asking(tmp_path / "capability", 8, minutes=8)
    with_suites(UNASKED, FakeSampler(), NEW, OLD, BASE, [pets(tmp_path)], asking)
    for content in ("{", "[1]", '{"line-1": [3], "line-2": "x"}'):
        for path in (tmp_path / "capability").iterdir():
            path.write_text(content)
        sampler = FakeSampler()
        found = with_suites(UNASKED, sampler, NEW, OLD, BASE, [pets(tmp_path)], asking)
        assert sampler.chosen.keys() == {"policy-0002", "policy-0001", "base"}
        assert found.suites[0].n == 40


def test_the_minutes_decide_how_many_are_asked_and_the_interval_follows(tmp_path: Path) -> None:
    now = [0.0]

    class Slow(FakeSampler):
        def next_logprobs(self, version, contexts, tokens):  # type: ignore[no-untyped-def]
            now[0] += 60.0
            return super().next_logprobs(version, contexts, tokens)

    suite, widths = pets(tmp_path, 320), []
    for minutes in (9.0, 30.0):
        asking = Asking(tmp_path / f"known-{minutes}", 8, minutes=minutes, clock=lambda: now[0])
        score = with_suites(UNASKED, Slow(likes={"base": {DOG}}), NEW, OLD, BASE, [suite], asking).suites[0]
        widths.append((score.n, score.interval[1] - score.interval[0]))
    (few, wide), (many, narrow) = widths
    assert (few, many) == (64, 288), "9 minutes less 100 s are two parts of three versions, 30 are nine"
    assert wide > narrow


def test_suites_get_their_share_of_the_minutes_however_long_the_rest_took() -> None:
    asking = Asking(Path("none"), 8, minutes=10)
    assert asking.suites_s(UNASKED) == 500
    late = Evidence("n", "o", "b", UNASKED.capability, 3.0, 1.0, TEXT, TEXT, seconds={"kl": 5000.0})
    assert asking.suites_s(late) == 240


def test_where_no_suite_is_asked_the_evidence_says_what_it_could_not_measure(tmp_path: Path) -> None:
    evidence = with_suites(UNASKED, FakeSampler(), NEW, OLD, BASE, [], Asking(tmp_path, 8, minutes=8))
    assert evidence.unmeasured[0].startswith("Not measured: what it can do.")


def right_of(suite: Suite) -> set[int | tuple[int, int]]:
    """What a version likes that knows all of a suite: each question's opening with its answer's first token."""
    return {
        (crc32(item.prompt.encode()), sum(map(ord, item.choices[item.answer].split()[0])))
        for item in suite.items
        if isinstance(item, Choice)
    }


@pytest.mark.slow
async def test_a_round_on_another_model_asks_general_and_not_the_questions_of_tiny(
    make: Callable[..., Bench], tmp_path: Path
) -> None:
    shutil.copytree(Settings().data / "model", tmp_path / "model")
    bench = make(model=str(tmp_path / "model"))
    bench.sampler.likes = dict.fromkeys(("base", "policy-0001"), right_of(Suites(bench.settings).asked()[0]))
    await bench.begin()
    round_id = bench.start()
    turn = await bench.worker.run_next_round()
    assert turn is not None
    evaluation = round_report(bench.store, turn)["evaluation"]
    [general] = evaluation["suites"]
    assert (general["name"], general["n"] + general["left_out"]) == ("general", 1272)
    assert evaluation["headline"] == "general"
    assert turn.reasons[0] == "It needs 8 more blind votes between policy-0001 and base."
    assert any("questions of general right" in reason for reason in turn.reasons)
    stage = next(stage for stage in bench.store.rounds.stages(round_id) if stage.name == "evaluate")
    records = [progress.record for progress in bench.store.rounds.progress(stage_id=stage.id)]
    assert records[-1]["step"] == records[-1]["steps"] == 2 * 1272
    assert records[-1]["seconds_left"] == 0
    assert [attempt.status for attempt in bench.store.rounds.attempts(stage.id or 0)] == ["abandoned"]


@pytest.mark.slow
async def test_a_home_may_add_its_own_suite_to_the_questions_of_tiny(
    make: Callable[..., Bench], tmp_path: Path
) -> None:
    bench = make()
    Suites(bench.settings).add(questions(tmp_path / "pets.jsonl"))
    bench.sampler.likes = {"base": {DOG}, "policy-0001": {CAT}}
    await bench.begin()
    bench.start()
    turn = await bench.worker.run_next_round()
    assert turn is not None
    assert turn.status == "rejected"
    assert turn.reasons[0].startswith("It lost 100.0 points of pets to the incumbent")
    assert turn.evaluation is not None
    assert (turn.evaluation["capability"]["n"], turn.evaluation["headline"]) == (600, "")
