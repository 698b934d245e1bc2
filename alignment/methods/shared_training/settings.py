"""Reading a stage's settings from its spec: each method's settings are one frozen dataclass of plain values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from alignment.errors import StageError
from alignment.stage.spec import PROCESS, VLLM, Setting

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    Settings = TypeVar("Settings", bound=DataclassInstance)

_WORDS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
DTYPES = ("auto", "bf16", "fp32")
ROLLOUTS_FROM = (PROCESS, VLLM)
Loss = Literal["sigmoid", "ipo", "robust", "length-normalised"]  # of pairs; see `preference_losses`


def read_settings(kind: type[Settings], stage: str, values: Mapping[str, Setting]) -> Settings:
    """An instance of `kind`, whose fields all have defaults; a value is converted to its default's type.

    Raises `StageError` naming a setting that does not exist or a value that is none.
    """
    kinds: dict[str, Callable[[Any], Any]] = {}
    for entry in fields(kind):
        kinds[entry.name] = _truth if isinstance(entry.default, bool) else type(entry.default)
    unknown = sorted(set(values) - set(kinds))
    if unknown:
        raise StageError(f"{stage} has no setting {', '.join(unknown)}; it has {', '.join(sorted(kinds))}.")
    read = {}
    for name, value in values.items():
        try:
            read[name] = kinds[name](value)
        except (KeyError, TypeError, ValueError) as error:
            raise StageError(f"{stage}'s setting {name} cannot be {value!r}.") from error
    return kind(**read)


def require(stage: str, conditions: Mapping[str, bool]) -> None:
    """Raise `StageError` with the first sentence whose condition does not hold, as "kto's beta must be above 0"."""
    for sentence, holds in conditions.items():
        if not holds:
            raise StageError(f"{stage}'s {sentence}.")


def _truth(value: Setting) -> bool:
    return value if isinstance(value, bool) else _WORDS[str(value).lower()]
