"""Evidence about a challenger: what is asked of vLLM, and what need not be asked again.

Greedy answers of a version never change, because its files never do; which questions it answered right is
kept in a file (`known`). The judging itself is `alignment.evaluation.evaluate` and `alignment.evaluation.gate`.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from alignment.dataset.judgement import Message
from alignment.dataset.reading.prompts import Prompt as Asked
from alignment.dataset.reading.prompts import behind
from alignment.evaluation.capability import Question, load_questions
from alignment.evaluation.evaluate import Prompt, TextLoss, collect_evidence
from alignment.evaluation.guards import Evidence
from alignment.evaluation.kl import kl_by
from alignment.evaluation.language_loss import Text, TextFileError, encoded, language_loss, load_texts
from alignment.stage.sampler import Sample, Sampling
from feedback_app.errors import RoundFailed
from feedback_app.loop.evaluation_cache import KnownLosses, KnownRights
from feedback_app.store.tables import Version

CHUNK = 64  # prompts between two looks at whether the round was cancelled
TEXTS = 48  # held-out texts that a round scores, as many of each kind; the paired loss is then known to about 0.01


class ScoringSampler(Protocol):
    """A sampler that can also say how probable a version finds given answers (`serving.sampler.HttpSampler`)."""

    def sample(self, version: str, prompts: Sequence[Prompt], sampling: Sampling) -> list[list[Sample]]: ...

    def score(self, version: str, prompts: Sequence[Prompt], samples: Sequence[Sample]) -> list[list[float]]: ...

    def encode(self, version: str, prompts: Sequence[Prompt], answers: Sequence[str]) -> list[Sample]: ...

    def continued(
        self, version: str, prompts: Sequence[Prompt], lead: str, texts: Sequence[Sequence[str]]
    ) -> Sequence[tuple[Sequence[int], Sequence[Sequence[int]]] | None]: ...

    def next_logprobs(
        self, version: str, contexts: Sequence[Sequence[int]], tokens: Sequence[Sequence[int]]
    ) -> Sequence[Mapping[int, float]]: ...


class Stopped(Exception):
    """The round was cancelled while its version was being asked."""


def chosen_questions(folder: Path, at_most: int) -> tuple[Question, ...]:
    """The frozen capability questions, at most so many, the same ones every time and every category in turn."""
    questions = [question for path in sorted(folder.glob("*.jsonl")) for question in load_questions(path)]
    by_category: dict[str, list[Question]] = {}
    for question in sorted(questions, key=lambda question: hashlib.sha256(question.id.encode()).hexdigest()):
        by_category.setdefault(question.category, []).append(question)
    order = {
        question.id: (place, category)
        for category, members in by_category.items()
        for place, question in enumerate(members)
    }
    chosen = sorted(questions, key=lambda question: order[question.id])[:at_most]
    return tuple(sorted(chosen, key=lambda question: question.id))


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

    def encode(self, version: str, prompts: Sequence[Prompt], answers: Sequence[str]) -> list[Sample]:
        """As the sampler's."""
        if self._stop.is_set():
            raise Stopped
        return self._sampler.encode(version, prompts, answers)

    def continued(
        self, version: str, prompts: Sequence[Prompt], lead: str, texts: Sequence[Sequence[str]]
    ) -> Sequence[tuple[Sequence[int], Sequence[Sequence[int]]] | None]:
        """As the sampler's."""
        if self._stop.is_set():
            raise Stopped
        return self._sampler.continued(version, prompts, lead, texts)

    def next_logprobs(
        self, version: str, contexts: Sequence[Sequence[int]], tokens: Sequence[Sequence[int]]
    ) -> Sequence[Mapping[int, float]]:
        """As the sampler's."""
        if self._stop.is_set():
            raise Stopped
        return self._sampler.next_logprobs(version, contexts, tokens)


def gather(
    sampler: ScoringSampler,
    challenger: Version,
    incumbent: Version,
    base: Version,
    questions: Sequence[Question],
    prompts: Sequence[Prompt],
    sampling: Sampling,
    rights: KnownRights,
    texts: Sequence[Text] = (),
    losses: KnownLosses | None = None,
    sampling_s: float | None = None,
) -> Evidence:
    """Everything the guards need, asking only what is not known. Raises `ConnectionError` without vLLM.

    With `losses`, also the loss on the held-out `texts`; with `sampling_s`, only as many prompts as fit into that.
    """
    new, old, root = (version.served_name for version in (challenger, incumbent, base))
    known = {
        version.served_name: vector
        for version in (challenger, incumbent, base)
        if (vector := rights.get(version)) is not None
    }
    asking = _Remembering(sampler)

    by_name = {version.served_name: version for version in (challenger, incumbent, base)}
    loss = None if losses is None else _loss_by(sampler, by_name, base, texts, losses)
    evidence = collect_evidence(
        asking,
        new,
        old,
        root,
        questions,
        prompts,
        sampling,
        kl_by(sampler),
        known=known,
        loss=loss,
        texts=len(texts),
        seconds=sampling_s,
    )
    for version in (challenger, incumbent, base):
        answers = asking.greedy.get(version.served_name)
        if answers is not None and len(answers) == len(questions):
            rights.put(version, [q.right(text) for q, text in zip(questions, answers, strict=True)])
    return evidence


def _loss_by(
    sampler: ScoringSampler, by_name: Mapping[str, Version], base: Version, texts: Sequence[Text], losses: KnownLosses
) -> TextLoss | None:
    """The loss of a version by its served name, from the files or from vLLM; None when no text can be scored."""
    answers = losses.tokens(base)
    if answers is None:
        answers = encoded(sampler, base.served_name, texts)
        losses.put_tokens(base, answers)
    if not any(answer.tokens for answer in answers):  # a chat template that renders answered prompts otherwise
        return None

    def loss(name: str) -> float:
        known = losses.get(by_name[name])
        if known is None:
            known = language_loss(sampler, name, texts, answers)
            losses.put(by_name[name], known)
        return known

    return loss


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


def held_out_texts(path: Path) -> tuple[Text, ...]:
    """The first `TEXTS` of the shipped held-out texts. Raises `RoundFailed` when they cannot be read."""
    try:
        return load_texts(path)[:TEXTS]
    except TextFileError as error:
        raise RoundFailed(str(error)) from error


def evaluation_prompts(
    prompts: Sequence[Asked], at_most: int, system_prompt: str = ""
) -> tuple[tuple[Message, ...], ...]:
    """The first prompts, behind the system prompt where there is one."""
    return tuple(behind(system_prompt, prompt.messages) for prompt in prompts[:at_most])
