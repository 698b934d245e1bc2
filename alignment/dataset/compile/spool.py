"""Values of ours in scratch files, written by `marshal`: fast, and reading them runs no code.

A dataclass goes as the tuple of its fields, a word of an enumeration as its value; how a field goes is known from its
annotation. A tuple that several fields share (the context of rows) is written once.
"""

from __future__ import annotations

import marshal
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache
from io import SEEK_CUR
from operator import attrgetter
from types import NoneType, UnionType
from typing import Any, BinaryIO, Generic, NamedTuple, TypeVar, Union, get_args, get_origin, get_type_hints

_LENGTH = 8  # bytes before each value that say how long it is
_AS_THEY_ARE = (bool, bytes, float, int, NoneType)
Value = TypeVar("Value")


class Spool(Generic[Value]):
    """Writes values of one type behind each other into a file, and reads them back."""

    def __init__(self, kind: type[Value]) -> None:
        annotation: Any = kind
        self._codec = codec_of(annotation)

    def write(self, file: BinaryIO, value: Value) -> None:
        """Append one, its length before it: `marshal.load` would ask a file for every single field."""
        data = marshal.dumps(_through(self._codec.plain, value))
        file.write(len(data).to_bytes(_LENGTH))
        file.write(data)

    def next(self, file: BinaryIO) -> Value | None:
        """The next one, None at the end."""
        length = file.read(_LENGTH)
        if not length:
            return None
        found: Value = _through(self._codec.value, marshal.loads(file.read(int.from_bytes(length))))
        return found

    def skip(self, file: BinaryIO) -> bool:
        """Go on behind the next one; False at the end."""
        length = file.read(_LENGTH)
        file.seek(int.from_bytes(length), SEEK_CUR)
        return bool(length)


class Codec(NamedTuple):
    """A value to what `marshal` takes, and back; None where it is that already."""

    plain: Callable[[Any], Any] | None
    value: Callable[[Any], Any] | None


@cache
def codec_of(kind: Any) -> Codec:
    """How values of an annotation go. Raises `TypeError` on one that no value of ours has."""
    of, parts = get_origin(kind), get_args(kind)
    if kind in _AS_THEY_ARE:
        return Codec(None, None)
    if kind is str:
        return Codec(str, None)  # a word of an enumeration, as the database may give one, is no text to `marshal`
    if of in (Union, UnionType):
        (some,) = (part for part in parts if part is not NoneType)
        return _perhaps(codec_of(some))
    if of is tuple and parts[-1] is not Ellipsis:
        pair = _record(tuple, lambda *values: values, [codec_of(part) for part in parts])
        return Codec(pair.plain, pair.value if any(codec_of(part).value for part in parts) else None)
    if of in (tuple, list):
        return _many(of, codec_of(parts[0]))
    if is_dataclass(of or kind):
        return _dataclass(of or kind, parts)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return Codec(attrgetter("value"), {word.value: word for word in kind}.__getitem__)
    raise TypeError(f"no scratch file holds values of {kind}")


def _through(step: Callable[[Any], Any] | None, value: Any) -> Any:
    return value if step is None else step(value)


def _perhaps(some: Codec) -> Codec:
    plain, value = (
        None if step is None else lambda given, step=step: None if given is None else step(given) for step in some
    )
    return Codec(plain, value)


def _dataclass(make: Any, parts: tuple[Any, ...]) -> Codec:
    """`parts` are what a generic one is of."""
    stands_for = dict(zip(getattr(make, "__parameters__", ()), parts, strict=True))
    hints = get_type_hints(make)
    names = [each.name for each in fields(make)]
    return _record(attrgetter(*names), make, [codec_of(stands_for.get(hints[name], hints[name])) for name in names])


def _record(take: Callable[[Any], Any], make: Callable[..., Any], codecs: list[Codec]) -> Codec:
    """Of two fields or more, which `take` gives as a tuple."""
    to = [(place, codec.plain) for place, codec in enumerate(codecs) if codec.plain is not None]
    back = [(place, codec.value) for place, codec in enumerate(codecs) if codec.value is not None]

    def plain(value: Any) -> Any:
        values = list(take(value))
        for place, step in to:
            values[place] = step(values[place])
        return tuple(values)

    def value(plain: Any) -> Any:
        values = list(plain)
        for place, step in back:
            values[place] = step(values[place])
        return make(*values)

    return Codec(plain, value)


def _many(make: Any, one: Codec) -> Codec:
    to, back = one.plain, one.value
    plain: Callable[[Any], Any] = tuple if to is None else lambda values: tuple(map(to, values))
    if back is None:
        return Codec(plain, None if make is tuple else make)
    if make is tuple:
        return Codec(_Last(plain), _Last(lambda plain: tuple(map(back, plain))))
    return Codec(plain, lambda plain: make(map(back, plain)))


class _Last:
    """Gives for the very same value the very same again, which `marshal` then writes once."""

    def __init__(self, step: Callable[[Any], Any]) -> None:
        self._step = step
        self._last: tuple[Any, Any] = (None, None)

    def __call__(self, value: Any) -> Any:
        seen, made = self._last
        if seen is not value or value is None:
            made = self._step(value)
            self._last = (value, made)
        return made
