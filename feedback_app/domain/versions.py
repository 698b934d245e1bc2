"""What versions are, where they stand, why `policy` was pointed at one, and how vLLM is asked for one."""

from __future__ import annotations

import hashlib
from enum import StrEnum

BASE_MODEL_NAME = "base"  # how the names of the full weights that vLLM was started with begin


class VersionKind(StrEnum):
    """What a version is. A milestone is a policy in the middle of a round: people judge it, it is never published."""

    BASE = "base"
    SFT = "sft"
    ALIGNED = "aligned"
    MILESTONE = "milestone"


class VersionForm(StrEnum):
    """What a version's files hold."""

    FULL = "full"
    ADAPTER = "adapter"


class VersionState(StrEnum):
    """What may be done with a version.

    `unloadable`: it belongs to another base model. `loading` and `watched` are a milestone's, while the running round
    waits for votes on it.
    """

    READY = "ready"
    CHALLENGER = "challenger"
    DROPPED = "dropped"
    UNLOADABLE = "unloadable"
    LOADING = "loading"
    WATCHED = "watched"


class PublicationReason(StrEnum):
    """Why `policy` means what it means.

    `first`: the first model of this home. `model`: another one was chosen for this home. `promoted`: by the votes.
    `operator`: by an operator. `damaged`: by the worker, because what it meant before can no longer be served.
    """

    FIRST = "first"
    MODEL = "model"
    PROMOTED = "promoted"
    OPERATOR = "operator"
    ROLLBACK = "rollback"
    DAMAGED = "damaged"


def served_name(*, name: str, form: str, base_hash: str, artifact_hash: str, path: str) -> str:
    """The model name to ask vLLM for.

    It carries 12 digits of a hash, so that on a vLLM that others use too a namesake never answers: of its weights
    for the base (whoever starts a vLLM can know it), of its artifact and its folder for an adapter (a copy of this
    home has adapters of its own).
    """
    if form == VersionForm.FULL:
        return f"{BASE_MODEL_NAME}-{base_hash[:12]}"
    tag = hashlib.sha256(f"{artifact_hash}\n{path}".encode()).hexdigest()
    return f"{name}-{tag[:12]}"
