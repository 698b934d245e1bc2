"""What conversations are for, who speaks in them, and how answers end."""

from __future__ import annotations

from enum import StrEnum


class Purpose(StrEnum):
    """Why a conversation exists.

    `typed` is a comparison on the person's own prompt, `door` came over `/v1`. The answers of `gold` are known: its
    prompts are nobody's own words and are shown to everybody.
    """

    CHAT = "chat"
    COMPARE = "compare"
    RANK = "rank"
    TYPED = "typed"
    CORRECTION = "correction"
    DOOR = "door"
    IMPORT = "import"
    GOLD = "gold"


DRAWN = (Purpose.COMPARE, Purpose.RANK)  # the server drew the prompt for somebody to judge


class Speaker(StrEnum):
    """The role of a message, as chat templates and OpenAI's API name it."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"


class FinishReason(StrEnum):
    """How an answer ended: the first two are vLLM's words, `stopped` is a person's click, `failed` an error."""

    STOP = "stop"
    LENGTH = "length"
    STOPPED = "stopped"
    FAILED = "failed"
