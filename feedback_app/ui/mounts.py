"""What the pages offer a browser, as plain values: so that the app can hold requests to it without knowing Gradio."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

UPLOADS: Mapping[str, int] = {}
"""Pages that take files, each path ("/" is the chat) with its largest file, bytes. None does now."""


LARGEST_FILE = 64 * 2**20
"""Bytes of a file of feedback that an operator brings by the page, which goes to a route of our own."""


@dataclass(frozen=True)
class Calls:
    """One page: its components with their functions, the number of inputs by event, and the sessions that listen."""

    functions: Mapping[int, Collection[str]]
    events: Mapping[int, int]
    sessions: Callable[[], Collection[str]]
