"""Roles are held by the server: raw POSTs to Gradio's own routes, with invented values, reach nothing they may not."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from feedback_app.collect.answer import like_ticket
from feedback_app.store.tables import Completion
from tests.browser.stage import PASSWORD

if TYPE_CHECKING:
    from tests.browser.stage import Stage

PAGES = {"/": "charlie", "/compare/": "anna", "/rank/": "anna", "/operate/": "operator"}


@contextmanager
def signed_in(stage: Stage, name: str) -> Iterator[httpx.Client]:
    """A program with this person's session, once the pages are loaded."""
    with httpx.Client(base_url=stage.url, timeout=60) as client:
        assert client.post("/sign-in", data={"name": name, "password": PASSWORD}).status_code == 303
        deadline = time.monotonic() + 120
        while not client.get("/config").headers["content-type"].startswith("application/json"):
            assert time.monotonic() < deadline, "the pages were not loaded in time"
            time.sleep(0.2)
        yield client


def component(client: httpx.Client, page: str) -> int:
    """The id of the page's one component; any number where the page is refused."""
    config = client.get(page + "config")
    return config.json()["components"][0]["id"] if config.status_code == 200 else 1


def call(client: httpx.Client, page: str, act: Any) -> httpx.Response:
    """What the page's script sends for one act."""
    body = {"data": act, "component_id": component(client, page), "fn_name": "act", "session_hash": "invented"}
    return client.post(page + "gradio_api/component_server/", json=body)


@pytest.mark.parametrize(
    ("name", "page", "wanted"),
    [
        ("charlie", "/", 200), ("charlie", "/compare/", 403), ("charlie", "/rank/", 403), ("charlie", "/operate/", 403),
        ("anna", "/", 200), ("anna", "/compare/", 200), ("anna", "/rank/", 200), ("anna", "/operate/", 403),
        ("operator", "/operate/", 200), ("operator", "/compare/", 200),
    ],
)  # fmt: skip
def test_acts_need_the_pages_role(stage: Stage, name: str, page: str, wanted: int) -> None:
    with signed_in(stage, name) as client:
        answer = call(client, page, {"do": "start"})
        assert answer.status_code == wanted
        join = client.post(page + "gradio_api/queue/join", json={"data": [], "fn_index": 0, "session_hash": "x"})
        assert (join.status_code == 403) == (wanted == 403)
        if wanted == 200:
            assert f"<span>{name}</span>" in answer.json()["regions"]["top"]


def test_nobody_gets_anything_without_a_session(stage: Stage) -> None:
    with signed_in(stage, "charlie"), httpx.Client(base_url=stage.url) as stranger:
        for page in PAGES:
            assert call(stranger, page, {"do": "start"}).status_code == 401
            assert stranger.get(page + "config").status_code == 401


def test_another_sites_page_cannot_act_for_an_operator(stage: Stage) -> None:
    with signed_in(stage, "operator") as client:
        body = {"data": {"do": "start-round"}, "component_id": 1, "fn_name": "act", "session_hash": "x"}
        answer = client.post(
            "/operate/gradio_api/component_server/", json=body, headers={"origin": "https://evil.example"}
        )
        assert answer.status_code == 403
        assert "access-control-allow-origin" not in answer.headers
    assert stage.store.rounds.listing() == []


def test_what_is_judged_is_read_from_the_ticket_not_from_what_is_sent(stage: Stage) -> None:
    store = stage.store
    anna, charlie = store.people.by_name("anna"), store.people.by_name("charlie")
    assert anna is not None
    assert charlie is not None
    talk = store.conversations.add_conversation(anna.id, "chat", "t")
    question = store.conversations.add_message(talk.id, None, "user", "Capital?")
    row = Completion(message_id="", version="sft-0001", finish_reason="stop", sent=[question.id], created_at=0.0)
    answer = store.conversations.add_reply(talk.id, question.id, "Paris.", row)
    ticket = like_ticket(store, anna, question.id, answer.id, store.now() + 3600)
    act = {"do": "mark", "mark": "bad", "ticket": ticket.id, "message": "another", "conversation": talk.id,
           "content": "Something else entirely", "person": charlie.id}  # fmt: skip
    with signed_in(stage, "charlie") as other:
        refused = call(other, "/", act).json()
        assert "no such ticket for you" in refused["error"]
    assert store.judgements.counts()["total"] == 0
    with signed_in(stage, "anna") as client:
        assert call(client, "/", act).json()["error"] == ""
    (judgement,) = store.judgements.export()
    assert (judgement.person, judgement.candidates[0].text) == (anna.id, "Paris.")


def test_anothers_conversation_cannot_be_read_stopped_or_deleted(stage: Stage) -> None:
    anna = stage.store.people.by_name("anna")
    assert anna is not None
    talk = stage.store.conversations.add_conversation(anna.id, "chat", "private matters")
    stage.store.conversations.add_message(talk.id, None, "user", "a secret")
    with signed_in(stage, "operator") as other:
        for do in ("open", "stop", "delete", "rename", "retry", "sibling", "send"):
            said = call(other, "/", {"do": do, "of": talk.id, "conversation": talk.id, "message": "m", "text": "x"})
            assert "secret" not in said.text
            assert said.json()["error"], do
    assert stage.store.conversations.conversation(talk.id) is not None


@pytest.mark.parametrize("act", [{"do": ""}, {"do": "__class__"}, {"do": "send"}])
def test_an_act_that_cannot_be_done_gets_a_sentence(stage: Stage, act: Any) -> None:
    with signed_in(stage, "charlie") as client:
        answer = call(client, "/", act)
        assert answer.status_code == 200
        assert answer.json()["error"]


@pytest.mark.parametrize(
    "act", [None, [], "x", {}, {"do": None}, {"do": "mark"}, {"do": "send", "text": ["x"]}, {"do": "stop", "x": {}}]
)
def test_nonsense_is_a_400_with_a_sentence_and_no_traceback(stage: Stage, act: Any) -> None:
    with signed_in(stage, "charlie") as client:
        answer = call(client, "/", act)
        assert answer.status_code == 400
        assert "Reload" in answer.text
        assert "Traceback" not in answer.text


def test_gradio_tells_no_one_about_its_functions_and_keeps_no_runs(stage: Stage) -> None:
    with signed_in(stage, "charlie") as client:
        config = client.get("/config").json()
        assert config["dependencies"][0]["api_visibility"] in ("private", "undocumented")
        assert config.get("analytics_enabled") is False
        assert client.get("/gradio_api/info").status_code == 404
