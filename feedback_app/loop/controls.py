"""The loop as operators reach it, from the pages and by HTTP: `parts.Loop` on the store.

No rule stands here: each method is one function of `loop`, on this store and these settings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from alignment.evaluation.gate import Limits
from alignment.methods.registry import METHODS
from alignment.terms import Setting
from feedback_app.domain.lineage import PersonLineage, VersionLineage
from feedback_app.domain.reports import RoundFigures
from feedback_app.key_values import read_pairs
from feedback_app.loop import fallback, history, lineage, publish, rounds, suspects
from feedback_app.loop.publish import Staged
from feedback_app.loop.wanted import ask_for
from feedback_app.settings import Settings
from feedback_app.store.database import Store
from feedback_app.store.tables import Person, Publication, Round


@dataclass(frozen=True)
class LoopControls:
    """`staged` returns once a version answers on every replica: the worker is asked for it."""

    store: Store
    settings: Settings
    staged: Staged = ask_for

    @property
    def methods(self) -> Sequence[str]:
        """What a round may be started with; the first is the default."""
        return METHODS

    @property
    def limits(self) -> Mapping[str, float]:
        """The gate's limits by name."""
        return asdict(Limits())

    def start_round(
        self, method: str, *, requested_by: str | None, seed: int, settings: Mapping[str, Setting]
    ) -> Round:
        """Queue a round."""
        return rounds.start_round(self.store, method, requested_by=requested_by, seed=seed, settings=settings)

    def read_settings(self, text: str) -> Mapping[str, Setting]:
        """A round's settings as they are typed."""
        return read_pairs(text.split())

    def promote(self, version: str, person_id: str | None, note: str) -> Publication:
        """Point `policy` at a version."""
        return publish.promote(self.store, version, person_id, note, staged=self.staged)

    def rollback(self, person_id: str | None) -> Publication:
        """Point `policy` back at what it meant before."""
        return publish.rollback(self.store, person_id, staged=self.staged)

    def rollback_target(self) -> str | None:
        """The version that a rollback leads to."""
        version = publish.previous_version(self.store)
        return version.name if version else None

    def over_rounds(self) -> Sequence[RoundFigures]:
        """The numbers of the evaluated rounds, oldest first."""
        scripted_count = self.settings.promote.counts_scripted
        return history.over_rounds(self.store, needed=self.settings.votes, scripted_count=scripted_count)

    def flags(self, frozen: Round) -> Mapping[str, str]:
        """The accounts to look at that were found when the round was frozen."""
        return suspects.kept_flags(frozen)

    def alarms(self) -> Sequence[str]:
        """Sentences about versions that cannot be served."""
        return fallback.alarms(self.store)

    def version_lineage(self, name: str) -> VersionLineage:
        """What `alignloop lineage` says of a version."""
        return lineage.named_version_lineage(self.store, name)

    def person_lineage(self, person: Person) -> PersonLineage:
        """What `alignloop lineage` says of a person."""
        return lineage.person_lineage(self.store, person)
