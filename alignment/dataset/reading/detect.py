"""From a record to how it is read: the preset that knows it, or its columns by their names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from alignment.dataset.reading import names
from alignment.dataset.reading.cells import filled, opened
from alignment.dataset.reading.columns import read_columns
from alignment.dataset.reading.feedback import Feedback, Record, Skip
from alignment.dataset.reading.generic import Plan, plan_of
from alignment.dataset.reading.mapping import ColumnMap
from alignment.dataset.reading.presets import MAPS, NAMED, SHAPES, Preset
from alignment.dataset.reading.shapes.table import unescaped
from alignment.dataset.reading.transcripts import begins_plainly, is_dialogue
from alignment.dataset.reading.ways import Ways
from alignment.errors import ReadingProblem

MOST_PLANS = 1000  # kinds of records that are remembered; a file of more has no columns to speak of
GENERIC = ("llama-factory", "openai-chat", "trl-unpaired", "hh", "trl", "two-answers", "ranked", "prompt-completion")
NAMES = tuple(dict.fromkeys([*(preset.name for preset in (*SHAPES, *MAPS)), *GENERIC]))


@dataclass(frozen=True, slots=True)
class Way:
    """How a record is read: the name of its format, and what reads it.

    `preset` where it is a join; `columns` where a map reads it.
    """

    format: str
    read: Callable[[Record], list[Feedback]]
    preset: Preset | None = None
    columns: ColumnMap | None = None


@dataclass(frozen=True, slots=True)
class _Keys:
    """Of the keys of a record: the shapes it may be of, and the names to compare by, None where they are those."""

    shapes: tuple[Preset, ...]
    low: tuple[str, ...] | None


@dataclass(slots=True)
class Detector:
    """Remembers how records of the same keys are read. `table`: cells are texts, as in CSV."""

    ways: Ways
    table: bool = False
    known: dict[tuple[Any, ...], tuple[Plan | Preset, ...]] = field(default_factory=dict)
    _keys: dict[tuple[str, ...], _Keys] = field(default_factory=dict)

    def way(self, record: Record, only: str = "") -> Way:
        """How a record is read; with `only`, by this format or not at all. Raises `ReadingProblem`."""
        if only in NAMED:
            return Way(only, lambda each: NAMED[only](each, self.ways))
        for shape in self._about(record).shapes:
            if only in ("", shape.name) and shape.own and shape.own(record):
                return Way(shape.name, partial(self._shape, shape), shape if shape.join else None)
        low = self._fold(record)
        mark = tuple([(key, _kind(value)) for key, value in low.items()])
        if mark not in self.known:
            if len(self.known) >= MOST_PLANS:
                self.known.clear()
            self.known[mark] = (_planned(low, self.table, only),)
        (plan,) = self.known[mark]
        if isinstance(plan, Preset):
            return Way(plan.name, partial(self._mapped, plan), columns=plan.columns)
        if only and plan.format != only:
            raise ReadingProblem(f"A record is of the format {plan.format}, not {only}.")
        return Way(plan.format, partial(self._planned, plan), columns=plan.columns)

    def _about(self, record: Record) -> _Keys:
        """What the keys of a record say, remembered."""
        keys = tuple(record)
        known = self._keys.get(keys)
        if known is None:
            if len(self._keys) >= MOST_PLANS:
                self._keys.clear()
            known = self._keys[keys] = _keys_of(keys)
        return known

    def _fold(self, record: Record) -> Record:
        """As `fold`; the record itself where its names are folded already."""
        low = self._about(record).low
        return record if low is None else dict(zip(low, record.values(), strict=True))

    def _shape(self, preset: Preset, record: Record) -> list[Feedback]:
        assert preset.read is not None
        return preset.read(record, self.ways)

    def _mapped(self, preset: Preset, record: Record) -> list[Feedback]:
        assert preset.columns is not None
        record = self._fold(record)
        used = {path[0] for paths in preset.columns.paths().values() for path in paths}
        self.ways.unread(
            tuple(
                key for key, value in record.items() if key not in used and filled(value) and not names.describes(key)
            )
        )
        return read_columns(record, preset.columns, self.ways)

    def _planned(self, plan: Plan, record: Record) -> list[Feedback]:
        record = self._fold(record)
        self.ways.unread(plan.left)
        self.ways.asked |= plan.asks
        if self.table:
            record = {key: unescaped(cell) if isinstance(cell, str) else cell for key, cell in record.items()}
        return read_columns(record, plan.columns, self.ways)


def _planned(record: Mapping[str, Any], table: bool, only: str) -> Plan | Preset:
    showing = [preset for preset in MAPS if preset.shows(record)]
    for preset in showing:
        if only in ("", preset.name):
            return preset
    if showing:
        raise ReadingProblem(f"A record is of the format {showing[0].name}, not {only}.")
    return plan_of(record, table)


def fold(record: Record) -> Record:
    """The record under the names that columns are compared by; two that would become one are left as they are."""
    low = _keys_of(tuple(record)).low
    return dict(record) if low is None else dict(zip(low, record.values(), strict=True))


def _keys_of(keys: tuple[str, ...]) -> _Keys:
    low = tuple(names.folded(str(key)) for key in keys)
    shapes = tuple(shape for shape in SHAPES if shape.may_own(keys))
    return _Keys(shapes, None if low == keys or len(set(low)) < len(low) else low)


def _kind(value: object) -> object:
    """What of a value decides how its record is read."""
    if isinstance(value, str):
        if begins_plainly(value):
            return "text"
        if value.lstrip()[:1] in ("[", "{"):
            inner = opened(value)
            return (str, _kind(inner)) if inner is not value else "text"
        return "dialogue" if is_dialogue(value) else "text" if value.strip() else ""
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, (int, float)):
        return float
    if isinstance(value, Mapping):
        return tuple(value)
    if isinstance(value, (list, tuple)):
        first = value[0] if value else None
        return (list, tuple(first) if isinstance(first, Mapping) else type(first))
    return type(value)


def detect(record: Record) -> str:
    """The format of a file by one of its records. Raises `ReadingProblem` when it is none that can be read."""
    return Detector(Ways()).way(record).format


def reader(format: str) -> Callable[[Record], list[Feedback]]:
    """A reader of single records of one format. It raises `Skip` on a record that is of another."""

    def read(record: Record) -> list[Feedback]:
        try:
            way = Detector(Ways(), table=format == "csv").way(record, format)
        except ReadingProblem as error:
            raise Skip("a key is missing or of another kind") from error
        if way.preset is not None and way.preset.join is not None:
            return way.preset.join([record], Ways())
        return way.read(record)

    return read
