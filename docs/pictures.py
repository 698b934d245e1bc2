"""A hook of MkDocs: pictures of the pages lie in the product's own folder, and the site shows them from there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

FROM = "../feedback_app/ui/pictures/"
TO = "pictures/"


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
