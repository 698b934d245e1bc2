"""What the pages and the HTTP routes are handed: built once by the composition root, read everywhere, never changed.

`Loop` is all that they know of the loop, so that `ui` and `api` need not import it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from alignment.terms import Setting
    from feedback_app.collect.answer import Answers
    from feedback_app.collect.tasks import Comparing
    from feedback_app.domain.lineage import PersonLineage, VersionLineage
    from feedback_app.domain.reports import RoundFigures
    from feedback_app.settings import Settings
    from feedback_app.store.database import Store
    from feedback_app.store.tables import Person, Publication, Round
    from serving.client import VllmClient
    from serving.model_check import ModelFacts


class Loop(Protocol):
    """What operators may ask of the loop. Errors are `AlignloopError`s whose sentence is shown."""

    @property
    def methods(self) -> Sequence[str]:
        """What a round may be started with; the first is the default."""
        ...

    @property
    def limits(self) -> Mapping[str, float]:
        """The gate's limits by name."""
        ...

    def start_round(
        self, method: str, *, requested_by: str | None, seed: int, settings: Mapping[str, Setting]
    ) -> Round:
        """Queue a round."""
        ...

    def read_settings(self, text: str) -> Mapping[str, Setting]:
        """A round's settings as they are typed, KEY=VALUE with spaces between. Raises `UsageError`."""
        ...

    def promote(self, version: str, person_id: str | None, note: str) -> Publication:
        """Point `policy` at a version."""
        ...

    def rollback(self, person_id: str | None) -> Publication:
        """Point `policy` back at what it meant before."""
        ...

    def rollback_target(self) -> str | None:
        """The version that a rollback leads to; None when there is none."""
        ...

    def over_rounds(self) -> Sequence[RoundFigures]:
        """The numbers of the evaluated rounds, oldest first."""
        ...

    def flags(self, frozen: Round) -> Mapping[str, str]:
        """The accounts to look at that were found when the round was frozen: by the ids of people, in words."""
        ...

    def alarms(self) -> Sequence[str]:
        """Sentences about versions that cannot be served, and about a vLLM that is not this home's."""
        ...

    def version_lineage(self, name: str) -> VersionLineage:
        """What `alignloop lineage` says of a version. Raises `NotFound`."""
        ...

    def person_lineage(self, person: Person) -> PersonLineage:
        """What `alignloop lineage` says of a person."""
        ...


@dataclass(frozen=True)
class Parts:
    """Everything that a page or a route may use. `facts` are None while the model's files cannot be read here."""

    settings: Settings
    store: Store
    vllm: VllmClient
    answers: Answers
    comparing: Comparing
    facts: ModelFacts | None
    loop: Loop
