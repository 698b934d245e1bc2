"""What a constitution run may be told. No training library is imported here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from alignment.methods.shared_training.settings import AnsweringSettings, setting


@dataclass(frozen=True)
class ConstitutionSettings(AnsweringSettings):
    """Settings of one run."""

    STAGE: ClassVar[str] = "constitution"

    principles: str = setting("", "a text file of principles, one a line; a round takes those that ship")
    url: str = setting("", "OpenAI-compatible address of the model that advises", zero="the start model advises")
    adviser: str = setting("default", "the adviser's name at that address")
    count: int = setting(256, "prompts that are answered, at most", least=1)
    revise: bool = setting(True, "criticise and revise answers, which gives rows worth imitating")
    choose: bool = setting(True, "choose between two answers, in both orders, which gives preferences")
    people: bool = setting(False, "add the dataset's own pairs and rows worth imitating")
    max_tokens: int = setting(192, "longest answer", unit="tokens", least=1)

    def conditions(self) -> Mapping[str, bool]:
        """See `StageSettings`."""
        return {"revise and choose cannot both be off": self.revise or self.choose}
