"""Prompts that are nearly the same: which ones must lie on one side of a split.

Two prompts are near-duplicates when about `ALIKE` of their shingles (runs of three words; of four letters
where a text has no spaces) are shared. MinHash signatures estimate that share (Broder 1997, "On the
resemblance and containment of documents"), and bands of a signature find the candidates in time that grows
with the number of prompts alone, not with its square (Leskovec, Rajaraman, Ullman, "Mining of Massive
Datasets", section 3.4). Fixed hash functions, no chance: the same prompts are the same clusters everywhere.
"""

from __future__ import annotations

import zlib
from array import array
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

SIGNATURE, BAND = 32, 4
ALIKE = 0.75
_WORDS, _LETTERS, _LONG_WORD = 3, 4, 20
_AT_ONCE = 256  # texts whose signatures are computed together


def shingles(folded: str) -> list[int]:
    """32-bit hashes of the overlapping pieces of a folded text, each once, in order; a short text is one piece."""
    words = folded.split()
    if len(words) >= _WORDS:
        pieces: Iterable[str] = (" ".join(words[i : i + _WORDS]) for i in range(len(words) - _WORDS + 1))
    elif len(folded) >= _LONG_WORD:  # no spaces between words: Chinese, Japanese, Thai
        pieces = (folded[i : i + _LETTERS] for i in range(len(folded) - _LETTERS + 1))
    else:
        pieces = (folded,)
    return sorted({zlib.crc32(piece.encode("utf-8", "replace")) for piece in pieces})


class Signatures:
    """MinHash signatures of many prompts, 128 bytes each, in the order they were added."""

    def __init__(self) -> None:
        self._values = array("I")
        self._waiting: list[list[int]] = []
        self._hashes: tuple[Any, Any] | None = None

    def __len__(self) -> int:
        return len(self._values) // SIGNATURE + len(self._waiting)

    def add(self, folded: str) -> None:
        """Append the signature of one folded text."""
        self._waiting.append(shingles(folded))
        if len(self._waiting) >= _AT_ONCE:
            self._sign()

    def _sign(self) -> None:
        """The signatures of the texts that wait: all at once, because NumPy takes its time with small arrays."""
        import numpy as np

        if not self._waiting:
            return
        if self._hashes is None:
            draw = np.random.Generator(np.random.PCG64(20_240_229))  # fixed: these are the hash functions
            high = 2**63
            self._hashes = (
                draw.integers(0, high, size=(SIGNATURE, 1), dtype=np.uint64) * np.uint64(2) + np.uint64(1),
                draw.integers(0, high, size=(SIGNATURE, 1), dtype=np.uint64),
            )
        pieces = np.array([piece for each in self._waiting for piece in each], dtype=np.uint64)
        begins = np.cumsum([0, *(len(each) for each in self._waiting[:-1])])
        # Multiply-shift hashing (Dietzfelbinger et al. 1997), one row a function; uint64 wraps around.
        mixed = (pieces * self._hashes[0] + self._hashes[1]) >> np.uint64(32)  # (SIGNATURE, pieces)
        least = np.minimum.reduceat(mixed, begins, axis=1)  # (SIGNATURE, texts)
        self._values.frombytes(least.T.astype(np.uint32).tobytes())
        self._waiting.clear()

    def alike(self, keys: array[int]) -> Iterator[tuple[int, int]]:
        """Pairs of positions whose texts are nearly the same; enough of them to connect every cluster.

        `keys` are the texts' own hashes: they order the comparisons, so that the order of adding does not.
        """
        import numpy as np

        if len(self) < 2:
            return
        self._sign()
        table = np.frombuffer(self._values, dtype=np.uint32).reshape(-1, SIGNATURE)
        order = np.argsort(np.frombuffer(keys, dtype=np.uint64), kind="stable")
        for start in range(0, SIGNATURE, BAND):
            yield from _band(table, order, start)


def _band(table: np.ndarray[Any, Any], order: np.ndarray[Any, Any], start: int) -> Iterator[tuple[int, int]]:
    """Pairs that share one band, each compared with the first of its bucket and with the one before it."""
    import numpy as np

    halves = table[order, start : start + BAND].astype(np.uint64)
    band = (halves[:, 0] << np.uint64(32) | halves[:, 1]) * np.uint64(0x9E3779B97F4A7C15)
    band ^= halves[:, 2] << np.uint64(32) | halves[:, 3]
    ranks = np.argsort(band, kind="stable")
    same = np.flatnonzero(band[ranks][1:] == band[ranks][:-1]) + 1  # places whose bucket began before them
    if not len(same):
        return
    first = np.arange(len(ranks))
    first[same] = 0
    first = np.maximum.accumulate(first)  # where each place's bucket begins
    for earlier in (first[same], same - 1):
        left, right = order[ranks[earlier]], order[ranks[same]]
        for begin in range(0, len(left), 65536):  # a slice at a time: memory stays small
            one, other = left[begin : begin + 65536], right[begin : begin + 65536]
            close = (table[one] == table[other]).mean(axis=1) >= ALIKE
            yield from zip(one[close].tolist(), other[close].tolist(), strict=True)
