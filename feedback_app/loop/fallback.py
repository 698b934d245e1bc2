"""When the version that people are answered by can no longer be served, `policy` goes back to the last good one.

That is an ordinary publication, reason `damaged`, with the cause as its note: everybody sees it in the history, and
an operator undoes it by promoting the version again once its files are restored, or confirms it by promoting what
`policy` fell back on. A challenger that cannot be served any more is no longer shown to people; its round stays held,
with the votes it has. `alarms` says all of this where operators look. Nothing is loaded here (`reconcile`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from feedback_app.domain.rounds import RoundStatus
from feedback_app.domain.versions import PublicationReason, VersionState
from feedback_app.heartbeat import WORKER, Life, last, life
from feedback_app.loop.integrity import base_among
from feedback_app.loop.publish import previous_version
from feedback_app.loop.reconcile import OTHER_MODEL
from feedback_app.store.database import Store
from feedback_app.store.tables import Publication, Version


def target(store: Store, refused: Collection[str]) -> Version | None:
    """What `policy` should mean instead of a version that is refused: what it meant before, at last the base."""
    published = store.versions.published()
    if published is None or published.version not in refused:
        return None
    before = previous_version(store, without=refused)
    if before is not None:
        return before
    base = base_among(store.versions.listing())
    return base if base is not None and base.name not in {*refused, published.version} else None


def fall_back(store: Store, refused: Mapping[str, str], loaded: Collection[str]) -> Publication | None:
    """Point `policy` at the last good version, once every replica answers for it. None when nothing changed.

    `refused` says of versions why they cannot be served, `loaded` names those that can.
    """
    challenger = store.versions.challenger()
    if challenger is not None and challenger.name in refused:
        suspend(store, challenger, f"{challenger.name} cannot be served: {refused[challenger.name]}")
    published = store.versions.published()
    good = target(store, refused)
    if published is None or good is None or good.name not in loaded:
        return None
    why = f"{published.version} cannot be served: {refused[published.version]}"
    publication = store.versions.publish(
        good.name, PublicationReason.DAMAGED, note=why[:500], instead_of=published.version
    )
    if publication.version != good.name:
        return None  # somebody has pointed it elsewhere meanwhile
    challenger = store.versions.challenger()
    if challenger is not None:
        suspend(store, challenger, f"its votes were against {published.version}, which cannot be served any more.")
    return publication


def suspend(store: Store, challenger: Version, why: str) -> None:
    """People are no longer asked about the challenger; its round stays held, for an operator to decide."""
    round_ = store.rounds.get(challenger.round_id) if challenger.round_id is not None else None
    if round_ is not None and round_.id is not None and round_.status == RoundStatus.HELD:
        # The first reason says how many votes are still needed: nobody is asked for them now.
        store.rounds.update(round_.id, reasons=[f"The vote was stopped: {why}", *round_.reasons[1:]])
    store.versions.set_state(challenger.name, VersionState.READY)


def alarms(store: Store) -> list[str]:
    """What operators must see: versions that cannot be served, what was done about it, and a vLLM that is not ours.

    One sentence or two each, empty when all is well. Reads the newest publication and the worker's last beat.
    """
    found = []
    published = store.versions.published()
    fallen = published is not None and published.reason == PublicationReason.DAMAGED
    if published is not None and fallen:
        found.append(
            f"{published.note.rstrip('.')}. {published.version} answers instead. Restore the files and promote "
            f"{published.previous} again, or promote {published.version} to keep it."
        )
    beat = last(store, WORKER)
    if beat is None or life(beat, store.now()) is Life.STOPPED:
        return found
    for replica in beat.state.get("replicas", ()):
        if replica.get("state") == OTHER_MODEL:
            found.append(str(replica.get("problem")))
    for name, why in sorted(beat.state.get("refused", {}).items()):
        if not (published is not None and fallen and name == published.previous):
            found.append(f"{name} cannot be served: {why}")
    return found
