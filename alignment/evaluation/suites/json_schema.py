"""JSON in an answer, and the part of JSON Schema (2020-12) that a suite's checks may use.

A word that is not checked here is refused when the schema is read, so that nothing passes unlooked at: no `$ref`, no
formats. Standard library only.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sized
from dataclasses import dataclass
from typing import Any

_FENCED = re.compile(r"```[a-zA-Z0-9]*[ \t]*\n(.*?)```", re.DOTALL)
_SAID = {"$schema", "$id", "$comment", "title", "description", "default", "examples"}  # they check nothing


@dataclass(frozen=True, slots=True)
class Found:
    """A JSON value that an answer holds; `value` may be null."""

    value: Any


def json_in(answer: str) -> Found | None:
    """The JSON value that the whole answer is, else that of its first fenced block; None when there is none."""
    for text in (answer, *_FENCED.findall(answer)[:1]):
        try:
            return Found(json.loads(text, parse_constant=_refused))
        except (ValueError, RecursionError):
            continue
    return None


class Schema:
    """A schema that was read; raises `ValueError` on a word that is not checked here, or one with a wrong value."""

    def __init__(self, raw: Any) -> None:
        self._checks: list[Callable[[Any], bool]] = []
        if raw is True:
            return
        if raw is False:
            self._checks.append(lambda value: False)
            return
        if not isinstance(raw, Mapping):
            raise ValueError("a schema is an object, true or false")
        for word, given in raw.items():
            if word not in _SAID:
                self._checks.append(self._read(word, given, raw))

    def accepts(self, value: Any) -> bool:
        """Whether the schema takes this JSON value."""
        return all(check(value) for check in self._checks)

    def _read(self, word: str, given: Any, raw: Mapping[str, Any]) -> Callable[[Any], bool]:
        match word:
            case "type":
                return _type(given)
            case "enum" if isinstance(given, list):
                return lambda value: any(same(value, each) for each in given)
            case "const":
                return lambda value: same(value, given)
            case "anyOf" | "allOf" | "oneOf" if isinstance(given, list) and given:
                schemas, need = [Schema(each) for each in given], {"anyOf": any, "allOf": all, "oneOf": _one}[word]
                return lambda value: bool(need(schema.accepts(value) for schema in schemas))
            case "not":
                refused = Schema(given)
                return lambda value: not refused.accepts(value)
            case "properties" if isinstance(given, Mapping):
                by_name = {name: Schema(each) for name, each in given.items()}
                return lambda value: (
                    not isinstance(value, dict)
                    or all(by_name[name].accepts(each) for name, each in value.items() if name in by_name)
                )
            case "additionalProperties":
                named, others = frozenset(raw.get("properties", {})), Schema(given)
                return lambda value: (
                    not isinstance(value, dict)
                    or all(others.accepts(each) for name, each in value.items() if name not in named)
                )
            case "required" if isinstance(given, list) and all(isinstance(name, str) for name in given):
                return lambda value: not isinstance(value, dict) or all(name in value for name in given)
            case "items":
                every = Schema(given)
                return lambda value: not isinstance(value, list) or all(map(every.accepts, value))
            case "uniqueItems" if isinstance(given, bool):
                return lambda value: not given or not isinstance(value, list) or _unique(value)
            case "pattern" if isinstance(given, str):
                pattern = _compiled(given)
                return lambda value: not isinstance(value, str) or pattern.search(value) is not None
            case "minItems" | "maxItems":
                return _size(list, word, given)
            case "minLength" | "maxLength":
                return _size(str, word, given)
            case "minProperties" | "maxProperties":
                return _size(dict, word, given)
            case "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum" if _is_number(given):
                return _bound(word, given)
        if word in _WORDS:
            raise ValueError(f"the schema's {word} has a value that it cannot have")
        raise ValueError(f"the schema's word {word} is not checked here")


def same(left: Any, right: Any) -> bool:
    """Whether two JSON values are equal: true is not 1, but 1.0 is."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(each, right[name]) for name, each in left.items())
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    return bool(left == right)


_TYPES: Mapping[str, Callable[[Any], bool]] = {
    "null": lambda value: value is None,
    "boolean": lambda value: isinstance(value, bool),
    "integer": lambda value: _is_number(value) and (isinstance(value, int) or value.is_integer()),
    "number": lambda value: _is_number(value),
    "string": lambda value: isinstance(value, str),
    "array": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, dict),
}
_WORDS = {
    *("type", "enum", "const", "anyOf", "allOf", "oneOf", "not", "properties", "additionalProperties", "required"),
    *("items", "uniqueItems", "pattern", "minItems", "maxItems", "minLength", "maxLength"),
    *("minProperties", "maxProperties", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"),
}


def _type(given: Any) -> Callable[[Any], bool]:
    names = given if isinstance(given, list) else [given]
    if not names or not all(isinstance(name, str) and name in _TYPES for name in names):
        raise ValueError(f"the schema's type is one or some of {', '.join(_TYPES)}")
    return lambda value: any(_TYPES[name](value) for name in names)


def _size(kind: type[Sized], word: str, given: Any) -> Callable[[Any], bool]:
    if not _TYPES["integer"](given) or given < 0:
        raise ValueError(f"the schema's {word} has a value that it cannot have")
    if word.startswith("min"):
        return lambda value: not isinstance(value, kind) or len(value) >= given
    return lambda value: not isinstance(value, kind) or len(value) <= given


def _bound(word: str, given: float) -> Callable[[Any], bool]:
    within: Mapping[str, Callable[[float], bool]] = {
        "minimum": lambda value: value >= given,
        "maximum": lambda value: value <= given,
        "exclusiveMinimum": lambda value: value > given,
        "exclusiveMaximum": lambda value: value < given,
    }
    check = within[word]
    return lambda value: not _is_number(value) or check(value)


def _compiled(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except re.error as error:
        raise ValueError(f"the schema's pattern cannot be read: {error}") from error


def _is_number(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int) and not isinstance(value, bool)


def _one(found: Iterable[object]) -> bool:
    return sum(map(bool, found)) == 1


def _unique(values: list[Any]) -> bool:
    return not any(same(left, right) for at, left in enumerate(values) for right in values[:at])


def _refused(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON")
