"""A sampler and an adviser that answer by rule, for the stage that asks instead of people."""

from __future__ import annotations

import re
from collections.abc import Sequence

from alignment.dataset.judgement import Message
from alignment.stage.sampler import Sample, Sampling


class Answers:
    """Two answers to every prompt, the second kind."""

    def sample(self, version: str, prompts: Sequence[Sequence[Message]], sampling: Sampling) -> list[list[Sample]]:
        return [[Sample("No.", "stop"), Sample("Gladly!", "stop")][: sampling.n] for _ in prompts]


class Adviser:
    """Chooses the answer with "Gladly", and revises to it; `always` chooses one letter whatever was shown."""

    def __init__(self, always: str = "", revision: str = "Gladly, friend!") -> None:
        self.always, self.revision = always, revision
        self.asked: list[str] = []

    def answer(self, text: str) -> str:
        self.asked.append(text)
        if "Say A or B" in text:
            return self.always or ("A" if re.search(r"Answer A: .*Gladly", text) else "B")
        return self.revision if "Write the new answer" in text else "It is curt."

    def sample(self, version: str, prompts: Sequence[Sequence[Message]], sampling: Sampling) -> list[list[Sample]]:
        return [[Sample(self.answer(prompt[-1].content), "stop")] for prompt in prompts]
