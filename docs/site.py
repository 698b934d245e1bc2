"""Hooks of MkDocs: pictures of the pages come from the product's own folder, and no page loads from another host."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

FROM = "../feedback_app/ui/pictures/"
TO = "pictures/"
_LOADED = re.compile(
    r"<(?:script|img|iframe|source|video|audio)\b[^>]*\bsrc=[\"']?(?:https?:)?//[^\"'\s>]*"
    r"|<link\b(?![^>]*\brel=[\"']?canonical)[^>]*\bhref=[\"']?(?:https?:)?//[^\"'\s>]*"
    r"|(?:@import|url\()\s*[\"']?(?:https?:)?//[^\"')\s]*",
    re.IGNORECASE,
)


def on_files(files: Any, config: Any) -> Any:
    """Add the pictures to the site."""
    from mkdocs.structure.files import File

    folder = Path(config["docs_dir"]) / FROM
    for picture in sorted(folder.glob("*.png")):
        files.append(File.generated(config, TO + picture.name, abs_src_path=str(picture.resolve())))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Links that are right in the repository lead to the site's copies."""
    return markdown.replace(f"]({FROM}", f"]({TO}")


def on_post_page(output: str, page: Any, **_: Any) -> str:
    """Refuse a page that would load something from another host when it is opened."""
    from mkdocs.exceptions import PluginError

    elsewhere = loaded_from_elsewhere(output)
    if elsewhere:
        raise PluginError(f"{page.file.src_uri} loads from another host: {elsewhere[0]}")
    return output


def loaded_from_elsewhere(html: str) -> list[str]:
    """What a browser would fetch from another host to show this page; links that are only followed do not count."""
    return _LOADED.findall(html)
