"""Multiple choice by log-probabilities: the question alone, an answer that begins with "Answer:", and which choice
is likeliest to follow.

`first` compares the first tokens of the choices' texts and costs one token an item. Where two choices begin with the
same token it tells nothing, and the item is asked by `sum`: the whole texts' log-probabilities, token by token, with
an answer's end of no account. A tie is no answer. Measured beside other ways in `data/suites/README.md`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from alignment.dataset.judgement import Message
from alignment.evaluation.suites.items import Choice
from alignment.stage.sampler import Sampler

LEAD = "Answer:"


@dataclass(frozen=True, slots=True)
class Continued:
    """A prompt's tokens, those of the lead among them, and those that each text adds behind a space."""

    opening: tuple[int, ...]
    texts: tuple[tuple[int, ...], ...]


class Choosing(Sampler, Protocol):
    """A sampler that can also say how probable given tokens are."""

    def continued(
        self, version: str, prompts: Sequence[Sequence[Message]], lead: str, texts: Sequence[Sequence[str]]
    ) -> Sequence[tuple[Sequence[int], Sequence[Sequence[int]]] | None]:
        """Tokens of each prompt with an answer that begins with `lead`, and those that each of its texts adds.

        None where the texts' tokens cannot be told from the prompt's.
        """
        ...

    def next_logprobs(
        self, version: str, contexts: Sequence[Sequence[int]], tokens: Sequence[Sequence[int]]
    ) -> Sequence[Mapping[int, float]]:
        """Log-probabilities (natural, untempered) of these tokens behind each context."""
        ...


def choose(
    sampler: Choosing, version: str, items: Sequence[Choice], known: MutableMapping[str, Continued | None]
) -> list[bool | None]:
    """Whether a version's choice is right, per item; None where an item's tokens cannot be told apart.

    `known` keeps the tokens by an item's id: all versions of a base have one tokenizer.
    Raises what the sampler raises.
    """
    unknown = [item for item in items if item.id not in known]
    if unknown:
        prompts = [(Message("user", item.prompt),) for item in unknown]
        found = sampler.continued(version, prompts, LEAD, [item.choices for item in unknown])
        for item, pair in zip(unknown, found, strict=True):
            texts = tuple(map(tuple, pair[1])) if pair is not None else ()
            apart = pair is not None and all(texts) and len(set(texts)) == len(texts)
            known[item.id] = Continued(tuple(pair[0]), texts) if apart and pair is not None else None
    asked = [(at, item, tokens) for at, item in enumerate(items) if (tokens := known[item.id]) is not None]
    results: list[bool | None] = [None] * len(items)
    for (at, item, _), found_scores in zip(
        asked, scores(sampler, version, [each for _, _, each in asked]), strict=True
    ):
        results[at] = wins(found_scores, item.answer) if max(found_scores) > -math.inf else None
    return results


def scores(sampler: Choosing, version: str, asked: Sequence[Continued]) -> list[list[float]]:
    """The log-probability of each text, nats: of its first token where those differ, else of all its tokens."""
    wanted: dict[tuple[int, ...], set[int]] = {}
    paths = [[_path(each.opening, text, whole=not by_first(each)) for text in each.texts] for each in asked]
    for path in (path for texts in paths for path in texts):
        for context, token in path:
            wanted.setdefault(context, set()).add(token)
    contexts = list(wanted)
    tokens = [sorted(wanted[context]) for context in contexts]
    found = dict(zip(contexts, sampler.next_logprobs(version, contexts, tokens) if contexts else [], strict=True))
    return [[sum(found[context].get(token, -math.inf) for context, token in path) for path in texts] for texts in paths]


def by_first(asked: Continued) -> bool:
    """Whether the texts' first tokens tell them apart."""
    return len({text[0] for text in asked.texts}) == len(asked.texts)


def wins(found: Sequence[float], answer: int) -> bool:
    """Whether the answer's score is above every other one."""
    return all(found[answer] > score for at, score in enumerate(found) if at != answer)


def _path(opening: tuple[int, ...], text: tuple[int, ...], *, whole: bool) -> list[tuple[tuple[int, ...], int]]:
    """What must be asked for a text's score: contexts, and the token behind each."""
    return [(opening + text[:at], token) for at, token in enumerate(text if whole else text[:1])]
