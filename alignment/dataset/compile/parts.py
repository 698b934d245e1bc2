"""Records on disk in a few files, by the hash of their context: whatever shares a context lies in one file."""

from __future__ import annotations

import marshal
from collections import defaultdict
from pathlib import Path
from typing import Any, BinaryIO

from alignment.dataset.judgement import Message

PARTS = 256
_LENGTH = 8  # bytes before each record that say how long it is
Plain = tuple[Any, ...]  # what `marshal` takes: numbers, texts, None and tuples of them


class Parts:
    """Files `NAME-000` to `NAME-255` in a scratch folder, as far as they are needed."""

    def __init__(self, scratch: Path, name: str) -> None:
        self._scratch = scratch
        self._name = name
        self._files: dict[int, BinaryIO] = {}

    def add(self, digest: bytes, plain: Plain) -> None:
        """Put one record of the context of this digest into its part."""
        number = digest[0] * PARTS // 256
        if number not in self._files:
            self._files[number] = self._path(number).open("wb")
        write_record(self._files[number], (digest, plain))

    def close(self) -> None:
        """Nothing more comes."""
        for file in self._files.values():
            file.close()

    @property
    def numbers(self) -> set[int]:
        """The parts that hold something; in their order are contexts in the order of their digests."""
        return set(self._files)

    def read(self, number: int) -> dict[bytes, list[Plain]]:
        """The records of one part, by context, as they came."""
        contexts: defaultdict[bytes, list[Plain]] = defaultdict(list)
        if number in self._files:
            with self._path(number).open("rb") as file:
                while (record := next_record(file)) is not None:
                    contexts[record[0]].append(record[1])
        return dict(contexts)

    def remove(self, number: int) -> None:
        """Give the part's place on the disk back."""
        self._path(number).unlink(missing_ok=True)

    def _path(self, number: int) -> Path:
        return self._scratch / f"{self._name}-{number:03d}"


def write_record(file: BinaryIO, plain: Plain) -> None:
    """Append one record, its length before it: `marshal.load` would ask a file for every single value."""
    data = marshal.dumps(plain)
    file.write(len(data).to_bytes(_LENGTH))
    file.write(data)


def next_record(file: BinaryIO) -> Any:
    """The next record, None at the end."""
    length = file.read(_LENGTH)
    return marshal.loads(file.read(int.from_bytes(length))) if length else None


def plain_context(context: tuple[Message, ...]) -> Plain:
    """A context as `marshal` takes it."""
    return tuple((str(message.role), message.content) for message in context)


def messages_of(plain: Plain) -> tuple[Message, ...]:
    """`plain_context` back again."""
    return tuple(Message(role, content) for role, content in plain)
