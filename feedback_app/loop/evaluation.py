"""Evidence about a challenger: what is asked of vLLM, and what need not be asked again.

Greedy answers of a version never change, because its files never do; which questions it answered right is
kept in a file under its artifact's hash. The judging itself is `alignment.evaluate` and `alignment.gate`.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from alignment import capability
from alignment.evaluate import Prompt, collect_evidence
from alignment.guards import Evidence, mean_kl
from alignment.judgement import Message
from alignment.sampler import Sample, Sampling
from feedback_app.errors import RoundFailed
from feedback_app.loop.versions import served_name
from feedback_app.store.tables import Version

CHUNK = 64  # prompts between two looks at whether the round was cancelled


class ScoringSampler(Protocol):
    """A sampler that can also say how probable a version finds given answers (`serving.sampler.HttpSampler`)."""

    def sample(self, version: str, prompts: Sequence[Prompt], sampling: Sampling) -> list[list[Sample]]: ...

    def score(self, version: str, prompts: Sequence[Prompt], samples: Sequence[Sample]) -> list[list[float]]: ...


class Stopped(Exception):
    """The round was cancelled while its version was being asked."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A capability question with its check, as `alignment.evaluate` wants it."""

    id: str
    category: str
    prompt: str
    check: Any

    def right(self, answer: str) -> bool:
        """Whether the answer is right."""
        return capability.check(answer, self.check)


def load_questions(folder: Path, at_most: int) -> tuple[Asked, ...]:
    """The frozen capability questions, at most so many, the same ones every time and every category in turn."""
    questions = [question for path in sorted(folder.glob("*.jsonl")) for question in capability.load_questions(path)]
    by_category: dict[str, list[capability.Question]] = {}
    for question in sorted(questions, key=lambda question: hashlib.sha256(question.id.encode()).hexdigest()):
        by_category.setdefault(question.category, []).append(question)
    order = {
        question.id: (place, category)
        for category, members in by_category.items()
        for place, question in enumerate(members)
    }
    chosen = sorted(questions, key=lambda question: order[question.id])[:at_most]
    return tuple(Asked(q.id, q.category, q.prompt, q.check) for q in sorted(chosen, key=lambda q: q.id))


class KnownRights:
    """Right/wrong vectors of versions that were asked before: one small file per version and question set."""

    def __init__(self, folder: Path, questions: Sequence[Asked], max_tokens: int) -> None:
        self._folder = folder
        body = [[q.id, q.prompt, dict(q.check)] for q in questions]
        text = json.dumps([body, max_tokens], sort_keys=True)
        self._asked = hashlib.sha256(text.encode()).hexdigest()[:16]
        self._n = len(questions)

    def _path(self, version: Version) -> Path:
        return self._folder / f"{version.artifact_hash or version.base_hash}-{self._asked}.json"

    def get(self, version: Version) -> tuple[bool, ...] | None:
        """The vector, or None when this version was not asked these questions yet."""
        try:
            vector = json.loads(self._path(version).read_text())
        except (OSError, ValueError):
            return None
        return tuple(map(bool, vector)) if isinstance(vector, list) and len(vector) == self._n else None

    def put(self, version: Version, rights: Sequence[bool]) -> None:
        """Keep a vector. A disk that does not take it costs only asking again."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._path(version).write_text(json.dumps([int(right) for right in rights]))
        except OSError:
            return


class Interruptible:
    """A sampler that asks a part at a time, and raises `Stopped` once `stop` is set."""

    def __init__(self, sampler: ScoringSampler, stop: threading.Event) -> None:
        self._sampler = sampler
        self._stop = stop

    def sample(self, version: str, prompts: Sequence[Prompt], sampling: Sampling) -> list[list[Sample]]:
        """As the sampler's; prompt i keeps seed + i."""
        found: list[list[Sample]] = []
        for start in range(0, len(prompts), CHUNK):
            if self._stop.is_set():
                raise Stopped
            part = Sampling(sampling.temperature, sampling.max_tokens, sampling.seed + start, sampling.n)
            found += self._sampler.sample(version, prompts[start : start + CHUNK], part)
        return found

    def score(self, version: str, prompts: Sequence[Prompt], samples: Sequence[Sample]) -> list[list[float]]:
        """As the sampler's."""
        if self._stop.is_set():
            raise Stopped
        return self._sampler.score(version, prompts, samples)


def gather(
    sampler: ScoringSampler,
    challenger: Version,
    incumbent: Version,
    base: Version,
    questions: Sequence[Asked],
    prompts: Sequence[Prompt],
    sampling: Sampling,
    rights: KnownRights,
) -> Evidence:
    """Everything the guards need, asking only what is not known. Raises `ConnectionError` without vLLM."""
    new, old, root = (served_name(version) for version in (challenger, incumbent, base))
    known = {
        served_name(version): vector
        for version in (challenger, incumbent, base)
        if (vector := rights.get(version)) is not None
    }
    asking = _Remembering(sampler)

    def kl(challenger_name: str, incumbent_name: str, asked: Sequence[Prompt], answers: Sequence[Sample]) -> float:
        theirs = sampler.score(incumbent_name, asked, answers)
        ours = [answer.logprobs for answer in answers]
        return mean_kl([sum(logps) for logps in ours], [sum(logps) for logps in theirs])

    evidence = collect_evidence(asking, new, old, root, questions, prompts, sampling, kl, known=known)
    for version in (challenger, incumbent, base):
        answers = asking.greedy.get(served_name(version))
        if answers is not None and len(answers) == len(questions):
            rights.put(version, [q.right(text) for q, text in zip(questions, answers, strict=True)])
    return evidence


class _Remembering:
    """Keeps the greedy answers that pass through, so that they are asked for once."""

    def __init__(self, sampler: ScoringSampler) -> None:
        self._sampler = sampler
        self.greedy: dict[str, list[str]] = {}

    def sample(self, version: str, prompts: Sequence[Prompt], sampling: Sampling) -> list[list[Sample]]:
        found = self._sampler.sample(version, prompts, sampling)
        if sampling.temperature == 0:
            self.greedy[version] = [samples[0].text for samples in found]
        return found


def evaluation_prompts(path: Path, at_most: int, system_prompt: str = "") -> tuple[tuple[Message, ...], ...]:
    """The first prompts of a JSON Lines file of {"prompt"}, behind the system prompt where there is one."""
    opening = (Message("system", system_prompt),) if system_prompt else ()
    try:
        lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        return tuple((*opening, Message("user", str(json.loads(line)["prompt"]))) for line in lines[:at_most])
    except (OSError, ValueError, KeyError) as error:
        raise RoundFailed(f"The evaluation prompts in {path} cannot be read: {error}.") from error
