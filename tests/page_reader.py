"""Reads a page as a browser would, and complains of what is not well formed."""

from html.parser import HTMLParser

HOSTILE = '<img src=x onerror="alert(1)">&\'"'
VOID = {"meta", "img", "br"}


class Reader(HTMLParser):
    """Collects tags and attributes, and complains of tags that do not close."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)
        assert not self.open, f"not closed: {self.open}"

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)
