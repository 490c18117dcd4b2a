"""Checks the built site: every link inside it leads somewhere, and no page loads anything from another host.

python .ci/site.py docs/_build/html
"""

from __future__ import annotations

import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LOADS = {"script": "src", "img": "src", "iframe": "src", "source": "src", "video": "src"}
LOADING_LINKS = {
    "stylesheet",
    "icon",
    "preload",
    "modulepreload",
    "preconnect",
    "dns-prefetch",
    "manifest",
}
STYLE_URL = re.compile(r"""(?:url\(|@import)\s*["']?(?:https?:)?//[^)"'\s]*""")


class Page(HTMLParser):
    """The anchors of a page, its links, and what it loads."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what this tag names, links or loads."""
        values = {name: value or "" for name, value in attrs}
        self.anchors |= {values[name] for name in ("id", "name") if name in values}
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        elif tag == "link" and LOADING_LINKS & set(values.get("rel", "").split()):
            self.loads.append(values.get("href", ""))
        elif tag in LOADS and values.get(LOADS[tag]):
            self.loads.append(values[LOADS[tag]])


def problems(root: Path) -> list[str]:
    """One line for each dead link, and for each thing that would come from another host."""
    pages = {file: Page(file.read_text(encoding="utf-8")) for file in root.rglob("*.html")}
    found = []
    for file, page in pages.items():
        name = file.relative_to(root)
        found += [f"{name}: loads {load}" for load in page.loads if urlsplit(load).netloc]
        if name.parts[0] == "_modules":  # sources: viewcode links back to other names
            continue
        for link in [*page.links, *page.loads]:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (file.parent / unquote(parts.path)).resolve() if parts.path else file
            target = target / "index.html" if target.is_dir() else target
            if not target.exists():
                found.append(f"{name}: no file for {link}")
            elif (
                parts.fragment
                and target in pages
                and unquote(parts.fragment) not in pages[target].anchors
            ):
                found.append(f"{name}: no anchor for {link}")
    for style in root.rglob("*.css"):
        text = style.read_text(encoding="utf-8")
        found += [f"{style.relative_to(root)}: loads {load}" for load in STYLE_URL.findall(text)]
    return found


def main(folder: str) -> int:
    """Print the problems of a site; 1 where there are some."""
    root = Path(folder).resolve()
    found = problems(root)
    print(
        "\n".join(found) or f"{len(list(root.rglob('*.html')))} pages: every link leads somewhere"
    )
    return bool(found)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
