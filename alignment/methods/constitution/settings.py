"""What a constitution run may be told. No training library is imported here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from alignment.methods.shared_training.settings import read_settings, require
from alignment.stage.spec import Setting


@dataclass(frozen=True, slots=True)
class ConstitutionSettings:
    """Settings of one run.

    `principles` is the text file; `url` and `adviser` name the model that advises (empty: the start model
    itself), its key is read from OPENAI_API_KEY; `count` prompts at most are answered, those of the dataset
    and of the JSONL file `prompts`; `revise` and `choose` switch the two halves; `people` adds the dataset's
    own pairs and rows worth imitating.
    """

    principles: str = ""
    url: str = ""
    adviser: str = "default"
    prompts: str = ""
    count: int = 256
    revise: bool = True
    choose: bool = True
    people: bool = False
    temperature: float = 1.0
    max_tokens: int = 192
    dtype: str = "auto"
    min_prompts: int = 8
    threads: int = 0

    @classmethod
    def read(cls, values: Mapping[str, Setting]) -> ConstitutionSettings:
        """Settings from a spec. Raises `StageError` naming a setting that does not exist or has no sense."""
        settings = read_settings(cls, "constitution", values)
        require(
            "constitution",
            {
                "revise and choose cannot both be off": settings.revise or settings.choose,
                "count and max_tokens must be at least 1": min(settings.count, settings.max_tokens) >= 1,
                "temperature must be above 0, so that two answers differ": settings.temperature > 0,
            },
        )
        return settings
