"""`python -m tests.feedback_app.store.endless_writer URL NAME`: stores judgements until it is killed."""

from __future__ import annotations

import sys

from feedback_app.store.database import open_store
from tests.feedback_app.builders import show


def acknowledge_forever(url: str, name: str) -> None:
    """Store judgements and print each id once it is acknowledged. Run in a process that is killed."""
    store = open_store(url)
    person = store.people.add(name, "annotator", "")
    while True:
        ticket = show(store, person, "answer")
        row = store.judgements.record(ticket.id, person.id, {"marks": {ticket.answer_ids[0]: "good"}})
        print(row.id, flush=True)


if __name__ == "__main__":
    acknowledge_forever(sys.argv[1], sys.argv[2])
