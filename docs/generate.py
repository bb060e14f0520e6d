# ruff: noqa: INP001 - a script beside the pages it writes
"""Writes the pages of docs/ that are generated from data in the code. Run it after changing that data: `python docs/generate.py`."""

from __future__ import annotations

from pathlib import Path

from jittrust.core.intent.taxonomy import taxonomy_page

PAGES = {"taxonomy.md": taxonomy_page}


def main() -> None:
    """Write every generated page beside this file."""
    for name, page in PAGES.items():
        Path(__file__).with_name(name).write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
