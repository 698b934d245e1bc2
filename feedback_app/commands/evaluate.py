"""`alignloop evaluate`: from names and folders to a sampler, prompts, questions and a judge.

Versions that vLLM has loaded are sampled there. As soon as one of the two is a folder, or vLLM is away,
both are sampled in this process: slower, and it needs the training libraries. Nothing is stored.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, cast

from feedback_app.errors import NotFound, Unavailable, UsageError

if TYPE_CHECKING:
    from alignment.evaluation.evaluate import Prompt
    from alignment.evaluation.guards import SuiteScore
    from alignment.evaluation.suites.choosing import Choosing
    from alignment.evaluation.suites.items import Suite
    from alignment.evaluation.tastes import Taste
    from alignment.methods.online.local_sampler import LocalModel
    from alignment.stage.sampler import Sample, Sampler, Sampling
    from feedback_app.settings import Settings
    from feedback_app.store.database import Store
    from feedback_app.store.tables import Version
    from serving.model_check import ModelFacts

POLICY = "policy"


def evaluate_names(
    model: str, against: str, judge: str, prompts: Path | None, n: int, seed: int, *, capability: bool
) -> dict[str, Any]:
    """What `alignloop evaluate --json` prints. Raises `UsageError`, `NotFound` and what the sampler raises."""
    from alignment.evaluation.evaluate import comparison_of, evaluate_models
    from alignment.evaluation.tastes import TASTES
    from alignment.stage.sampler import Sampling
    from feedback_app.loop.evaluation import chosen_questions
    from feedback_app.loop.suites import Suites
    from feedback_app.processes.preflight import check_model
    from feedback_app.processes.wiring import settings_and_store
    from feedback_app.prompt_sets import prompt_set

    if judge and judge not in TASTES:
        raise UsageError(f"There is no judge called {judge}. Judges: {', '.join(TASTES)}.")
    settings, store = settings_and_store()
    facts = check_model(settings)
    asking = read_prompts(prompts) if prompts else [each.messages for each in prompt_set(settings).evaluation()]
    names = {name: source_of(store, settings, name) for name in (model, against)}
    temperature = settings.temperature if settings.temperature is not None else (facts.temperature or 1.0)
    suites = Suites(settings)
    asks_tiny = capability and suites.asks_tiny
    questions = chosen_questions(settings.data / "questions", settings.capability_questions) if asks_tiny else ()
    taste = TASTES[judge] if judge else None
    with _sampler(settings, names, facts) as (sampler, asked):
        heard = Heard(sampler)
        result = evaluate_models(
            heard,
            asked[model],
            asked[against],
            (judge, taste.score) if taste else None,
            asking,
            n,
            sampling=Sampling(temperature, settings.max_tokens, seed),
            questions=questions,
            tie_within=0.0 if taste is None or taste.relative else taste.threshold,
        )
        scores = _suites(sampler, asked[model], asked[against], suites.asked() if capability else (), settings)
    measured = result["capability"]
    if measured is None and scores:
        measured = comparison_of(scores[0].capability)
    votes: Mapping[str, object] = {}
    if taste and taste.flaws:
        votes = judged(taste, asking[:n], *heard.answers)
    return {
        **result,
        **votes,
        "model": names[model][0],
        "against": names[against][0],
        "capability": measured,
        "suites": [
            {**comparison_of(score.capability), "name": score.name, "items": score.items, "interval": score.interval}
            for score in scores
        ],
    }


def _suites(
    sampler: Choosing, model: str, against: str, suites: Sequence[Suite], settings: Settings
) -> tuple[SuiteScore, ...]:
    """What two models answer of the suites that this home's gate asks, within the minutes of an evaluation."""
    from alignment.evaluation.suites.asking import Answered, ask_suites
    from alignment.evaluation.suites.scores import score_suite
    from feedback_app.loop.evaluation_suites import OneByOne

    known = {suite.name: Answered() for suite in suites}
    names = list(dict.fromkeys((model, against)))
    seconds = 60 * settings.evaluation_minutes
    ask_suites(OneByOne(sampler), names, suites, known, max_tokens=settings.max_tokens, seconds=seconds)
    return tuple(score_suite(suite, known[suite.name], model, against, against) for suite in suites)


class Heard:
    """A sampler that keeps what was asked for first, by the model and by the other one: what a judge compares."""

    def __init__(self, sampler: Sampler) -> None:
        self._sampler = sampler
        self.answers: list[Sequence[Sample]] = []

    def sample(self, version: str, prompts: Sequence[Prompt], sampling: Sampling) -> list[list[Sample]]:
        """As the sampler's."""
        found = self._sampler.sample(version, prompts, sampling)
        if len(self.answers) < 2:
            self.answers.append([samples[0] for samples in found])
        return found


class Judged(TypedDict):
    """The part of a `Comparison` that a judge makes."""

    decided: int
    wins: int
    losses: int
    ties: int
    win_rate: float
    interval: list[float]


def judged(taste: Taste, prompts: Sequence[Prompt], mine: Sequence[Sample], theirs: Sequence[Sample]) -> Judged:
    """How often a taste that wants an answer first prefers the first model's, ties as half."""
    from alignment.stats import Tally
    from feedback_app.domain.conversations import FinishReason, Speaker

    rng = random.Random(0)  # of which a taste without noise draws nothing
    sides = Counter(
        taste.prefer(
            one.text,
            other.text,
            rng,
            prompt="\n".join(turn.content for turn in prompt if turn.role == Speaker.USER),
            cut=(one.finish_reason == FinishReason.LENGTH, other.finish_reason == FinishReason.LENGTH),
        ).side
        for prompt, one, other in zip(prompts, mine, theirs, strict=True)
    )
    tally = Tally(sides["left"], sides["right"], sides["tie"])
    return {
        "decided": tally.decided,
        "wins": sides["left"],
        "losses": sides["right"],
        "ties": tally.ties,
        "win_rate": tally.win_rate,
        "interval": list(tally.interval),
    }


def read_prompts(path: Path) -> Sequence[Prompt]:
    """The prompts of a file, as `alignloop prompts add` reads one. Raises `UsageError`."""
    from alignment.dataset.reading.prompts import read_prompts as read
    from alignment.errors import ReadingProblem

    try:
        return [prompt.messages for prompt in read(path).prompts]
    except ReadingProblem as error:
        raise UsageError(str(error)) from error


def source_of(store: Store, settings: Settings, name: str) -> tuple[str, str, Version | None]:
    """The name to report, where its files are, and its version (None for a folder)."""
    from alignment.methods.shared_training.reward_model import is_reward_model
    from feedback_app.loop.integrity import Files

    published = store.versions.published()
    if name == POLICY:
        if published is None:
            return "base", settings.model_source, None
        name = published.version
    version = store.versions.get(name)
    if version is not None:
        if wrong := Files().problem(version):
            raise Unavailable(f"{version.name} cannot be evaluated: {wrong}")
        return version.name, version.path, version
    if Path(name).is_dir():
        if is_reward_model(Path(name)):
            raise UsageError(f"{name} holds a reward model: it scores answers and cannot give any. Name another.")
        return name, str(Path(name)), None
    if name == "base":
        return name, settings.model_source, None
    raise NotFound(f"{name} is neither a version nor a folder. `alignloop version list` names the versions.")


@contextmanager
def _sampler(
    settings: Settings, names: dict[str, tuple[str, str, Version | None]], facts: ModelFacts
) -> Iterator[tuple[Choosing, dict[str, str]]]:
    """The sampler for these names, and what to ask it for each: vLLM where it has both, else our own."""
    served = {asked: version.served_name for asked, (_, _, version) in names.items() if version is not None}
    if len(served) == len(names) and set(served.values()) <= set(asyncio.run(_loaded(settings))):
        from feedback_app.processes.wiring import sampler_of

        http = sampler_of(settings, facts)
        try:
            yield cast("Choosing", http), served
        finally:
            http.close()
        return
    places = {asked: place for asked, (_, place, _) in names.items()}
    yield LocalModels(places, settings.model_source), {asked: asked for asked in places}


class LocalModels:
    """Samples from folders in this process; one base model at a time is kept in memory for each source."""

    def __init__(self, places: Mapping[str, str], base: str) -> None:
        self._places, self._base = dict(places), base
        self._models: dict[str, LocalModel] = {}
        self._loaded: set[str] = set()

    def sample(self, version: str, prompts: Sequence[Prompt], sampling: Sampling) -> list[list[Sample]]:
        """As `alignment.stage.sampler.Sampler`. Raises `StageError` on a folder that is not a model."""
        model, name = self._model_of(version)
        return model.sample(name, prompts, sampling)

    def continued(
        self, version: str, prompts: Sequence[Prompt], lead: str, texts: Sequence[Sequence[str]]
    ) -> Sequence[tuple[Sequence[int], Sequence[Sequence[int]]] | None]:
        """As `alignment.evaluation.suites.choosing.Choosing`."""
        model, name = self._model_of(version)
        return model.continued(name, prompts, lead, texts)

    def next_logprobs(
        self, version: str, contexts: Sequence[Sequence[int]], tokens: Sequence[Sequence[int]]
    ) -> Sequence[Mapping[int, float]]:
        """As `alignment.evaluation.suites.choosing.Choosing`."""
        model, name = self._model_of(version)
        return model.next_logprobs(name, contexts, tokens)

    def _model_of(self, version: str) -> tuple[LocalModel, str]:
        """The model in memory, and what the version is called there."""
        from alignment.methods.online.local_sampler import BASE, LocalModel

        place = Path(self._places[version])
        adapter = (place / "adapter_config.json").is_file()
        source = self._base if adapter else str(self._places[version])
        if source not in self._models:
            self._models[source] = LocalModel(source)
        model = self._models[source]
        if adapter and version not in self._loaded:
            model.load(version, place)
            self._loaded.add(version)
        return model, version if adapter else BASE


async def _loaded(settings: Settings) -> Sequence[str]:
    from feedback_app.processes.wiring import client_of
    from serving.errors import ServingError

    async with client_of(settings) as client:
        try:
            return [model.name for model in await client.models()]
        except ServingError:
            return []
