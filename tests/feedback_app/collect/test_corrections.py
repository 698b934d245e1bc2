"""A correction comes before another annotator as any other pair does."""

from __future__ import annotations

import pytest

from feedback_app.collect.judge import compare_verdict, judge
from feedback_app.collect.tasks import Comparing, PairReady, PairStarted
from feedback_app.store.database import Store
from feedback_app.store.tables import Person
from tests.fakes import collected

pytestmark = pytest.mark.slow


async def test_the_next_annotator_compares_the_correction_with_what_it_corrects(
    comparing: Comparing, served_store: Store, ada: Person
) -> None:
    written = await collected(comparing.next_pair(ada))
    assert isinstance(written[0], PairStarted)
    ready = written[-1]
    assert isinstance(ready, PairReady)
    ticket, _ = served_store.tasks.ticket(ready.ticket_id) or (None, None)
    assert ticket is not None
    verdict = compare_verdict(ticket.order, "a_clearly", corrections={ticket.order[0]: "Better so."})
    judge(served_store, ada, ticket.id, verdict)

    eve = served_store.people.add("eve", "annotator", "")
    for person, pair in ((eve, {ready.a_text, "Better so."}), (ada, None)):
        events = await collected(comparing.next_pair(person))
        assert isinstance(events[0], PairStarted)
        last = events[-1]
        assert isinstance(last, PairReady)
        if pair is not None:
            assert events[0] == PairStarted(written[0].prompt, generated=False)
            assert {last.a_text, last.b_text} == pair
        else:
            assert "Better so." not in (last.a_text, last.b_text)
