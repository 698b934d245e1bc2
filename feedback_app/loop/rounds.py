"""Starting a round, and waiting for one: what the command line, the page and the schedule share."""

from __future__ import annotations

import time
from collections.abc import Mapping

from alignment.errors import StageError
from alignment.methods.registry import METHODS, chain_of, stage_settings
from alignment.terms import Setting
from feedback_app.domain.rounds import ENDED, RoundStatus
from feedback_app.errors import NotFound, UsageError
from feedback_app.loop.milestone_votes import check_watch
from feedback_app.loop.rules import contradictions_of
from feedback_app.loop.start_version import check_choice, check_round
from feedback_app.store.database import Store
from feedback_app.store.tables import Round

EXIT_CODES: Mapping[str, int] = {
    RoundStatus.PASSED: 0,
    RoundStatus.PROMOTED: 0,
    RoundStatus.HELD: 3,
    RoundStatus.REJECTED: 3,
    RoundStatus.FAILED: 1,
    RoundStatus.CANCELLED: 1,
}


def start_round(
    store: Store,
    method: str,
    *,
    requested_by: str | None = None,
    seed: int = 0,
    settings: Mapping[str, Setting] | None = None,
) -> Round:
    """Queue a round; a worker takes it within seconds.

    Raises `UsageError` on a method that does not exist, a setting for a stage that its chain does not have, a watch
    without milestones, and a start from an incumbent that cannot be continued (`start`); `Conflict` when a round is
    queued or running.
    """
    if method not in METHODS:
        raise UsageError(f"There is no method called {method!r}. A round can be: {', '.join(METHODS)}.")
    chosen = dict(settings or {})
    contradictions_of(chosen)
    check_choice(chosen)
    try:
        stage_settings(chosen, method, chain_of(method)[-1])
        check_watch(chosen, method)
    except StageError as error:
        raise UsageError(str(error)) from error
    published = store.versions.published()
    incumbent = store.versions.get(published.version) if published is not None else None
    if incumbent is not None:
        check_round(store, method, chosen, incumbent)
    return store.rounds.add(method, requested_by, seed, chosen)


def wait_for(store: Store, round_id: int, *, poll_s: float = 0.5, timeout_s: float | None = None) -> Round:
    """The round once a worker has nothing left to do on it (a held one waits for votes, not for a worker).

    Raises `NotFound`, and `TimeoutError` after `timeout_s`.
    """
    end = None if timeout_s is None else time.monotonic() + timeout_s
    while True:
        round_ = store.rounds.get(round_id)
        if round_ is None:
            raise NotFound(f"There is no round {round_id}. `alignloop round list` shows them.")
        if round_.status in ENDED:
            return round_
        if end is not None and time.monotonic() >= end:
            raise TimeoutError(f"round {round_id} is still {round_.status} after {timeout_s:g} s")
        time.sleep(poll_s)
