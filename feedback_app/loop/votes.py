"""A challenger and the blind votes that decide about it.

The gate's test keeps its level only when it is asked once, so it sees the first `votes` votes and no
more; what it says then is final. A promotion needs the challenger loaded, which it is while it waits.
"""

from __future__ import annotations

from collections.abc import Sequence

from alignment.evaluation.gate import Verdict, vote_verdict
from feedback_app.domain.rounds import RoundStatus, VerdictKind
from feedback_app.domain.versions import PublicationReason, VersionState
from feedback_app.domain.votes import Promote, Tally, tally
from feedback_app.loop.publish import end_challenge
from feedback_app.store.database import Store
from feedback_app.store.tables import Round, Version

WAITING_FOR_OPERATOR = "Passed; an operator promotes it: `alignloop version promote {name}`."


def needs(more: int, version: str, incumbent: str) -> str:
    """How a held round says what it waits for."""
    return f"It needs {more} more blind {'vote' if more == 1 else 'votes'} between {version} and {incumbent}."


def challenge(store: Store, round_: Round, version: Version, kept: Sequence[str], needed: int) -> Round:
    """Make a version that passed the guards (`kept` says how) the challenger; its round is held for votes.

    An earlier challenger makes room: its round is rejected as replaced.
    """
    assert round_.id is not None
    assert round_.incumbent is not None
    end_challenge(store, f"replaced by {version.name} of round {round_.id}.", but=version.name)
    # The version first: a crash in between leaves a running round, which is taken up again from here.
    store.versions.set_state(version.name, VersionState.CHALLENGER)
    return store.rounds.update(
        round_.id,
        status=RoundStatus.HELD,
        verdict=VerdictKind.HOLD,
        version=version.name,
        reasons=[needs(needed, version.name, round_.incumbent), *kept],
    )


def settle(store: Store, *, needed: int, promote: Promote, staged: bool = True) -> Round | None:
    """Apply the votes on the challenger, if there is one; the round when something changed.

    Cheap enough for every second. `staged` says whether every replica answers for the challenger: no
    promotion happens before.
    """
    challenger = store.versions.challenger()
    if challenger is None:
        return None
    round_ = store.rounds.get(challenger.round_id) if challenger.round_id is not None else None
    if round_ is None or round_.id is None or round_.incumbent is None or round_.status == RoundStatus.RUNNING:
        return None
    if round_.status != RoundStatus.HELD or "votes" in round_.evaluation:
        _follow(store, round_, challenger)  # a crash came between the round's row and the version's
        return round_
    votes = tally(store.judgements.votes(challenger.name), needed, scripted_count=promote.counts_scripted)
    more = needed - votes.n
    if more > 0:
        first = needs(more, challenger.name, round_.incumbent)
        if round_.reasons and round_.reasons[0] == first:
            return None
        return store.rounds.update(round_.id, reasons=[first, *round_.reasons[1:]])
    opinion = vote_verdict(votes.wins, votes.losses, votes.ties, needed)
    if opinion.kind is VerdictKind.PASS and promote is not Promote.MANUAL and not staged:
        return None
    return _conclude(store, round_, challenger, votes, opinion, promote)


def _conclude(
    store: Store, round_: Round, challenger: Version, votes: Tally, opinion: Verdict, promote: Promote
) -> Round:
    assert round_.id is not None
    reasons = [*opinion.reasons, *round_.reasons[1:]]
    match opinion.kind:
        case VerdictKind.PASS if promote is Promote.MANUAL:
            status, reasons = RoundStatus.PASSED, [*reasons, WAITING_FOR_OPERATOR.format(name=challenger.name)]
        case VerdictKind.PASS:
            status = RoundStatus.PROMOTED
        case VerdictKind.FAIL:
            status = RoundStatus.REJECTED
        case _:
            status, reasons = (
                RoundStatus.HELD,
                [*reasons, "An operator may promote it with a note, or collect more and train."],
            )
    counted = {"wins": votes.wins, "losses": votes.losses, "ties": votes.ties, "votes": votes.n}
    concluded = store.rounds.update(
        round_.id,
        status=status,
        verdict=opinion.kind.value,
        reasons=reasons,
        evaluation={**round_.evaluation, "votes": counted},
    )
    _follow(store, concluded, challenger)
    return concluded


def _follow(store: Store, round_: Round, challenger: Version) -> None:
    """Give the version the place that its round's conclusion says. Safe to repeat."""
    match round_.status:
        case RoundStatus.PROMOTED:
            store.versions.publish(challenger.name, PublicationReason.PROMOTED)
        case RoundStatus.REJECTED | RoundStatus.FAILED | RoundStatus.CANCELLED:
            store.versions.set_state(challenger.name, VersionState.DROPPED)
        case _:
            store.versions.set_state(challenger.name, VersionState.READY)
