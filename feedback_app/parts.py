"""What the pages and the HTTP routes are handed: built once by the composition root, read everywhere, never changed.

The pages know the loop only through callables here, so that `ui` and `api` need not import `loop`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from feedback_app.collect.answer import Answers
    from feedback_app.collect.tasks import Comparing
    from feedback_app.settings import Settings
    from feedback_app.store.database import Store
    from feedback_app.store.tables import Person, Round
    from serving.client import VllmClient
    from serving.model_check import ModelFacts


@dataclass(frozen=True)
class Parts:
    """Everything a page may use.

    `promote(version, person_id, note)` and `rollback(person_id)` flip the alias `policy`, and
    `start_round(method, requested_by=, seed=, settings=)` queues a round; all raise an `AlignloopError` whose
    sentence is shown. `methods` are the names a round may be started with, first one the default.
    `rollback_target()` names the version that a rollback leads to, None when there is none. `over_rounds()` gives
    the numbers of the evaluated rounds, oldest first (`loop.history`). `limits` are the gate's, by name, for
    showing guards against them. `vllm_state()` says where vLLM stands (`name`, `since`, `detail`) when this process
    owns it; empty otherwise, and then the beat `vllm` is read. `version_lineage(name)` and `person_lineage(person)` are
    what `alignloop lineage` says; the first raises `NotFound`. `flags(round)` are the accounts to look at that were
    found when the round was frozen: by the ids of people, in words. `alarms()` are sentences about versions that cannot
    be served and a vLLM that is not this home's. `read_settings(text)` reads a round's settings as
    they are typed, KEY=VALUE with spaces between; it raises `UsageError`.
    """

    settings: Settings
    store: Store
    vllm: VllmClient
    answers: Answers
    comparing: Comparing
    facts: ModelFacts | None
    promote: Callable[[str, str | None, str], object]
    rollback: Callable[[str | None], object]
    version_lineage: Callable[[str], Mapping[str, Any]]
    person_lineage: Callable[[Person], Mapping[str, Any]]
    start_round: Callable[..., object]
    methods: Sequence[str] = ("dpo",)
    read_settings: Callable[[str], Mapping[str, Any]] = lambda text: {}
    rollback_target: Callable[[], str | None] = lambda: None
    over_rounds: Callable[[], Sequence[Mapping[str, Any]]] = lambda: ()
    flags: Callable[[Round], Mapping[str, str]] = lambda turn: {}
    alarms: Callable[[], Sequence[str]] = lambda: ()
    limits: Mapping[str, float] = field(default_factory=dict)
    vllm_state: Callable[[], Mapping[str, Any]] = field(default=dict)
