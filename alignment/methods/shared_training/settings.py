"""Settings of stages: frozen dataclasses of plain values, each field with its meaning, unit and range.

What a field says (`About`) is read by documentation and forms, and checked when a spec is read. The classes here
hold what several methods share; each method's own stand in its folder. No training library is imported here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from typing import Any, ClassVar, Literal, Self, TypeVar

from alignment.errors import StageError
from alignment.methods.shared_training.scale import CYCLES, passes_for, rate_for
from alignment.stage.spec import PROCESS, VLLM, Setting

Value = TypeVar("Value")

_WORDS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
DTYPES = ("auto", "bf16", "fp32")
ROLLOUTS_FROM = (PROCESS, VLLM)
Loss = Literal["sigmoid", "ipo", "robust", "length-normalised"]  # of pairs; see `preference_losses`


@dataclass(frozen=True, slots=True)
class About:
    """What a setting means, its unit, what 0 or nothing stands for (`zero`), and which values it takes."""

    words: str
    unit: str = ""
    zero: str = ""
    least: float | None = None
    above: float | None = None
    most: float | None = None
    below: float | None = None
    choices: tuple[str, ...] = ()

    @property
    def range(self) -> str:
        """The values in words, as "at least 0 and below 0.5"; empty where every value of the type will do."""
        if self.choices:
            return f"one of {', '.join(self.choices)}"
        if self.least is not None and self.most is not None:
            return f"between {self.least:g} and {self.most:g}"
        bounds = {"at least": self.least, "above": self.above, "at most": self.most, "below": self.below}
        return " and ".join(f"{words} {bound:g}" for words, bound in bounds.items() if bound is not None)

    def takes(self, value: Setting) -> bool:
        """Whether a value of the right type is in range; no number that is infinite or none is."""
        if isinstance(value, str):
            return not self.choices or value in self.choices
        return math.isfinite(value) and (
            (self.least is None or value >= self.least)
            and (self.above is None or value > self.above)
            and (self.most is None or value <= self.most)
            and (self.below is None or value < self.below)
        )


def setting(default: Value, words: str, **about: Any) -> Value:
    """A field of a stage's settings; `about` as in `About`."""
    found: Value = field(default=default, metadata={"about": About(words, **about)})
    return found


@dataclass(frozen=True)  # without slots, so that a method may inherit from two of these
class StageSettings:
    """What every stage's settings are. `STAGE` names the stage in sentences."""

    STAGE: ClassVar[str] = ""

    @classmethod
    def read(cls, values: Mapping[str, Setting]) -> Self:
        """Settings from a spec; a value is converted to its default's type.

        Raises `StageError` naming a setting that does not exist, or one whose value is none or out of range.
        """
        known = {each.name: each for each in fields(cls)}
        unknown = sorted(set(values) - set(known))
        if unknown:
            raise StageError(f"{cls.STAGE} has no setting {', '.join(unknown)}; it has {', '.join(sorted(known))}.")
        settings = cls(**{name: cls._value(known[name], value) for name, value in values.items()})
        for sentence, holds in settings.conditions().items():
            if not holds:
                raise StageError(f"{cls.STAGE}'s {sentence}.")
        return settings

    @classmethod
    def _value(cls, one: Field[Any], value: Setting) -> Setting:
        kind: Any = _truth if isinstance(one.default, bool) else type(one.default)
        try:
            read: Setting = kind(value)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise StageError(f"{cls.STAGE}'s setting {one.name} cannot be {value!r}.") from error
        about = about_of(one)
        if not about.takes(read):
            shown = f"{read:g}" if isinstance(read, int | float) else repr(read)
            raise StageError(f"{cls.STAGE}'s {one.name} must be {about.range or 'a finite number'}, not {shown}.")
        return read

    def conditions(self) -> Mapping[str, bool]:
        """Sentences about several settings together (after the stage's name and 's), and whether each holds."""
        return {}


def about_of(one: Field[Any]) -> About:
    """What a field of a settings class says of itself."""
    found: About = one.metadata["about"]
    return found


@dataclass(frozen=True)
class MachineSettings(StageSettings):
    """How a stage computes."""

    dtype: str = setting("auto", "precision; auto is bf16 where the processor has it", choices=DTYPES)
    threads: int = setting(0, "processors used where there is no GPU", zero="by the model's size", least=0)


@dataclass(frozen=True)
class AdapterSettings(MachineSettings):
    """An adapter that is trained, and how fast. `SMALL_MODEL_RATE` is the rate for a small model."""

    SMALL_MODEL_RATE: ClassVar[float] = 1e-3

    rate: float = setting(0.0, "peak learning rate; it decays linearly to 0", zero="by the model's size", least=0)
    rank: int = setting(16, "rank of the adapter", least=1)
    alpha: int = setting(32, "scale of the adapter (LoRA's α)", least=1)
    max_length: int = setting(
        0, "longest prompt and answer together", unit="tokens", zero="the model's window", least=0
    )

    def rate_for(self, hidden: int) -> float:
        """Peak learning rate for a model of this hidden size."""
        return self.rate or rate_for(hidden, self.SMALL_MODEL_RATE)


@dataclass(frozen=True)
class PolicySettings(AdapterSettings):
    """A policy's adapter."""

    layers: float = setting(
        0.0,
        "share of the layers that get an adapter, counted from the last",
        zero="by the model's size",
        least=0,
        most=1,
    )


@dataclass(frozen=True)
class PassesSettings(AdapterSettings):
    """Training on rows that were collected: about `ROWS_SEEN` rows × passes in all, at most `MAX_EPOCHS` passes.

    Unless `epochs` is set, a run is topped up until the policy has moved far enough (`top_up_schedule`).
    """

    ROWS_SEEN: ClassVar[int] = 0
    MAX_EPOCHS: ClassVar[int] = 1

    epochs: float = setting(0.0, "passes over the rows", zero="by their number, and topped up", least=0)
    batch: int = setting(8, "rows a step", least=1)

    def epochs_for(self, rows: int) -> float:
        """Passes over so many rows."""
        return self.epochs or passes_for(rows, self.ROWS_SEEN, self.MAX_EPOCHS)

    def steps_for(self, rows: int) -> int:
        """Optimiser steps of one cycle; an incomplete batch at a pass's end is one too."""
        return math.ceil(math.ceil(rows / self.batch) * self.epochs_for(rows))

    @property
    def cycles(self) -> int:
        """How many times as long as its first cycle a run may become."""
        return 1 if self.epochs else CYCLES


@dataclass(frozen=True)
class RowsSettings(PassesSettings, PolicySettings):
    """A policy that learns from rows that were collected."""


@dataclass(frozen=True)
class AnsweringSettings(MachineSettings):
    """A stage that answers prompts itself."""

    prompts: str = setting("", "a JSONL file of prompts, beside the dataset's", zero="the dataset's alone")
    min_prompts: int = setting(8, "different prompts that are needed", least=1)
    temperature: float = setting(1.0, "sampling temperature", above=0)
    max_tokens: int = setting(96, "longest answer", unit="tokens", least=1)


@dataclass(frozen=True)
class OnlineSettings(PolicySettings, AnsweringSettings):
    """A stage that samples answers while it trains, and is rewarded for them by a reward model."""

    steps: int = setting(8, "steps, each with fresh answers", least=1)
    beta: float = setting(0.05, "coefficient of the KL to the reference model", least=0)
    missing_end: float = setting(1.0, "taken off the reward of an unfinished answer", unit="spreads", least=0)
    rollouts_from: str = setting(
        PROCESS,
        "where answers are sampled: in the training process, or by the running vLLM under a name of the policy's own",
        choices=ROLLOUTS_FROM,
    )
    vllm_url: str = setting("", "vLLM's address, for rollouts_from=vllm; a round fills it in", zero="none")

    def conditions(self) -> Mapping[str, bool]:
        """See `StageSettings`."""
        needs = "rollouts_from=vllm needs vllm_url, as http://127.0.0.1:8161"
        return {needs: self.rollouts_from == PROCESS or bool(self.vllm_url)}


def _truth(value: Setting) -> bool:
    return value if isinstance(value, bool) else _WORDS[str(value).lower()]
