"""The HTTP routes behind a real server on loopback, over the fake vLLM, and OpenAI's own client."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import httpx
import pytest
import uvicorn
from fastapi import FastAPI
from openai import AsyncOpenAI

from feedback_app.collect.admission import Load
from tests.serving.fake_vllm import FakeVllm, running
from tests.waiting import until

if TYPE_CHECKING:
    from feedback_app.collect.admission import Admission
    from feedback_app.settings import Settings
    from feedback_app.store.database import Store
    from serving.client import VllmClient
    from serving.inflight import InFlight


@contextlib.asynccontextmanager
async def served_app(app: FastAPI) -> AsyncIterator[str]:
    """Serve an app on loopback in this event loop; yields its base URL."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", lifespan="off"))
    task = asyncio.create_task(server.serve())
    await until(lambda: server.started)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        await task


@dataclass
class Site:
    """The running routes and everything behind them."""

    url: str
    store: Store
    fake: FakeVllm
    client: VllmClient
    inflight: InFlight
    policy: str  # the name under which vLLM knows policy-0001
    admission: Admission
    settings: Settings
    one: Load = field(default_factory=lambda: Load(10, 20))  # what one short question asks of vLLM
    keys: dict[str, str] = field(default_factory=dict)

    def deadline(self, seconds: float) -> None:
        """Let requests live this long from now on."""
        vars(self.settings)["request_deadline_s"] = seconds

    def parser(self, name: str) -> None:
        """Have vLLM read calls of tools from now on, or no longer."""
        vars(self.settings)["tool_parser"] = name

    def add(self, name: str, role: str) -> None:
        """Add a person without the cost of a password, and remember their key."""
        from feedback_app.collect.people import new_key

        self.keys[name] = new_key(self.store, self.store.people.add(name, role, ""))

    def openai(self, key: str, **options: object) -> AsyncOpenAI:
        """OpenAI's client with this key. It does not try again, so that each error is seen."""
        options = {"max_retries": 0, "http_client": httpx.AsyncClient(trust_env=False), **options}
        return AsyncOpenAI(base_url=f"{self.url}/v1", api_key=key, **options)  # type: ignore[arg-type]


@pytest.fixture
async def site(store: Store) -> AsyncIterator[Site]:
    """A site with a chatter, an annotator and an operator, where `policy` means the adapter policy-0001."""
    from feedback_app.api.feedback import build_feedback
    from feedback_app.api.health import build_health
    from feedback_app.api.limits import Limits, bounds
    from feedback_app.api.not_offered import build_not_offered
    from feedback_app.api.openai_routes import build_door
    from feedback_app.collect.admission import Admission
    from feedback_app.domain.judging import Signal
    from feedback_app.settings import Settings
    from feedback_app.store.tables import Version
    from serving.client import VllmClient
    from serving.inflight import InFlight
    from serving.model_check import ModelFacts

    for name, kind, form in (("base", "base", "full"), ("policy-0001", "aligned", "adapter")):
        store.versions.add(
            Version(name=name, kind=kind, form=form, path="/m", base_hash="b", artifact_hash="a" + name, created_at=1)
        )
    store.versions.publish("policy-0001", "first")
    policy = store.versions.get("policy-0001")
    assert policy is not None
    async with running(FakeVllm()) as fake, VllmClient(fake.url, timeout_s=10) as client:
        fake.bases = ("base", "base-b")
        fake.adapters[policy.served_name] = "/a/1"
        facts = ModelFacts(
            "template", "weights", 512, 0.9, "LlamaForCausalLM", turn_tokens=("<|im_end|>", "<|im_start|>")
        )
        inflight, admission = InFlight(), Admission(4)
        app = FastAPI()
        settings = Settings(request_deadline_s=10)
        app.include_router(
            build_door(store=store, vllm=client, settings=settings, facts=facts, inflight=inflight, admission=admission)
        )
        app.include_router(build_feedback(store=store, kept=frozenset({Signal.EDIT})))
        app.include_router(build_not_offered(store))
        app.include_router(build_health(store=store, vllm=client))
        app.add_middleware(Limits, store=store, table=bounds(settings, {}))
        async with served_app(app) as url:
            site = Site(url, store, fake, client, inflight, policy.served_name, admission, settings)
            for name, role in (("chi", "chatter"), ("ann", "annotator"), ("ope", "operator")):
                site.add(name, role)
            yield site


@pytest.fixture
async def ask(site: Site) -> AsyncIterator[Callable[[str], AsyncOpenAI]]:
    """OpenAI's client by the person's name."""
    clients: dict[str, AsyncOpenAI] = {}

    def client(name: str) -> AsyncOpenAI:
        if name not in clients:
            clients[name] = site.openai(site.keys[name])
        return clients[name]

    yield client
    for open_client in clients.values():
        await open_client.close()
