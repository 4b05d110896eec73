"""Texts in four languages: the Debian Administrator's Handbook in German, Spanish, French and Italian.

    apt-get install debian-handbook     # 34 MB; GPL-2+ or CC-BY-SA-3.0
    python prepare.py                   # writes texts/de/, texts/es/, texts/fr/, texts/it/

Paragraphs that a translation still has in English are left out.
"""

import argparse
import sys
from html.parser import HTMLParser
from pathlib import Path

BOOK = Path("/usr/share/doc/debian-handbook/html")
LANGUAGES = {"de": "de-DE", "es": "es-ES", "fr": "fr-FR", "it": "it-IT"}
SHORTEST = 40


class Paragraphs(HTMLParser):
    """The text of what DocBook marks as a paragraph."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._depth = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if self._depth and tag == "div":
            self._depth += 1
        elif tag == "div" and dict(attrs).get("class") == "para":
            self._depth = 1
            self.found.append("")

    def handle_endtag(self, tag: str) -> None:
        if self._depth and tag == "div":
            self._depth -= 1

    def handle_data(self, data: str) -> None:
        if self._depth:
            self.found[-1] += data


def paragraphs(folder: Path) -> dict[str, list[str]]:
    """Of each page, those that are more than a few words."""
    pages = {}
    for path in sorted(folder.glob("*.html")):
        reader = Paragraphs()
        reader.feed(path.read_text(encoding="utf-8"))
        told = (" ".join(each.split()) for each in reader.found)
        pages[path.stem] = [each for each in told if len(each) >= SHORTEST]
    return pages


def main() -> None:
    words = argparse.ArgumentParser()
    words.add_argument("--pages", type=int, help="only so many of each language")
    words.add_argument("--into", type=Path, default=Path(__file__).parent / "texts")
    given = words.parse_args()
    if not BOOK.is_dir():
        sys.exit(f"{BOOK} is not there; install Debian's package: apt-get install debian-handbook")
    english = {each for page in paragraphs(BOOK / "en-US").values() for each in page}
    for language, folder in LANGUAGES.items():
        target = given.into / language
        target.mkdir(parents=True, exist_ok=True)
        written = 0
        for name, page in paragraphs(BOOK / folder).items():
            own = [each for each in page if each not in english]
            if own and (given.pages is None or written < given.pages):
                (target / f"{name}.txt").write_text("\n".join(own) + "\n", encoding="utf-8")
                written += 1
        print(f"{language}: {written} pages")


if __name__ == "__main__":
    main()
