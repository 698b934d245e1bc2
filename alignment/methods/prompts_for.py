"""What a model that learns from its own answers is asked: the dataset's prompts, and a file's."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from alignment.errors import StageError
from alignment.judgement import Message
from alignment.snapshot import read_groups, read_marks, read_pairs, read_sft

Prompt = tuple[Message, ...]
Thing = TypeVar("Thing")


def prompts_for(folder: Path, file: str, stage: str, needed: int) -> list[Prompt]:
    """The distinct prompts of a dataset's training rows, whatever their kind, then those of a JSONL file.

    A line of the file is {"prompt": text or messages}. A prompt that is held out in the dataset is left out
    of both. Raises `StageError` with both numbers when there are too few, or when the file cannot be read.
    """
    rows: list[tuple[Prompt, str]] = [(row.prompt, row.split) for row in read_groups(folder)]
    for name, read in (("pairs", read_pairs), ("marks", read_marks), ("sft", read_sft)):
        if (folder / f"{name}.jsonl").is_file():
            rows += [(row.prompt, row.split) for row in read(folder)]
    held_out = {prompt for prompt, split in rows if split != "train"}
    found = [prompt for prompt, split in rows if split == "train"]
    if file:
        found += _of_file(Path(file))
    distinct = [prompt for prompt in dict.fromkeys(found) if prompt not in held_out]
    if len(distinct) < needed:
        raise StageError(
            f"{stage} needs at least {needed} different prompts to answer; this snapshot has {len(distinct)}: "
            "collect more, or name a file of prompts with the setting prompts."
        )
    return distinct


def drawn(things: Sequence[Thing], seed: int) -> Iterator[Thing]:
    """Prompts (or what else) without end: all of them in an order drawn by `seed`, then again in another."""
    rng = random.Random(seed)
    order = list(things)
    while True:
        rng.shuffle(order)
        yield from order


def _of_file(path: Path) -> list[Prompt]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise StageError(f"{path} cannot be read as a file of prompts: {error.strerror or error}.") from error
    found: list[Prompt] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)["prompt"]
            found.append(
                (Message("user", value),)
                if isinstance(value, str)
                else tuple(Message(turn["role"], turn["content"]) for turn in value)
            )
        except (ValueError, KeyError, TypeError) as error:
            raise StageError(f'{path}, line {number} needs the form {{"prompt": text or messages}}.') from error
    return found
