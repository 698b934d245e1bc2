"""A store with a served model, people, and the parts that answer; the model is the shared fake."""

from __future__ import annotations

import random
from typing import Any

import pytest

from feedback_app.collect.answer import Answers
from feedback_app.collect.tasks import Comparing
from feedback_app.settings import Settings
from feedback_app.store.database import Store
from feedback_app.store.tables import Person
from serving.model_check import ModelFacts
from tests.fakes import FakeVllm
from tests.feedback_app.builders import add_version

PROMPTS = [f"Prompt number {number}?" for number in range(6)]


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings of a model that reads 100 tokens and writes at most 20."""
    for name in ("DATABASE_URL", "ALIGNLOOP_MODEL"):
        monkeypatch.delenv(name, raising=False)
    return Settings(context_tokens=120, max_tokens=20, temperature=0.7, ticket_ttl_s=3600, request_deadline_s=5)


@pytest.fixture
def served_store(sqlite_store: Store) -> Store:
    """A store in which the base model is registered and published."""
    add_version(sqlite_store)
    sqlite_store.versions.publish("base", "first")
    return sqlite_store


@pytest.fixture
def ada(sqlite_store: Store) -> Person:
    """An annotator."""
    return sqlite_store.people.add("ada", "annotator", "")


@pytest.fixture
def ben(sqlite_store: Store) -> Person:
    """A chatter."""
    return sqlite_store.people.add("ben", "chatter", "")


@pytest.fixture
def facts() -> Any:
    """What is known of the model."""
    return ModelFacts("t" * 64, "w" * 64, 1024, 0.9, "X", turn_tokens=("<|assistant|>",), longest_token=16)


@pytest.fixture
def answers(served_store: Store, vllm: FakeVllm, settings: Settings, facts: Any) -> Answers:
    """Answers with seeds that repeat from test to test."""
    return Answers(served_store, vllm, settings, facts, random.Random(1))  # type: ignore[arg-type]


@pytest.fixture
def comparing(answers: Answers) -> Comparing:
    """Comparing with sides that repeat from test to test."""
    return Comparing(answers, PROMPTS, random.Random(2))
