"""Verdicts over HTTP: on the ticket that the door named, by whoever holds the key."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from openai import AsyncOpenAI

if TYPE_CHECKING:
    from tests.feedback_app.api.conftest import Site

Ask = Callable[[str], AsyncOpenAI]


async def a_ticket(ask: Ask, name: str = "chi", n: int = 1) -> str:
    raw = await ask(name).chat.completions.with_raw_response.create(
        model="policy", messages=[{"role": "user", "content": "hello"}], n=n
    )
    return str(raw.headers["x-alignloop-ticket"])


async def send(site: Site, name: str | None, body: object) -> tuple[int, dict[str, Any]]:
    headers = {"Authorization": f"Bearer {site.keys[name]}"} if name else {}
    async with httpx.AsyncClient(trust_env=False) as client:
        reply = await client.post(f"{site.url}/v1/feedback", json=body, headers=headers)
    return reply.status_code, reply.json()


@pytest.mark.parametrize(
    ("verdict", "mark", "correction"),
    [
        ("good", "good", None),
        ("bad", "bad", None),
        ({"mark": "bad", "correction": "Hello!", "reasons": ["curt"], "comment": "more"}, "bad", "Hello!"),
        ({"marks": ["good"]}, "good", None),
    ],
)
async def test_a_verdict_on_one_answer(
    site: Site, ask: Ask, verdict: object, mark: str, correction: str | None
) -> None:
    ticket_id = await a_ticket(ask)
    status, judged = await send(site, "chi", {"ticket": ticket_id, "verdict": verdict})
    assert (status, judged["ticket"]) == (200, ticket_id)
    live = site.store.judgements.live(ticket_id)
    assert live is not None
    assert live.id == judged["judgement"]
    assert list(live.verdict["marks"].values()) == [mark]
    assert list(live.verdict["corrections"].values()) == ([correction] if correction else [])


async def test_a_verdict_may_name_message_ids(site: Site, ask: Ask) -> None:
    ticket_id = await a_ticket(ask)
    found = site.store.tasks.ticket(ticket_id)
    assert found is not None
    status, _ = await send(site, "chi", {"ticket": ticket_id, "verdict": {"marks": {found[0].order[0]: "good"}}})
    assert status == 200


async def test_choices_are_ranked_in_the_order_of_the_reply(site: Site, ask: Ask) -> None:
    ticket_id = await a_ticket(ask, "ann", n=2)
    status, _ = await send(
        site, "ann", {"ticket": ticket_id, "verdict": {"ranks": [2, 1], "strength": "clearly", "marks": [None, "good"]}}
    )
    assert status == 200
    live, found = site.store.judgements.live(ticket_id), site.store.tasks.ticket(ticket_id)
    assert live is not None
    assert found is not None
    first, second = found[0].order
    assert live.verdict["ranks"] == {first: 2, second: 1}
    assert live.verdict["marks"] == {second: "good"}


async def test_the_same_again_is_the_same_and_another_must_name_what_it_replaces(site: Site, ask: Ask) -> None:
    ticket_id = await a_ticket(ask)
    _, first = await send(site, "chi", {"ticket": ticket_id, "verdict": "good"})
    assert await send(site, "chi", {"ticket": ticket_id, "verdict": "good"}) == (200, first)
    status, refused = await send(site, "chi", {"ticket": ticket_id, "verdict": "bad"})
    assert (status, refused["error"]["type"]) == (409, "conflict_error")
    status, changed = await send(site, "chi", {"ticket": ticket_id, "verdict": "bad", "supersedes": first["judgement"]})
    assert status == 200
    assert changed["judgement"] != first["judgement"]


async def test_a_verdict_can_be_withdrawn(site: Site, ask: Ask) -> None:
    ticket_id = await a_ticket(ask)
    assert (await send(site, "chi", {"ticket": ticket_id, "verdict": "withdrawn"}))[0] == 404
    await send(site, "chi", {"ticket": ticket_id, "verdict": "good"})
    assert (await send(site, "chi", {"ticket": ticket_id, "verdict": "withdrawn"}))[0] == 200
    assert site.store.judgements.live(ticket_id) is None


async def test_who_is_refused_is_told_what_stands(site: Site, ask: Ask) -> None:
    ticket_id = await a_ticket(ask)
    _, first = await send(site, "chi", {"ticket": ticket_id, "verdict": "good"})
    _, refused = await send(site, "chi", {"ticket": ticket_id, "verdict": "bad"})
    assert refused["standing"]["judgement"] == first["judgement"]
    assert list(refused["standing"]["verdict"]["marks"].values()) == ["good"]
    bad = {"ticket": ticket_id, "verdict": "bad", "supersedes": refused["standing"]["judgement"]}
    _, second = await send(site, "chi", bad)
    stale = {"ticket": ticket_id, "verdict": {"mark": "good"}, "supersedes": first["judgement"]}
    status, refused = await send(site, "chi", stale)
    assert (status, refused["standing"]["judgement"]) == (409, second["judgement"])


async def test_a_late_withdrawal_of_what_was_replaced_takes_nothing_back(site: Site, ask: Ask) -> None:
    ticket_id = await a_ticket(ask)
    _, first = await send(site, "chi", {"ticket": ticket_id, "verdict": "good"})
    _, second = await send(site, "chi", {"ticket": ticket_id, "verdict": "bad", "supersedes": first["judgement"]})
    late = {"ticket": ticket_id, "verdict": "withdrawn", "supersedes": first["judgement"]}
    status, refused = await send(site, "chi", late)
    assert (status, refused["standing"]["judgement"]) == (409, second["judgement"])
    live = site.store.judgements.live(ticket_id)
    assert live is not None
    assert live.id == second["judgement"]
    named = late | {"supersedes": second["judgement"]}
    status, done = await send(site, "chi", named)
    assert (status, site.store.judgements.live(ticket_id)) == (200, None)
    assert await send(site, "chi", named) == (200, done), "sent twice it is the same undo"
    status, refused = await send(site, "chi", {"ticket": ticket_id, "verdict": "good", "supersedes": "x"})
    assert (status, refused["standing"]) == (409, None)
    other = await a_ticket(ask)
    assert (await send(site, "chi", named | {"ticket": other}))[0] == 404


async def test_a_program_may_judge_at_once_and_keep_the_order_of_the_choices(site: Site, ask: Ask) -> None:
    ticket_id = await a_ticket(ask, "ann", n=3)
    assert (await send(site, "ann", {"ticket": ticket_id, "verdict": {"ranks": [1, 2, 3]}}))[0] == 200


async def test_somebody_elses_ticket_is_not_there(site: Site, ask: Ask) -> None:
    ticket_id = await a_ticket(ask)
    for name in ("ann", "ope"):
        status, error = await send(site, name, {"ticket": ticket_id, "verdict": "good"})
        assert (status, error["error"]["type"]) == (404, "not_found_error")
    assert (await send(site, None, {"ticket": ticket_id, "verdict": "good"}))[0] == 401
    assert site.store.judgements.live(ticket_id) is None


async def test_comparing_needs_an_annotator(site: Site, ask: Ask) -> None:
    ticket_id = await a_ticket(ask, "chi", n=2)
    assert (await send(site, "chi", {"ticket": ticket_id, "verdict": {"ranks": [1, 2]}}))[0] == 403


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ([], "ticket"),
        ({"verdict": "good"}, "ticket"),
        ({"ticket": "T"}, "verdict"),
        ({"ticket": "T", "verdict": "great"}, "good"),
        ({"ticket": "T", "verdict": None}, "good"),
        ({"ticket": "T", "verdict": "good", "text": "made up"}, "text is not a field"),
        ({"ticket": "T", "verdict": "good", "supersedes": 3}, "supersedes"),
        ({"ticket": "T", "verdict": {"marks": ["good", "bad"]}}, "1 answers"),
        ({"ticket": "T", "verdict": {"mark": "fine"}}, "marks"),
        ({"ticket": "T", "verdict": {"marks": {"another": "good"}}}, "does not show"),
        ({"ticket": "T", "verdict": {"ranks": [1]}}, "cannot be ranked"),
        ({"ticket": "T", "verdict": {"content": "made up"}}, "content"),
    ],
)
async def test_what_cannot_be_read_is_400_and_says_why(site: Site, ask: Ask, body: Any, words: str) -> None:
    ticket_id = await a_ticket(ask)
    if isinstance(body, dict) and body.get("ticket") == "T":
        body = {**body, "ticket": ticket_id}
    status, error = await send(site, "chi", body)
    assert status == 400
    assert words in error["error"]["message"]
    assert site.store.judgements.live(ticket_id) is None


async def test_a_signal_is_refused_unless_its_kind_is_kept(site: Site, ask: Ask) -> None:
    ticket_id = await a_ticket(ask)
    status, said = await send(site, "chi", {"ticket": ticket_id, "signal": "copy"})
    assert (status, "not kept here" in said["error"]["message"]) == (403, True)
    status, said = await send(site, "ann", {"ticket": ticket_id, "signal": "edit", "amount": 0.4})
    assert status == 404
    pair = await a_ticket(ask, n=2)
    status, said = await send(site, "chi", {"ticket": pair, "signal": "edit", "amount": 0.4})
    assert (status, "about one answer" in said["error"]["message"]) == (400, True)
    status, said = await send(site, "chi", {"ticket": ticket_id, "signal": "edit", "amount": 0.4})
    assert (status, said) == (200, {"signal": "edit", "ticket": ticket_id})
    (signal,) = site.store.signals.export(["edit"])
    assert (signal.amount, signal.context[-1].content) == (0.4, "hello")


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"signal": "glance"}, "signal must be one of"),
        ({"signal": "edit", "amount": 2}, "from 0 to 1"),
        ({"signal": "edit", "verdict": "good"}, "nothing else"),
    ],
)
async def test_a_signal_that_cannot_be_read_is_named(site: Site, ask: Ask, more: dict[str, Any], sentence: str) -> None:
    status, said = await send(site, "chi", {"ticket": await a_ticket(ask), **more})
    assert (status, sentence in said["error"]["message"]) == (400, True)
