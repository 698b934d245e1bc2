"""What processes say with a heartbeat: JSON, one row a name."""

from __future__ import annotations

from typing import TypedDict


class ProcessState(TypedDict):
    """Which process beats: where it runs, its number, and when it started."""

    place: str
    pid: int
    started: float | None


class ReplicaState(TypedDict):
    """One vLLM as the worker last saw it."""

    url: str
    state: str
    loaded: list[str]
    problem: str


class BeatState(TypedDict, total=False):
    """The words of all beats; each name uses some.

    vLLM's supervisor: `name` (of its state), `since`, `restarts`, `detail`, `engine`. The worker: `loaded`,
    `looked_at`, `replicas`, `refused`, `owner`, `round`. The app: `pid`, `address`. A training that needs vLLM's
    accelerator: `state`, `round`. Who waits for a version: `version`. A look whether the database writes: `written`.
    """

    process: ProcessState
    name: str
    since: float
    restarts: int
    detail: str
    engine: str
    loaded: list[str]
    looked_at: float
    replicas: list[ReplicaState]
    refused: dict[str, str]
    owner: str
    round: int | None
    pid: int
    address: str
    state: str
    version: str
    written: str
