"""Reading Markdown pages of this repository: where their links lead, which files they name."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"`((?:alignment|feedback_app|serving|tests|docs|data|locks)/[\w./-]*)(?::\d+)?`")


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and MkDocs make them."""
    heads = re.findall(r"^#+ (.*)$", _FENCE.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[\s-]+", "-", re.sub(r"[^\w\s-]", "", head.lower()).strip()) for head in heads}


def dead_links(page: Path) -> list[str]:
    """The links of a page that lead to no file or to no heading of one."""
    dead = []
    for link in _LINK.findall(_FENCE.sub("", page.read_text(encoding="utf-8"))):
        if "://" in link:
            continue
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            dead.append(link)
    return dead


def named_files(page: Path) -> list[str]:
    """The files and folders of the repository that a page names in code type."""
    return sorted({name for name in _FILE.findall(page.read_text(encoding="utf-8")) if "NAME" not in name})
