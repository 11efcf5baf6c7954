"""The documentation names only what exists, and its index names every page."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[1]
_DOCS = _ROOT / "docs"
_PAGES = [
    *(_ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")),
    *sorted(_DOCS.rglob("*.md")),
]
_LINK = re.compile(r"\]\(([^)\s#]+)[^)]*\)")
_FOLDERS = "benchmarks|cli|docs|search_spaces|tests|trainables|tuning"
_PATH = re.compile(rf"`((?:{_FOLDERS})/[\w./-]+)(?:::(\w+))?")


def _links(page: Path) -> Iterator[Path]:
    for target in _LINK.findall(page.read_text()):
        if not re.match(r"[a-z][a-z0-9+.-]*:", target):  # a URL
            yield page.parent / target


def test_the_index_lists_every_page() -> None:
    index = _DOCS / "README.md"
    listed = {link.resolve() for link in _links(index) if link.suffix == ".md"}
    missing = {page for page in _DOCS.rglob("*.md") if page != index and page.resolve() not in listed}
    assert not missing, f"add to docs/README.md: {sorted(str(page.relative_to(_DOCS)) for page in missing)}"


@pytest.mark.parametrize("page", _PAGES, ids=lambda page: str(page.relative_to(_ROOT)))
def test_links_and_named_files_exist(page: Path) -> None:
    broken = [str(link) for link in _links(page) if not link.exists()]
    for name, function in _PATH.findall(page.read_text()):
        path = _ROOT / name
        if not path.exists() or (function and f"def {function}(" not in path.read_text()):
            broken.append(f"{name}::{function}" if function else name)
    assert not broken
