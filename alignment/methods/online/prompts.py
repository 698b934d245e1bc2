"""What a model that learns from its own answers is asked: the dataset's prompts, and a file's."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from alignment.dataset.judgement import Message
from alignment.dataset.left_out import LeftOut, Unusable
from alignment.dataset.reading.folder import read_all
from alignment.dataset.row_files import messages
from alignment.errors import StageError
from alignment.files import BrokenLine, made_of_lines
from alignment.methods.shared_training.tokenized import Laying

Prompt = tuple[Message, ...]
Thing = TypeVar("Thing")


def prompts_for(folder: Path, file: str, stage: str, needed: int, left: LeftOut) -> dict[Prompt, tuple[str, ...]]:
    """The distinct prompts of a dataset's training rows, whatever their kind, then those of a JSONL file.

    With each prompt the judgements it came from; those of rows that are not text are counted in `left`.
    A line of the file is {"prompt": text or messages}. A prompt that is held out in the dataset is left out
    of both. Raises `StageError` with both numbers when there are too few, or when the file cannot be read.
    """
    rows = read_all(folder, left=left)
    held_out = {row.prompt for row in rows if row.split != "train"}
    found: dict[Prompt, dict[str, None]] = {}
    for row in rows:
        if row.prompt not in held_out:
            found.setdefault(row.prompt, {}).update(dict.fromkeys(row.judgements))
    for prompt in _of_file(Path(file), left) if file else ():
        if prompt not in held_out:
            found.setdefault(prompt, {})
    if len(found) + left.total < needed:
        raise StageError(
            f"{stage} needs at least {needed} different prompts to answer; this snapshot has {len(found)}: "
            "collect more, or name a file of prompts with the setting prompts."
        )
    return {prompt: tuple(judgements) for prompt, judgements in found.items()}


def usable_prompts(
    prompts: Mapping[Prompt, Sequence[str]],
    tokenizer: Any,
    room: int,
    stage: str,
    needed: int,
    left: LeftOut,
    remedy: str = "lower max_tokens or raise max_length",
) -> list[Prompt]:
    """The prompts that the chat template takes and that have at most `room` tokens; the others are counted in `left`.

    Raises `StageError` with the counts when fewer than `needed` are left.
    """
    laying = Laying(tokenizer, room)
    kept = [laying.prompt(prompt, judgements) for prompt, judgements in prompts.items()]
    left.update(laying.left)
    distinct = list(dict.fromkeys(prompt for prompt in kept if prompt is not None))
    tokens = f"the {max(0, room)} tokens that leave room for an answer"
    left.check(stage, len(distinct), needed, "prompts", tokens, remedy=remedy)
    return distinct


def drawn(things: Sequence[Thing], seed: int) -> Iterator[Thing]:
    """Prompts (or what else) without end: all of them in an order drawn by `seed`, then again in another."""
    rng = random.Random(seed)
    order = list(things)
    while True:
        rng.shuffle(order)
        yield from order


def _of_file(path: Path, left: LeftOut) -> list[Prompt]:
    def prompt(value: Any) -> Prompt | None:
        try:
            return messages(value["prompt"])
        except Unusable as why:
            left.add(why)
            return None

    try:
        return [made for _, made in made_of_lines(path, prompt) if made is not None]
    except BrokenLine as error:
        raise StageError(f'{path}, line {error.number} needs the form {{"prompt": text or messages}}.') from error
    except (OSError, UnicodeDecodeError) as error:
        raise StageError(
            f"{path} cannot be read as a file of prompts: {getattr(error, 'strerror', None) or error}."
        ) from error
