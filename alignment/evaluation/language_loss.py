"""Held-out language-model loss: how well a version still predicts good answers that nothing was trained on.

What a version pays for pleasing people is the alignment tax (Askell et al. 2021, arXiv:2112.00861; Ouyang et al.
2022, arXiv:2203.02155): capability and this loss, both against the base. Texts are conversations of one question
and one answer, JSON lines of {"messages"}; the loss is over the answers' tokens alone. Who scores is injected, as
in `logprobs`. What may not be done here: importing torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from alignment.dataset.judgement import Message
from alignment.files import BrokenLine, made_of_lines
from alignment.stage.sampler import Sample


class TextFileError(ValueError):
    """A file of texts cannot be read: the message names the file, the line and what is wrong."""


@dataclass(frozen=True, slots=True)
class Text:
    """A prompt, and an answer that was not sampled from any version."""

    prompt: tuple[Message, ...]
    answer: str


class TextScorer(Protocol):
    """Anything that can make tokens of a given answer and say how probable a version finds them."""

    def encode(self, version: str, prompts: Sequence[Sequence[Message]], answers: Sequence[str]) -> Sequence[Sample]:
        """Each answer as a sample whose `tokens` are what would follow its prompt, its end included; or none."""
        ...

    def score(
        self, version: str, prompts: Sequence[Sequence[Message]], samples: Sequence[Sample]
    ) -> Sequence[Sequence[float]]:
        """Per sample, the natural-log probability of each of its tokens after its prompt, at temperature 1."""
        ...


def load_texts(path: Path) -> tuple[Text, ...]:
    """The texts of a file. Raises `TextFileError` when it cannot be read."""
    try:
        return tuple(text for _, text in made_of_lines(path, _text))
    except BrokenLine as error:
        raise TextFileError(
            f"{path.name}, line {error.number}, is not a conversation with an answer: {error.why}"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise TextFileError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}.") from error


def _text(value: Any) -> Text:
    turns = [Message(str(turn["role"]), str(turn["content"])) for turn in value["messages"]]
    if len(turns) < 2 or turns[-1].role != "assistant":
        raise ValueError("the last message is not an answer")
    return Text(tuple(turns[:-1]), turns[-1].content)


def loss_of(logps: Sequence[Sequence[float]]) -> float:
    """Nats per token, every token counted alike. Raises `ValueError` when there is none."""
    tokens = sum(map(len, logps))
    if not tokens:
        raise ValueError("a loss needs at least one token")
    return -sum(map(sum, logps)) / tokens


def encoded(scorer: TextScorer, version: str, texts: Sequence[Text]) -> list[Sample]:
    """The answers as tokens, the same for every version of one base: encode once, score often."""
    return list(scorer.encode(version, [text.prompt for text in texts], [text.answer for text in texts]))


def language_loss(scorer: TextScorer, version: str, texts: Sequence[Text], answers: Sequence[Sample]) -> float:
    """The loss of a version on `texts`, nats per token of their `encoded` answers."""
    return loss_of(scorer.score(version, [text.prompt for text in texts], answers))
