"""What an RLOO run may be told, and what it chooses by itself. No training library is imported here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from alignment.methods.online.settings import GroupSettings


@dataclass(frozen=True)
class RlooSettings(GroupSettings):
    """Settings of one RLOO run."""

    STAGE: ClassVar[str] = "rloo"
