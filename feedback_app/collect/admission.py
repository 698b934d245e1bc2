"""Which request runs next: at most so many answers at once, and the next place to whoever has the fewest running.

Waiting happens here, where it can be fair, and not inside vLLM, which serves first come, first served. One
object a process; pages, the HTTP door, Compare's and Rank's preparation and scripted people all claim here.

The rule.

1. *Weight.* A request weighs as many answers as it asks for (n). Where its tokens (the prompt's, and n times the
   longest answer) are a larger share of vLLM's KV cache than its answers are of the places, it weighs that
   share instead, rounded up. No weight is above the limit, so that every request can run, if need be alone.
2. *Limit.* The weights of all that runs never exceed `answers`.
3. *Order.* The next place goes to the person with the least weight running; among equals to the one who has been
   served least, in weight times seconds; among equals to who came first. A person's own requests keep their order.
   What somebody has been served counts from where the least served of those present stands, so that nobody
   saves up by staying away, and it is forgotten when nobody is left. (The counter is that of Sheng et al.,
   "Fairness in Serving Large Language Models", OSDI 2024; its unit here is time in a place.)
   When the request whose turn it is does not fit yet, the others wait with it: otherwise heavy ones never ran.
4. *Room for the next person.* Whoever has something running may not hold more than is left free after it (the
   dynamic threshold of Choudhury and Hahne, 1998, with factor 1): alone that is half of the places, beside
   another who holds as much a third, so that who comes next does not wait for somebody's long answers. Such a
   request waits on its own person's answers, and others pass it.
5. *Bounds.* A person has at most `per_person` requests here, running and waiting, and all people `in_all`; their
   bodies together hold at most `LARGEST_PERSON` and `LARGEST_ALL` bytes. More is refused at once (`TooMany`).
6. *Patience.* A request waits at most half of its deadline, counted from when it came, so that the other half is
   left for its answer; then it is refused with a sentence (`Busy`).

Where vLLM knows priorities, a request of somebody who has others running is sent behind those of people who have
none (`Claim.priority`), so that long prompts that were let in are not read before a newcomer's.

Use from one event loop. Not done here: counting tokens, talking to vLLM, what other processes ask of it.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from types import TracebackType

from feedback_app.errors import Busy, TooMany

PER_PERSON = 64
IN_ALL = 1024
LARGEST_PERSON = 8 * 2**20  # bytes
LARGEST_ALL = 64 * 2**20  # bytes
WAIT_SHARE = 0.5  # of a request's deadline
PLACE_EVERY_S = 1.0  # how often who waits is told their place anew
LAST_PRIORITY = 9  # vLLM's; a policy in training asks with a higher number, which goes behind all people


@dataclass(frozen=True, slots=True)
class Load:
    """What a request asks of vLLM: tokens of its prompt, longest answer in tokens, answers, bytes it holds here."""

    prompt_tokens: int
    max_tokens: int
    n: int = 1
    size: int = 0

    @property
    def tokens(self) -> int:
        """The most that it can hold in vLLM's KV cache; answers share their prompt."""
        return self.prompt_tokens + self.n * self.max_tokens


@dataclass
class _Person:
    """One person's requests; `served` is in weight times seconds."""

    id: str
    running: int = 0
    requests: int = 0
    size: int = 0
    served: float = 0.0
    waiting: deque[Claim] = field(default_factory=deque)


class Claim:
    """One request's claim to a place: wait with `started` or `places`, leave with `release` or the block's end.

    `weight` is in answers. However the block ends, the place is free again; leaving twice does nothing.
    """

    def __init__(self, admission: Admission, person: _Person, weight: int, size: int, began: float, deadline: float):
        self.weight, self.size, self.began, self.deadline = weight, size, began, deadline
        self.priority = 0
        self.number = 0
        self.started_at: float | None = None
        self._admission, self._person = admission, person
        self._go = asyncio.Event()
        self._done = self._left = False

    def __enter__(self) -> Claim:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    @property
    def running(self) -> bool:
        """Whether it has its place."""
        return self.started_at is not None and not self._done

    @property
    def place(self) -> int:
        """How many claims go before this one, as things stand; 0: it is next, or runs."""
        return 0 if self._go.is_set() else self._admission.before(self, self._person)

    @property
    def left_s(self) -> float:
        """Seconds to the request's deadline, at least a moment."""
        return max(0.001, self.deadline - self._admission.clock())

    async def started(self) -> None:
        """Wait for the place. Raises `Busy` when half of the deadline has passed without one."""
        async for _ in self.places(math.inf):
            pass

    async def places(self, every_s: float = PLACE_EVERY_S) -> AsyncGenerator[int]:
        """The place in the queue, at first and then whenever it has changed, until the request may run.

        Yields nothing when it may run at once. Raises as `started`.
        """
        told: int | None = None
        until = self.began + WAIT_SHARE * (self.deadline - self.began)
        while not self._go.is_set():
            if every_s != math.inf and (place := self.place) != told:
                told = place
                yield place
            left = until - self._admission.clock()
            if left > 0:
                try:
                    async with asyncio.timeout(min(left, every_s)):
                        await self._go.wait()
                except TimeoutError:
                    continue
            if not self._go.is_set():
                self.release()
                raise Busy(self._admission.clock() - self.began)

    def done(self) -> None:
        """The answer has come: its place is free. The request still counts among its person's until it is released."""
        if self.running:
            self._done = True
            self._admission.free(self, self._person)

    def release(self) -> None:
        """Leave: a running claim frees its place, a waiting one its turn."""
        if not self._left:
            self._left = True
            self._admission.leave(self, self._person)

    def start(self, now: float, priority: int) -> None:
        """Called by `Admission` alone: the place is this claim's."""
        self.started_at, self.priority = now, priority
        self._go.set()


class Admission:
    """The places, and everybody who has or wants one. See the module for the rule.

    `answers` run at once; `tokens` is what vLLM's KV cache holds (0: as many as `answers` need, so that only
    answers count). `priorities`: whether the vLLM that is asked schedules by priority.
    """

    def __init__(
        self,
        answers: int = 64,
        tokens: int = 0,
        *,
        per_person: int = PER_PERSON,
        in_all: int = IN_ALL,
        priorities: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.answers, self.tokens, self.priorities, self.clock = answers, tokens, priorities, clock
        self.per_person, self.in_all = per_person, in_all
        self.running = 0  # weight
        self._people: dict[str, _Person] = {}
        self._absent: dict[str, float] = {}  # what people were served who have nothing here now
        self._requests = self._size = self._numbers = 0

    def weight(self, load: Load) -> int:
        """What a request weighs, in answers."""
        share = math.ceil(load.tokens * self.answers / self.tokens) if self.tokens else 0
        return min(self.answers, max(1, load.n, share))

    def claim(self, person_id: str, load: Load, deadline_s: float, began: float | None = None) -> Claim:
        """A claim of this person's, running already where there is room. Its deadline is `deadline_s` after `began`.

        `began` is when the request came, by this object's clock; now by default. Raises `TooMany` when the
        person or all people together have too many requests here.
        """
        person = self._people.get(person_id)
        if person is not None and (person.requests >= self.per_person or person.size + load.size > LARGEST_PERSON):
            raise TooMany(f"You have {person.requests} requests running or waiting already. Wait for one to end.")
        if self._requests >= self.in_all or self._size + load.size > LARGEST_ALL:
            raise TooMany("More people are asking than this machine can answer now. Try again in a moment.")
        if person is None:
            least = min((other.served for other in self._people.values()), default=0.0)
            person = _Person(person_id, served=max(least, self._absent.pop(person_id, 0.0)))
            self._people[person_id] = person
        began = self.clock() if began is None else began
        claim = Claim(self, person, self.weight(load), load.size, began, began + deadline_s)
        self._numbers += 1
        claim.number = self._numbers
        person.waiting.append(claim)
        person.requests += 1
        person.size += claim.size
        self._requests += 1
        self._size += claim.size
        self._start()
        return claim

    def counts(self) -> dict[str, int]:
        """Running weight, and requests running and waiting."""
        waiting = sum(len(person.waiting) for person in self._people.values())
        return {"weight": self.running, "running": self._requests - waiting, "waiting": waiting}

    def before(self, claim: Claim, person: _Person) -> int:
        """How many waiting claims go before this one if nothing ends and nobody comes."""

        def turns(of: _Person) -> list[tuple[tuple[int, float, int], Claim]]:
            held, found = of.running, []
            for each in of.waiting:
                found.append(((held, of.served, each.number), each))
                held += each.weight
            return found

        mine = next((turn for turn, each in turns(person) if each is claim), None)
        if mine is None:
            return 0
        return sum(turn < mine for other in self._people.values() for turn, _ in turns(other))

    def free(self, claim: Claim, person: _Person) -> None:
        """Called by `Claim` alone: its place goes to whoever is next."""
        person.running -= claim.weight
        self.running -= claim.weight
        person.served += claim.weight * (self.clock() - (claim.started_at or 0.0))
        self._start()

    def leave(self, claim: Claim, person: _Person) -> None:
        """Called by `Claim` alone: the request is over, wherever it stood."""
        claim.done()
        if claim.started_at is None:
            person.waiting.remove(claim)
        person.requests -= 1
        person.size -= claim.size
        self._requests -= 1
        self._size -= claim.size
        if not person.requests:
            del self._people[person.id]
            self._absent[person.id] = person.served
            if not self._people:
                self._absent.clear()
        self._start()

    def _start(self) -> None:
        """Give away every place that the rule gives now."""
        while True:
            turns = [person for person in self._people.values() if person.waiting and self._within_share(person)]
            if not turns:
                return
            person = min(turns, key=lambda one: (one.running, one.served, one.waiting[0].number))
            claim = person.waiting[0]
            if self.running + claim.weight > self.answers:
                return
            person.waiting.popleft()
            claim.start(self.clock(), min(LAST_PRIORITY, person.running) if self.priorities else 0)
            person.running += claim.weight
            self.running += claim.weight

    def _within_share(self, person: _Person) -> bool:
        """Whether this person's next request leaves as much free as the person would then hold."""
        weight = person.waiting[0].weight
        return not person.running or person.running + weight <= self.answers - self.running - weight
