"""Values on disk in a few files, by the hash of their context: whatever shares a context lies in one file."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import BinaryIO, Generic

from alignment.dataset.compile.spool import Spool, Value

PARTS = 256
_DIGEST = 16  # bytes that name a context (`survey.context_digest`)


class Parts(Generic[Value]):
    """Files `NAME-000` to `NAME-255` in a scratch folder, as far as they are needed."""

    def __init__(self, scratch: Path, name: str, kind: type[Value]) -> None:
        """All that is put into it is of one kind."""
        self._scratch = scratch
        self._name = name
        self._spool = Spool(kind)
        self._files: dict[int, BinaryIO] = {}

    def add(self, digest: bytes, value: Value) -> None:
        """Put one value about the context of this digest into its part."""
        number = digest[0] * PARTS // 256
        if number not in self._files:
            self._files[number] = self._path(number).open("wb")
        self._files[number].write(digest)
        self._spool.write(self._files[number], value)

    def close(self) -> None:
        """Nothing more comes."""
        for file in self._files.values():
            file.close()

    @property
    def numbers(self) -> set[int]:
        """The parts that hold something; in their order are contexts in the order of their digests."""
        return set(self._files)

    def read(self, number: int) -> dict[bytes, list[Value]]:
        """The values of one part, by context, as they came."""
        contexts: defaultdict[bytes, list[Value]] = defaultdict(list)
        if number in self._files:
            with self._path(number).open("rb") as file:
                while digest := file.read(_DIGEST):
                    value = self._spool.next(file)
                    assert value is not None
                    contexts[digest].append(value)
        return dict(contexts)

    def remove(self, number: int) -> None:
        """Give the part's place on the disk back."""
        self._path(number).unlink(missing_ok=True)

    def _path(self, number: int) -> Path:
        return self._scratch / f"{self._name}-{number:03d}"
