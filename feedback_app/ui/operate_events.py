"""What happens on the operate page. Every act asks for the operator's role again before it does anything."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from feedback_app.collect import people as accounts
from feedback_app.collect.people import require
from feedback_app.domain.people import Role
from feedback_app.domain.rounds import ACTIVE, RoundStatus
from feedback_app.domain.votes import Tally, tally
from feedback_app.errors import AlignloopError, NotFound, UsageError
from feedback_app.parts import Parts
from feedback_app.ui import operate_chart, operate_panels, operate_people, operate_records, theme
from feedback_app.ui.island import Act, Answer
from feedback_app.ui.loop_strip import LoopState, read_loop, strip
from feedback_app.ui.markup import EMPTY
from feedback_app.ui.model_status import ModelWatch

if TYPE_CHECKING:
    from feedback_app.store.tables import Person, Round


class OperateEvents:
    """Acts of the operate page."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._store = parts.store
        self._watch = ModelWatch(parts)

    async def act(self, person: Person, act: Act) -> Answer:
        """One act; an error of it is shown where it was asked for."""
        require(person, Role.OPERATOR)
        do = str(act.get("do"))
        if do in ("start", "pulse"):
            return await self._page(person, whole=do == "start")
        works = {
            "start-round": (self._start_round, "round"),
            "cancel": (self._cancel, "round"),
            "promote": (self._promote, "decide"),
            "keep": (self._promote, "decide"),
            "rollback": (self._rollback, "decide"),
            "schedule": (self._schedule, "schedule"),
            "invite": (self._invite, "people"),
            "reset": (self._reset, "people"),
            "revoke-key": (self._revoke_key, "people"),
            "disable": (self._disable, "people"),
            "set-aside": (self._set_aside, "people"),
            "role": (self._role, "people"),
        }
        if do not in works:
            raise NotFound("This page is older than the server. Reload it.")
        work, where = works[do]
        try:
            secret = await asyncio.to_thread(work, person, act)
        except AlignloopError as error:
            answer = await self._page(person, whole=do == "role")  # a role that was refused is shown as it was
            answer.error, answer.where = str(error), where
            return answer
        return await self._page(person, whole=True, secret=secret or EMPTY)

    # Work in the store: synchronous, called in a thread; what comes back is shown once above the people

    def _start_round(self, person: Person, act: Act) -> Markup | None:
        method = str(act.get("method") or self._parts.loop.methods[0])
        if method not in self._parts.loop.methods:
            raise UsageError(f"There is no method {method}. Use one of: {', '.join(self._parts.loop.methods)}.")
        start = str(act.get("start") or "")
        settings = {
            **self._parts.loop.read_settings(str(act.get("settings") or "")),
            **({"start": start} if start else {}),
        }
        self._parts.loop.start_round(method, requested_by=person.id, seed=secrets.randbelow(2**31), settings=settings)
        return None

    def _cancel(self, person: Person, act: Act) -> Markup | None:
        self._store.rounds.request_cancel(int(act["round"]))
        return None

    def _promote(self, person: Person, act: Act) -> Markup | None:
        self._parts.loop.promote(str(act["version"]), person.id, str(act.get("note") or "").strip())
        return None

    def _rollback(self, person: Person, act: Act) -> Markup | None:
        if self._parts.loop.rollback_target() != act.get("version"):
            raise UsageError("What is served has changed meanwhile. Look again, then roll back.")
        self._parts.loop.rollback(person.id)
        return None

    def _schedule(self, person: Person, act: Act) -> Markup | None:
        method = str(act.get("method") or self._parts.loop.methods[0])
        judgements = _number(act.get("every_judgements"), "The number of judgements")
        hours = _number(act.get("every_hours"), "The number of hours")
        enabled = act.get("enabled") is True
        if method not in self._parts.loop.methods:
            raise UsageError(f"There is no method {method}. Use one of: {', '.join(self._parts.loop.methods)}.")
        if enabled and judgements is None and hours is None:
            raise UsageError("Say after how many judgements or hours a round shall start, then save.")
        self._store.schedule.set(
            enabled=enabled,
            method=method,
            every_judgements=None if judgements is None else max(1, int(judgements)),
            every_hours=hours,
        )
        return None

    def _invite(self, person: Person, act: Act) -> Markup | None:
        new = accounts.add_person(self._store, str(act.get("name", "")), str(act.get("role", "")))
        return operate_people.secret_note(new.person.name, new.password, new.api_key)

    def _reset(self, person: Person, act: Act) -> Markup | None:
        name, keys = str(act["name"]), act.get("revoke_keys") is True
        password = accounts.reset_password(self._store, person, name, revoke_keys=keys)
        return operate_people.secret_note(name, password)

    def _revoke_key(self, person: Person, act: Act) -> Markup | None:
        name = str(act["name"])
        return operate_people.revoked_note(name, accounts.revoke_key(self._store, person, name))

    def _disable(self, person: Person, act: Act) -> Markup | None:
        accounts.set_disabled(self._store, person, str(act["name"]), act.get("disabledNow") != "true")
        return None

    def _set_aside(self, person: Person, act: Act) -> Markup | None:
        accounts.set_aside(self._store, person, str(act["name"]), act.get("asideNow") != "true")
        return None

    def _role(self, person: Person, act: Act) -> Markup | None:
        accounts.set_role(self._store, person, str(act["name"]), str(act["role"]))
        return None

    # What is shown

    async def _page(self, person: Person, whole: bool, secret: Markup = EMPTY) -> Answer:
        state = await self._watch.state()
        answer = await asyncio.to_thread(self._regions, person, whole, secret)
        answer.regions["model"] = theme.loading_model(state, self._store.now())
        answer.state["ready"] = state.ready
        return answer

    def _regions(self, person: Person, whole: bool, secret: Markup) -> Answer:
        loop = read_loop(self._parts)
        published = self._store.versions.history()
        listed = self._store.people.listing()
        names = {other.id: other.name for other in listed}
        regions: dict[str, Markup] = {
            "top": theme.top_bar("/operate", person.name, person.role),
            "alarms": operate_panels.alarms(self._parts.loop.alarms()),
            "strip": strip(loop),
            "action": operate_panels.action(loop, self._parts.loop.methods),
            "evidence": operate_panels.evidence(
                loop, self._latest_tally(loop), self._parts.loop.limits, partial(self._flagged, names)
            ),
            "decisions": operate_panels.decisions(loop, self._parts.loop.rollback_target()),
            "collected": operate_records.collected(loop),
            "over": operate_chart.over_rounds(self._parts.loop.over_rounds()),
            "rounds": operate_records.history(loop.rounds, loop.now),
            "versions": operate_records.versions(loop.versions, published, names, loop.now),
        }
        if whole:  # forms that somebody may be filling in are left alone by the clock
            regions["schedule"] = operate_people.schedule(self._store.schedule.get(), self._parts.loop.methods)
            frozen = next((round_ for round_ in loop.rounds if round_.rows), None)
            flags = self._parts.loop.flags(frozen) if frozen else {}
            regions["people"] = operate_people.people(listed, person.id, secret, flags)
        running: dict[str, Any] = {"person": person.id, "running": loop.active is not None}
        return Answer(regions, running)

    def _flagged(self, names: Mapping[str, str], round_: Round) -> list[str]:
        """The accounts that were flagged when this round was frozen, each with why."""
        return [f"{names.get(id, id)}, {why}" for id, why in self._parts.loop.flags(round_).items()]

    def _latest_tally(self, loop: LoopState) -> Tally | None:
        """Votes on the version of the latest round that ended, also after its challenge."""
        ended = (round_ for round_ in loop.rounds if round_.status not in ACTIVE)
        round_ = next((round_ for round_ in ended if round_.version), None)
        if round_ is None or round_.version is None:
            return None
        settings = self._parts.settings
        votes = self._store.judgements.votes(round_.version)
        if not votes and round_.status != RoundStatus.HELD:
            return None
        return tally(votes, settings.votes, scripted_count=settings.promote.counts_scripted)


def _number(value: object, what: str) -> float | None:
    text = str(value or "").strip()
    if not text:
        return None
    try:
        number = float(text)
    except ValueError as error:
        raise UsageError(f"{what} is not a number. Write digits, or leave it empty.") from error
    if not 0 < number < 1e9:
        raise UsageError(f"{what} must be above 0.")
    return number
