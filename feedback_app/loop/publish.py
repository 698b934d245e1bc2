"""Flipping the alias `policy`, and what that means for a challenger.

Serving changes here when an operator says so, in `votes` when blind votes decide, in `fallback` when a version is
damaged and in `versions` for a new base: always as one row in one transaction, and only to a version that every
replica already answers for. Another flip while a challenger waits ends the challenge: its votes were against an
incumbent that is no longer one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from feedback_app.domain.rounds import ACTIVE, RoundStatus, VerdictKind
from feedback_app.domain.versions import PublicationReason, VersionKind, VersionState
from feedback_app.errors import Conflict, NotFound, UsageError
from feedback_app.loop.wanted import ask_for
from feedback_app.store.database import Store
from feedback_app.store.tables import Publication, Version

Staged = Callable[[Store, Version], None]
"""Returns once a version answers on every replica; raises `Unavailable` otherwise."""


def promote(store: Store, name: str, person_id: str | None, note: str = "", *, staged: Staged = ask_for) -> Publication:
    """An operator points `policy` at a version. A version whose round did not pass needs a note, which is kept.

    Promoting what the worker had to fall back on (`fallback`) keeps it on purpose.

    Raises `NotFound`, `Conflict` (already served, rejected, or of another base), `UsageError` (no note) and
    `Unavailable` (the version cannot be loaded).
    """
    version = _existing(store, name)
    published = store.versions.published()
    if published is not None and published.version == name and published.reason != PublicationReason.DAMAGED:
        raise Conflict(f"{name} is what `policy` means already.")
    if version.state == VersionState.UNLOADABLE:
        raise Conflict(f"{name} belongs to another base model and cannot be served with this one.")
    if version.kind == VersionKind.MILESTONE:
        raise Conflict(
            f"{name} is a milestone of round {version.round_id}: it was judged and is not served. Promote the version "
            "that the round made of one; `alignloop version list` names it."
        )
    if version.state == VersionState.DROPPED:
        raise Conflict(f"{name} was rejected. Start another round, or promote an earlier version.")
    round_ = store.rounds.get(version.round_id) if version.round_id is not None else None
    if round_ is not None and round_.status in ACTIVE:
        raise Conflict(f"Round {round_.id} still examines {name}. Wait for it, or cancel it first.")
    if round_ is not None and round_.status == RoundStatus.HELD and not note.strip():
        raise UsageError(f"{name} was held, not passed. Say why it should be served: --note TEXT.")
    staged(store, version)
    if round_ is not None and round_.id is not None and round_.status in (RoundStatus.HELD, RoundStatus.PASSED):
        by = f"Promoted by an operator: {note.strip()}" if note.strip() else "Promoted by an operator."
        store.rounds.update(round_.id, status=RoundStatus.PROMOTED, reasons=[*round_.reasons, by])
    # Publishing makes it no longer the challenger, so what is left to end is another one's challenge.
    publication = store.versions.publish(name, PublicationReason.OPERATOR, person_id, note.strip())
    end_challenge(store, f"`policy` was pointed at {name} before its votes were in.")
    return publication


def rollback(store: Store, person_id: str | None, note: str = "", *, staged: Staged = ask_for) -> Publication:
    """Point `policy` back at what it meant before; again goes one further back.

    Raises `UsageError` when there is nothing before, `Unavailable` when the version cannot be loaded.
    """
    target = previous_version(store)
    if target is None:
        raise UsageError("There is no earlier version to roll back to.")
    staged(store, target)
    publication = store.versions.publish(target.name, PublicationReason.ROLLBACK, person_id, note.strip())
    end_challenge(store, f"`policy` was rolled back to {target.name} before its votes were in.")
    return publication


def previous_version(store: Store, *, without: Collection[str] = ()) -> Version | None:
    """What a rollback would lead to: the last loadable meaning of `policy` that was not itself rolled back.

    `without` names versions that it must not lead to.
    """
    meanings: list[str] = []
    for publication in reversed(store.versions.history()):  # oldest first
        if (
            publication.reason in (PublicationReason.ROLLBACK, PublicationReason.DAMAGED)
            and publication.version in meanings
        ):
            del meanings[meanings.index(publication.version) + 1 :]
        else:
            meanings = [name for name in meanings if name != publication.version] + [publication.version]
    for name in reversed(meanings[:-1]):
        version = store.versions.get(name)
        if (
            version is not None
            and name not in without
            and version.state not in (VersionState.UNLOADABLE, VersionState.DROPPED)
        ):
            return version
    return None


def end_challenge(store: Store, why: str, *, but: str | None = None) -> None:
    """Reject the waiting challenger, if there is one other than `but`, with the reason."""
    challenger = store.versions.challenger()
    if challenger is None or challenger.name == but:
        return
    round_ = store.rounds.get(challenger.round_id) if challenger.round_id is not None else None
    if round_ is not None and round_.id is not None and round_.status == RoundStatus.HELD:
        store.rounds.update(
            round_.id,
            status=RoundStatus.REJECTED,
            verdict=VerdictKind.FAIL,
            reasons=[*round_.reasons, f"Rejected: {why}"],
        )
    store.versions.set_state(challenger.name, VersionState.DROPPED)


def _existing(store: Store, name: str) -> Version:
    version = store.versions.get(name)
    if version is None:
        raise NotFound(f"There is no version called {name}. `alignloop version list` names them.")
    return version
