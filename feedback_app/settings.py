"""One typed, frozen object with every setting, read once at the entry and handed down.

Read from `ALIGNLOOP_*` variables, then from `alignloop.toml` in the working folder; `DATABASE_URL` and
`HF_TOKEN` keep their usual names. This module starts nothing and creates no folder.
"""

from __future__ import annotations

import ipaddress
from enum import StrEnum
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from feedback_app.domain.judging import Signal
from feedback_app.domain.votes import Promote as Promote
from feedback_app.errors import UsageError
from feedback_app.home_model import model_of
from serving.named_models import folder_of

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class TrainOn(StrEnum):
    """Where training runs relative to vLLM."""

    BESIDE = "beside"
    PAUSE = "pause"
    ELSEWHERE = "elsewhere"


class PersonalData(StrEnum):
    """What happens to personal data and secrets in exports and in rounds' snapshots."""

    OFF = "off"
    FLAG = "flag"
    REPLACE = "replace"


def shipped_data() -> Path:
    """The folder of shipped data: `data/` of a checkout, or the copy inside the installed package."""
    checkout = Path(__file__).resolve().parent.parent / "data"
    if (checkout / "DOMAIN.md").is_file():
        return checkout
    return Path(str(files("feedback_app") / "_data"))


class Home(BaseSettings):
    """Where alignloop keeps what it has: read alone where another setting may be what is wrong."""

    model_config = SettingsConfigDict(
        env_prefix="ALIGNLOOP_", toml_file="alignloop.toml", frozen=True, extra="ignore", populate_by_name=True
    )

    home: Path = Field(Path(".alignloop"), description="runtime state: database, snapshots, versions, logs")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)


class Settings(Home):
    """Every setting of alignloop. Times are in seconds (`_s`), sizes say their unit."""

    host: str = Field("127.0.0.1", description="address the app listens on")
    port: int = Field(7860, ge=0, le=65535, description="port the app listens on")
    model: str = Field(
        "",
        description="the SFT model: tiny, smollm2, a folder or a hub name. "
        "Default what this home was begun with, and tiny in a new one",
    )
    vllm_port: int = Field(8161, ge=1, le=65535, description="loopback port of our own vLLM")
    vllm_args: str = Field("", description="further arguments for vLLM, as on a command line")
    vllm_url: str = Field("", description="a vLLM that runs elsewhere, for instance http://10.0.0.5:8000")
    tool_parser: str = Field(
        "",
        pattern=r"^[A-Za-z0-9_.-]*$",
        description="vLLM's parser of the model's tool calls, for instance hermes: with one, requests with tools are "
        "answered. A vLLM that runs elsewhere must have been started with it; none by default",
    )
    vllm_adapters: str = Field("", description="the folder under which that vLLM sees ALIGNLOOP_HOME/versions")
    vllm_kv_gib: int | None = Field(
        None, ge=1, description="KV cache of our own vLLM on CPU, GiB; default by a rule that `alignloop doctor` says"
    )
    vllm_threads: int | None = Field(
        None, ge=1, description="threads of our own vLLM on CPU; default by a rule that `alignloop doctor` says"
    )
    max_lora_rank: int = Field(16, description="largest adapter rank vLLM makes room for")
    max_loras: int = Field(6, ge=2, description="adapters vLLM holds ready at once")
    operator_password: SecretStr | None = Field(None, description="the first operator's password; else generated")
    promote: Promote = Field(Promote.ON_PASS, description="manual, on_pass or on_evidence (scripted votes never count)")
    train_on: TrainOn | None = Field(
        None, description="beside, pause or elsewhere; default beside on CPU, pause on one GPU"
    )
    train_launcher: str = Field("", description="with train_on=elsewhere: command put before the stage's own command")
    temperature: float | None = Field(None, ge=0, le=2, description="serving temperature; default the model's own")
    max_tokens: int = Field(192, ge=1, description="longest answer, tokens")
    context_tokens: int = Field(1024, ge=64, description="the model's window, tokens, at most what the model allows")
    system_prompt: str = Field("", description="a system prompt put before every conversation of the pages")
    prompts: Path | None = Field(
        None,
        description="a file or folder of your own prompts, for comparing, training and evaluating alike: JSON lines, "
        "a table with a column prompt, or a prompt a line. Default the set that `alignloop prompts use` chose, else "
        "the shipped one that fits the model",
    )
    request_deadline_s: float = Field(
        120, gt=0, description="longest life of one request for an answer; at most half of it is spent waiting"
    )
    answers_at_once: int | None = Field(
        None,
        ge=1,
        description="answers that vLLM writes at once, over all people; more wait their turn. "
        "Default on CPU 32 a core, at most 128; else 256",
    )
    door_body_kib: int = Field(4096, ge=1, description="largest chat request of /v1, KiB")
    feedback_body_kib: int = Field(1024, ge=1, description="largest request of /v1/feedback, KiB")
    ticket_ttl_s: float = Field(24 * 3600, gt=0, description="how long a ticket may be judged")
    session_ttl_s: float = Field(30 * 24 * 3600, gt=0, description="how long a sign-in lasts")
    votes: int = Field(60, ge=1, description="blind votes a challenger needs before its test")
    gold_share: float = Field(
        0.05, ge=0, le=0.5, description="share of comparisons whose answer is known, once `alignloop gold` brought some"
    )
    repeat_share: float = Field(
        0.03,
        ge=0,
        le=0.5,
        description="share of comparisons that are an earlier one of the same person again, "
        "to learn how steady people are",
    )
    signals: str = Field(
        "",
        description="what people do without being asked, kept and offered to training: "
        "some of retry, copy, stop, edit, abandoned, thanks with commas between, or all; off by default",
    )
    evaluation_prompts: int = Field(64, ge=8, description="prompts sampled for KL, length and repetition guards")
    capability_questions: int = Field(600, ge=0, description="capability questions asked per evaluation of tiny")
    evaluation_minutes: float = Field(
        8, gt=0, description="minutes that an evaluation may ask suites and fresh answers: they decide how many"
    )
    secure_cookies: bool = Field(False, description="mark cookies Secure; set it behind HTTPS")
    proxies: str = Field(
        "",
        description="addresses or networks of reverse proxies in front of the app, with commas between: only their "
        "X-Forwarded-For or Forwarded is believed; nobody's by default",
    )
    personal_data: PersonalData = Field(
        PersonalData.FLAG,
        description="personal data and secrets in exports and snapshots: off, flag (count them) or replace",
    )
    database_url: str = Field(
        "", validation_alias="DATABASE_URL", description="PostgreSQL or SQLite; default SQLite in home"
    )
    hf_token: SecretStr | None = Field(None, validation_alias="HF_TOKEN", description="token for gated hub models")

    @field_validator("signals")
    @classmethod
    def _known_signals(cls, words: str) -> str:
        _signals(words)
        return words

    @field_validator("proxies")
    @classmethod
    def _known_networks(cls, words: str) -> str:
        _networks(words)
        return words

    @property
    def trusted_proxies(self) -> tuple[Network, ...]:
        """The networks whose word about who asks is believed."""
        return _networks(self.proxies)

    @property
    def kept_signals(self) -> frozenset[Signal]:
        """The kinds of signals that are kept; none by default."""
        return _signals(self.signals)

    @property
    def data(self) -> Path:
        """The shipped data."""
        return shipped_data()

    @property
    def model_name(self) -> str:
        """The model as people name it: `tiny`, `smollm2`, a folder or a hub name."""
        return self.model or model_of(self.home)

    @property
    def embedded(self) -> bool:
        """Whether the model is the one that ships."""
        return self.model_source == self.shipped_model

    @property
    def shipped_model(self) -> str:
        """The folder of the model that ships."""
        return str(self.data / "model")

    @property
    def model_source(self) -> str:
        """The folder that vLLM and transformers load; `preflight.prepare_model` makes it where it is not there yet."""
        return str(folder_of(self.model_name, Path(self.shipped_model)))

    @property
    def database(self) -> str:
        """SQLAlchemy URL of the database."""
        return self.database_url or f"sqlite:///{(self.home / 'alignloop.db').resolve()}"

    @property
    def vllm_address(self) -> str:
        """Base URL of the vLLM to ask, without a trailing slash."""
        return self.vllm_url.rstrip("/") or f"http://127.0.0.1:{self.vllm_port}"

    @property
    def versions_dir(self) -> Path:
        """Where artifacts of trained versions live; files here never change once written."""
        return self.home / "versions"


def _signals(words: str) -> frozenset[Signal]:
    """The kinds that a setting names. Raises `ValueError` on another word."""
    names = [word.strip() for word in words.split(",") if word.strip()]
    unknown = [name for name in names if name not in (*Signal, "all")]
    if unknown:
        raise ValueError(f"there is no signal {unknown[0]}; name some of {', '.join(Signal)}, or all")
    return frozenset(Signal) if "all" in names else frozenset(map(Signal, names))


def _networks(words: str) -> tuple[Network, ...]:
    """The networks that a setting names. Raises `ValueError` on anything else."""
    return tuple(ipaddress.ip_network(word.strip()) for word in words.split(",") if word.strip())


def read_settings(**overrides: Any) -> Settings:
    """Read the settings once. Raises `UsageError` naming the setting that is wrong."""
    try:
        return Settings(**overrides)
    except ValidationError as error:
        first = error.errors()[0]
        name = "ALIGNLOOP_" + "_".join(str(part) for part in first["loc"]).upper()
        raise UsageError(f"{name} is not valid: {first['msg']}. Correct it and start again.") from error
    except ValueError as error:
        raise UsageError(f"alignloop.toml cannot be read: {error}. Correct it or remove it.") from error


def read_home() -> Path:
    """The home alone, whatever is wrong with other settings; the default one where `alignloop.toml` is no TOML."""
    try:
        return Home().home
    except ValueError:
        return Path(str(Home.model_fields["home"].default))
