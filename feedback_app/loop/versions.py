"""Versions: the model we start from, and what rounds make of it.

A version's files never change and its name is never used again. Nothing is loaded here (`reconcile`),
and what `policy` means is set here only for a new base; `publish`, `votes` and `fallback` set it afterwards.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from alignment.methods.shared_training.reward_model import is_reward_model
from feedback_app.domain.versions import BASE_MODEL_NAME, PublicationReason, VersionForm, VersionKind, VersionState
from feedback_app.errors import Conflict, RoundFailed
from feedback_app.store.database import Store
from feedback_app.store.tables import Round, Version


class Facts(Protocol):
    """What `serving.model_check` found in the model's files."""

    @property
    def template_hash(self) -> str: ...

    @property
    def weights_hash(self) -> str: ...


def base_of(store: Store, base_hash: str) -> Version:
    """The full-weights version with this hash. Raises `RoundFailed` when it was never registered."""
    for version in store.versions.listing():
        if version.form == VersionForm.FULL and version.base_hash == base_hash:
            return version
    raise RoundFailed("The model that vLLM serves is not registered. Restart the worker; it registers it.")


def register_model(store: Store, source: str, facts: Facts, *, clock: Callable[[], float] = time.time) -> Version:
    """Make the model we were started with a version, and point `policy` at it where it must be.

    First start: a row, published with reason `first`. Another model than last time: a new row (or the old
    one, when the model returns), published, and every version of another base is marked `unloadable`. Same
    model: nothing changes. Safe to do in several processes at once. Returns the model's version.
    """
    base = _find_or_add_base(store, source, facts, clock)
    listing = store.versions.listing()
    for version in listing:
        loadable = version.base_hash == facts.weights_hash
        if not loadable and version.state in (VersionState.READY, VersionState.CHALLENGER):
            store.versions.set_state(version.name, VersionState.UNLOADABLE)
        elif loadable and version.state == VersionState.UNLOADABLE:
            store.versions.set_state(version.name, VersionState.READY)
    published = store.versions.published()
    if published is None:
        store.versions.publish(base.name, PublicationReason.FIRST)
    elif _base_hash(store, published.version) != facts.weights_hash:
        store.versions.publish(base.name, PublicationReason.MODEL, note="another model was chosen for this home")
    return store.versions.get(base.name) or base


def _find_or_add_base(store: Store, source: str, facts: Facts, clock: Callable[[], float]) -> Version:
    """The row of this model, made if there is none.

    Its name comes from the same listing that did not hold it, so of two processes that see none, one
    takes the name and the other is refused it and looks again.
    """
    while True:
        bases = [version for version in store.versions.listing() if version.form == VersionForm.FULL]
        for version in bases:
            if version.base_hash == facts.weights_hash:
                return version
        base = Version(
            name=BASE_MODEL_NAME if not bases else f"{BASE_MODEL_NAME}-{len(bases) + 1}",
            kind=VersionKind.BASE,
            form=VersionForm.FULL,
            path=source,
            base_hash=facts.weights_hash,
            artifact_hash=facts.weights_hash,
            template_hash=facts.template_hash,
            created_at=clock(),
        )
        with suppress(Conflict):  # another process started at the same moment
            return store.versions.add(base)


def _base_hash(store: Store, name: str) -> str:
    version = store.versions.get(name)
    return version.base_hash if version is not None else ""


def register_artifact(
    store: Store,
    round_: Round,
    artifact: Path,
    *,
    artifact_hash: str,
    base: Version,
    parent: str,
    home: Path,
    next_name: Callable[[], str] | None = None,
    clock: Callable[[], float] = time.time,
) -> Version:
    """Copy a verified artifact to its lasting place and give it a name that was never used.

    Taking the step again finds the version that this round registered before. The copy is complete
    before the row exists, so a half-written folder is never named; its number is passed over.
    Raises `RoundFailed` when the artifact is a reward model, or the disk does not take the copy.
    """
    assert round_.id is not None
    if is_reward_model(artifact):
        raise RoundFailed(f"{artifact} holds a reward model: it scores answers and cannot give any.")
    for version in store.versions.listing():
        if version.round_id == round_.id:
            return version
    name = (next_name or store.versions.next_name)()
    while (home / name).exists():  # left by a crash between copy and row, or by another database
        stem, _, number = name.rpartition("-")
        name = f"{stem}-{int(number) + 1:04d}"
    folder = (home / name).resolve()
    try:
        shutil.copytree(artifact, folder)
    except OSError as error:
        raise RoundFailed(f"The new version could not be written to {folder}: {error}. Free some space.") from error
    return store.versions.add(
        Version(
            name=name,
            kind=VersionKind.ALIGNED,
            form=VersionForm.ADAPTER,
            path=str(folder),
            base_hash=base.base_hash,
            artifact_hash=artifact_hash,
            template_hash=base.template_hash,
            parent=parent,
            round_id=round_.id,
            created_at=clock(),
        )
    )
