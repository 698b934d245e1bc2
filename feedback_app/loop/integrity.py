"""Is it what it is said to be? A version's files on the disk, an adapter that vLLM holds, and the model it was started
with.

Looks and answers with a sentence, empty when all is well. Loads, unloads and publishes nothing (`reconcile`,
`fallback`), and does not ask a model (`fingerprint`).
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from alignment.errors import ArtifactProblem
from alignment.files import sha256_of
from alignment.stage.artifact import verify
from alignment.stage.finite import not_finite
from feedback_app.domain.versions import VersionForm, VersionKind, VersionState
from feedback_app.store.tables import Version
from serving.errors import ModelProblem
from serving.model_check import check_model

if TYPE_CHECKING:
    from serving.client import ServedModel

LOOPBACK = ("127.0.0.1", "localhost", "::1")

Signature = tuple[tuple[str, int, int, int, int], ...]


class Files:
    """Compares versions' files with the hashes that were registered; reads them again only when they changed."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[Signature, str]] = {}

    def problem(self, version: Version, *, again: bool = False) -> str:
        """What is wrong with an adapter's files. `again` reads them whatever the file system says about changes."""
        if version.form == VersionForm.FULL:
            return ""  # `foreign_model` looks at the base
        folder = Path(version.path)
        try:
            signature = _signature(folder)
            known = self._seen.get(version.name)
            if not again and known is not None and known[0] == signature:
                return known[1]
            found = _problem(version, folder)
        except OSError as error:
            return f"{error.filename or folder} cannot be read: {error.strerror or error}."
        self._seen[version.name] = (signature, found)
        return found


def _signature(folder: Path) -> Signature:
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    stats = [(str(path), path.stat()) for path in paths]
    return tuple((name, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino) for name, stat in stats)


def _problem(version: Version, folder: Path) -> str:
    weights = folder / "adapter_model.safetensors"
    if not folder.is_dir():
        return f"Its folder {folder} is gone."
    try:
        if version.kind == VersionKind.MILESTONE:  # no artifact of its own: its weights are named by their hash
            if sha256_of(weights) != version.artifact_hash:
                return f"{weights} was changed after training."
        elif verify(folder).hash != version.artifact_hash:
            return f"{folder} holds another artifact than the one that was registered as {version.name}."
        tensor = not_finite(weights)
    except ArtifactProblem as error:
        return str(error)
    return f"{weights} holds numbers that are not finite, in {tensor}." if tensor else ""


def same_place(one: str, other: str) -> bool:
    """Whether two paths, as vLLM's machine sees them, name one folder."""
    return posixpath.normpath(one) == posixpath.normpath(other)


def base_among(versions: Sequence[Version]) -> Version | None:
    """The model that this home was started with, of its versions; those of other bases are unloadable."""
    return next(
        (
            version
            for version in versions
            if version.form == VersionForm.FULL and version.state != VersionState.UNLOADABLE
        ),
        None,
    )


class Bases:
    """Whether a vLLM was started with this home's model. Hashes a folder once."""

    def __init__(self) -> None:
        self._hashes: dict[tuple[str, str], str] = {}

    def problem(self, url: str, listed: Mapping[str, ServedModel], base: Version) -> str:
        """Why this vLLM is not ours to use. `listed` is what it answers to, by name."""
        card = listed.get(base.served_name)
        if card is None or card.parent is not None:
            roots = ", ".join(sorted({model.path for model in listed.values() if model.parent is None and model.path}))
            return (
                f"The vLLM at {url} does not serve this home's model, {base.path}: it does not answer to "
                f"{base.served_name}{f' and was started with {roots}' if roots else ''}. Set ALIGNLOOP_VLLM_PORT or "
                "ALIGNLOOP_VLLM_URL to one that does; where it is the same model, start it with "
                f"--served-model-name base {base.served_name}."
            )
        if card.path and not same_place(card.path, base.path) and urlsplit(url).hostname in LOOPBACK:
            found = self._hash(url, card.path)
            if found and found != base.base_hash:
                return (
                    f"The vLLM at {url} serves {card.path}, which is another model than this home's, {base.path}. "
                    "Set ALIGNLOOP_VLLM_PORT or ALIGNLOOP_VLLM_URL to one that serves this home's."
                )
        return ""

    def _hash(self, url: str, root: str) -> str:
        """The weights' hash of a folder on this machine, empty where there is none."""
        if not Path(root).is_dir():
            return ""
        if (url, root) not in self._hashes:
            try:
                self._hashes[url, root] = check_model(root).weights_hash
            except ModelProblem:
                self._hashes[url, root] = ""
        return self._hashes[url, root]

    def forget(self, url: str) -> None:
        """It may be another vLLM that answers there next time."""
        self._hashes = {place: found for place, found in self._hashes.items() if place[0] != url}
