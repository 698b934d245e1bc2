"""What an attempt leaves behind: files, a manifest, and last of all `COMPLETE`.

    manifest.json   the spec, the metrics, the library versions, every file's SHA-256 and size
    COMPLETE        the manifest's SHA-256; written last, so a killed attempt never has it
    …               the stage's files: safetensors, configuration, tokenizer, reports

Nothing is renamed, so local folders and object stores work alike. Weights are safetensors only: pickled
weights can run code when they are read, so a folder that holds any is refused.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from alignment.errors import ArtifactProblem
from alignment.files import Fingerprint, fingerprint, sha256_of, write_durably
from alignment.records import StageMetrics
from alignment.stage.spec import SpecRecord

MANIFEST, COMPLETE = "manifest.json", "COMPLETE"
_NOT_HASHED = {MANIFEST, COMPLETE, "spec.json", "progress.jsonl", "error.json", "log.txt"}
_PICKLED = {".bin", ".ckpt", ".pickle", ".pkl", ".pt", ".pth"}


@dataclass(frozen=True, slots=True)
class Manifest:
    """What an artifact holds. `hash` is the SHA-256 of manifest.json; `files` maps a name to `sha256` and `bytes`."""

    hash: str
    stage: str
    spec: SpecRecord
    metrics: StageMetrics
    files: dict[str, Fingerprint]
    libraries: dict[str, str]


def finish(folder: Path, spec: SpecRecord, metrics: StageMetrics, libraries: Mapping[str, str]) -> Manifest:
    """Write the manifest and then `COMPLETE`. Raises `ArtifactProblem` when the folder holds pickled weights."""
    files = {str(path.relative_to(folder)): fingerprint(path) for path in _artifact_files(folder)}
    body = {
        "stage": spec["stage"],
        "spec": dict(spec),
        "metrics": dict(metrics),
        "files": files,
        "libraries": dict(libraries),
    }
    text = json.dumps(body, sort_keys=True, indent=1) + "\n"
    # Durably, so that `COMPLETE` never survives a crash that its manifest did not.
    write_durably(folder / MANIFEST, text)
    write_durably(folder / COMPLETE, hashlib.sha256(text.encode()).hexdigest() + "\n")
    return read_manifest(folder)


def is_complete(folder: Path) -> bool:
    """Whether the attempt reached its end; its files are not checked (see `verify`)."""
    try:
        return (folder / COMPLETE).read_text().strip() == sha256_of(folder / MANIFEST)
    except OSError:
        return False


def read_manifest(folder: Path) -> Manifest:
    """The manifest alone. Raises `ArtifactProblem` when there is none or it cannot be read."""
    try:
        data = (folder / MANIFEST).read_bytes()
        body = json.loads(data)
        return Manifest(
            hash=hashlib.sha256(data).hexdigest(),
            stage=body["stage"],
            spec=body["spec"],
            metrics=body["metrics"],
            files=body["files"],
            libraries=body["libraries"],
        )
    except FileNotFoundError as error:
        raise ArtifactProblem(f"{folder} is not a finished artifact: it has no {MANIFEST}.") from error
    except (OSError, ValueError, KeyError) as error:
        raise ArtifactProblem(f"{folder / MANIFEST} cannot be read as an artifact's manifest: {error}.") from error


def verify(folder: Path) -> Manifest:
    """The manifest of a complete, unchanged artifact. Raises `ArtifactProblem` naming what is wrong."""
    manifest = read_manifest(folder)
    if not is_complete(folder):
        raise ArtifactProblem(f"{folder} is not complete: its {COMPLETE} is missing or belongs to another manifest.")
    found = {str(path.relative_to(folder)) for path in _artifact_files(folder)}
    for name, facts in manifest.files.items():
        if name not in found:
            raise ArtifactProblem(f"{folder / name} is missing; this version cannot be loaded any more.")
        if fingerprint(folder / name)["sha256"] != facts["sha256"]:
            raise ArtifactProblem(f"{folder / name} was changed after training; this version must not be loaded.")
    unknown = sorted(found - set(manifest.files))
    if unknown:
        raise ArtifactProblem(f"{folder / unknown[0]} was added after training; this version must not be loaded.")
    return manifest


def _artifact_files(folder: Path) -> list[Path]:
    """The stage's own files, sorted; logs and what the runner writes are not among them."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    for path in paths:
        if path.suffix in _PICKLED:
            raise ArtifactProblem(f"{path} holds pickled data; artifacts hold safetensors only.")
    return [path for path in paths if path.name not in _NOT_HASHED]
