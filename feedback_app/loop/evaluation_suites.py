"""Suites in a round's evidence: asked within the minutes of an evaluation, and what is known is not asked again.

How answers are checked and counted is `alignment.evaluation.suites`; which suites are asked is `loop.suites`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from alignment.dataset.judgement import Message
from alignment.evaluation.guards import Evidence
from alignment.evaluation.suites.asking import Answered, Rights, Step, ask_suites
from alignment.evaluation.suites.choosing import Choosing, Continued
from alignment.evaluation.suites.items import Suite
from alignment.evaluation.suites.scores import score_suite
from alignment.stage.sampler import Sample, Sampling
from feedback_app.loop.evaluation_cache import Kept
from feedback_app.store.tables import Version
from serving.errors import VllmError

SAMPLING_SHARE = 0.4
"""Of the evaluation's time, for fresh answers. The rest, but for scoring those, is for suites."""
LEAST_SHARE = 0.4
"""Of the evaluation's time, for suites, however long the rest took."""
UNASKED = (
    "Not measured: what it can do. No suite is asked; choose one with `alignloop suite gate NAME on`, "
    "or bring one with `alignloop suite add FILE`."
)


class Refusing(Protocol):
    """A sampler whose vLLM may refuse a single prompt, for instance one that is longer than its window."""

    def sample(self, version: str, prompts: Sequence[Sequence[Message]], sampling: Sampling) -> list[list[Sample]]: ...

    def continued(
        self, version: str, prompts: Sequence[Sequence[Message]], lead: str, texts: Sequence[Sequence[str]]
    ) -> Sequence[tuple[Sequence[int], Sequence[Sequence[int]]] | None]: ...

    def next_logprobs(
        self, version: str, contexts: Sequence[Sequence[int]], tokens: Sequence[Sequence[int]]
    ) -> Sequence[Mapping[int, float]]: ...


class OneByOne:
    """A sampler that asks alone what was refused together, so that one prompt too long spoils no suite."""

    def __init__(self, sampler: Refusing) -> None:
        self._sampler = sampler

    def sample(self, version: str, prompts: Sequence[Sequence[Message]], sampling: Sampling) -> list[list[Sample]]:
        """As the sampler's; no sample for a prompt that is refused alone as well."""
        try:
            return self._sampler.sample(version, prompts, sampling)
        except VllmError as error:
            if not _refused(error):
                raise
            if len(prompts) == 1:
                return [[]]
        return [self.sample(version, [prompt], sampling)[0] for prompt in prompts]

    def continued(
        self, version: str, prompts: Sequence[Sequence[Message]], lead: str, texts: Sequence[Sequence[str]]
    ) -> Sequence[tuple[Sequence[int], Sequence[Sequence[int]]] | None]:
        """As the sampler's; None for a prompt that is refused alone as well."""
        try:
            return self._sampler.continued(version, prompts, lead, texts)
        except VllmError as error:
            if not _refused(error):
                raise
            if len(prompts) == 1:
                return [None]
        pairs = zip(prompts, texts, strict=True)
        return [self.continued(version, [prompt], lead, [some])[0] for prompt, some in pairs]

    def next_logprobs(
        self, version: str, contexts: Sequence[Sequence[int]], tokens: Sequence[Sequence[int]]
    ) -> Sequence[Mapping[int, float]]:
        """As the sampler's; nothing for a context that is refused alone as well."""
        try:
            return self._sampler.next_logprobs(version, contexts, tokens)
        except VllmError as error:
            if not _refused(error):
                raise
            if len(contexts) == 1:
                return [{}]
        pairs = zip(contexts, tokens, strict=True)
        return [self.next_logprobs(version, [context], [some])[0] for context, some in pairs]


def _refused(error: VllmError) -> bool:
    return error.status == 400


class KnownAnswers:
    """Which items of a suite a version answered right, and a base's tokens of its choices, in files."""

    def __init__(self, folder: Path, suite: Suite, max_tokens: int) -> None:
        self._rights = Kept(folder, ["suite", suite.hash, max_tokens])
        self._tokens = Kept(folder, ["suite tokens", suite.hash])
        self._ids = {item.id for item in suite.items}
        self._written = 0  # tokens that lie in the file already

    def read(self, versions: Sequence[Version], base: Version) -> Answered:
        """What is known of these versions. A broken file costs only asking again."""
        rights = {version.served_name: self._of(version) for version in versions}
        answered = Answered(rights, self._texts(base))
        self._written = len(answered.tokens)
        return answered

    def write(self, versions: Sequence[Version], base: Version, answered: Answered) -> None:
        """Keep what is known now."""
        for version in versions:
            self._rights.write(version, answered.rights.get(version.served_name, {}))
        if len(answered.tokens) > self._written:
            texts = {id_: [each.opening, each.texts] if each else None for id_, each in answered.tokens.items()}
            self._tokens.write(base, texts)
            self._written = len(texts)

    def _of(self, version: Version) -> Rights:
        found = self._rights.read(version)
        if not isinstance(found, dict):
            return {}
        return {id_: right for id_, right in found.items() if id_ in self._ids and right in (True, False, None)}

    def _texts(self, base: Version) -> dict[str, Continued | None]:
        found = self._tokens.read(base)
        try:
            return {
                id_: Continued(tuple(each[0]), tuple(map(tuple, each[1]))) if each else None
                for id_, each in found.items()
            }
        except (AttributeError, TypeError, LookupError):
            return {}


@dataclass(frozen=True)
class Asking:
    """How suites are asked: where answers are kept, the longest answer in tokens, and the evaluation's minutes."""

    folder: Path
    max_tokens: int
    minutes: float
    step: Step = lambda done, of, left: None
    clock: Callable[[], float] = time.monotonic

    @property
    def sampling_s(self) -> float:
        """The seconds that fresh answers may take."""
        return 60 * self.minutes * SAMPLING_SHARE

    def suites_s(self, evidence: Evidence) -> float:
        """The seconds that are left for suites once the rest was measured."""
        return 60 * self.minutes - min(sum(evidence.seconds.values()), 60 * self.minutes * (1 - LEAST_SHARE))


def with_suites(
    evidence: Evidence,
    sampler: Refusing,
    challenger: Version,
    incumbent: Version,
    base: Version,
    suites: Sequence[Suite],
    asking: Asking,
) -> Evidence:
    """The evidence with what the suites measured, or with the sentence that nothing did. Raises `ConnectionError`.

    Where no frozen questions were asked, its `capability` is that of the first suite.
    """
    if not suites:
        return evidence if evidence.capability.n else replace(evidence, unmeasured=(UNASKED,))
    versions = list({version.served_name: version for version in (challenger, incumbent, base)}.values())
    files = {suite.name: KnownAnswers(asking.folder, suite, asking.max_tokens) for suite in suites}
    known = {name: each.read(versions, base) for name, each in files.items()}
    choosing: Choosing = OneByOne(sampler)
    began = asking.clock()
    ask_suites(
        choosing,
        [version.served_name for version in versions],
        suites,
        known,
        max_tokens=asking.max_tokens,
        seconds=asking.suites_s(evidence),
        step=asking.step,
        keep=lambda name, answered: files[name].write(versions, base, answered),
        clock=asking.clock,
    )
    names = [version.served_name for version in (challenger, incumbent, base)]
    scores = tuple(score_suite(suite, known[suite.name], *names) for suite in suites)
    found = replace(evidence, suites=scores, seconds={**evidence.seconds, "suites": round(asking.clock() - began, 3)})
    return found if evidence.capability.n else replace(found, capability=scores[0].capability, headline=scores[0].name)
