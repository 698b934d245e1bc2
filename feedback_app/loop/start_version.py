"""What a round's training starts from: the base each time (the default), or on top of the incumbent.

From the base, a version rests on its own snapshot alone, and the KL to the base stays that of one training. On
top of the incumbent, training continues its adapter and holds to it: rounds become a chain, and each version
rests on the snapshots of all before it. The choice is the round's setting `start`; a version's parent says
where it led.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from alignment.errors import StageError
from alignment.methods.registry import CARDS, chain_of, stage_settings
from alignment.stage.continuing import check_continuing
from alignment.terms import Setting
from feedback_app.domain.versions import VersionForm
from feedback_app.errors import RoundFailed, UsageError
from feedback_app.loop.lineage import check_start
from feedback_app.loop.versions import base_of
from feedback_app.store.database import Store
from feedback_app.store.tables import Version

START = "start"  # the round's own setting
BASE, INCUMBENT = "base", "incumbent"
CHOICES = (BASE, INCUMBENT)


def start_of(settings: Mapping[str, Setting]) -> str:
    """base or incumbent."""
    return INCUMBENT if settings.get(START) == INCUMBENT else BASE


def check_choice(settings: Mapping[str, Setting]) -> None:
    """Raise `UsageError` on a word that is no choice."""
    word = settings.get(START, BASE)
    if word not in CHOICES:
        raise UsageError(f"A round cannot start from {word}. Set start to one of: {', '.join(CHOICES)}.")


def continues(settings: Mapping[str, Setting], incumbent: Version) -> bool:
    """Whether training continues the incumbent's adapter; an incumbent that is the base has none."""
    return start_of(settings) == INCUMBENT and incumbent.form == VersionForm.ADAPTER


def check_round(store: Store, method: str, settings: Mapping[str, Setting], incumbent: Version) -> None:
    """Refuse a start on top of an incumbent that this method, with these settings, cannot or should not continue.

    Raises `UsageError` with one sentence. Files that are not on this machine are looked at by the worker.
    """
    if not continues(settings, incumbent):
        return
    check_start(store, incumbent)
    folder = Path(incumbent.path)
    if not folder.exists():
        return
    asked = {name: value for name, value in settings.items() if name != START}
    try:
        model = base_of(store, incumbent.base_hash).path
        for stage in chain_of(method):
            if CARDS[stage].continues:
                check_continuing(stage, folder, stage_settings(asked, method, stage), model)
    except (StageError, RoundFailed) as error:
        raise UsageError(str(error)) from error
