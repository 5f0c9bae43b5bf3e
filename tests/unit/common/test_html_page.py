"""HTML report builder: pages are complete, load nothing and escape foreign text."""

import re
from html.parser import HTMLParser

import pytest

from resmlp_mt.common.html_page import (
    PAGE_END,
    Markup,
    page,
    page_start,
    png_image,
    section,
    svg_image,
    table,
    to_html,
)

HOSTILE = '<script>alert("x")</script> & <b>'


class Checker(HTMLParser):
    """Collects tags, texts and attributes. Fails on tags that are not closed in order."""

    def __init__(self, text):
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.texts: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += attributes
        if tag not in ("meta", "link", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def hostile_page():
    rows = [[HOSTILE, HOSTILE]]
    content = [
        section(HOSTILE, table([HOSTILE, "n"], rows, numbers=(1,), row_heads=True), HOSTILE, name="kind"),
        section("figures", svg_image("<svg viewBox='0 0 1 1'></svg>", HOSTILE) + png_image(b"png", HOSTILE)),
    ]
    return page(HOSTILE, content, "p { color: red; }")


def test_page_is_well_formed_and_escaped():
    checker = Checker(hostile_page())
    assert "script" not in checker.tags
    assert "b" not in checker.tags
    assert checker.texts.count(HOSTILE) == 7  # title, heading, section, note, column head, two cells
    assert checker.attributes.count(("aria-label", HOSTILE)) == checker.attributes.count(("alt", HOSTILE)) == 1


def test_page_loads_nothing():
    checker = Checker(hostile_page())
    assert all(value.startswith("data:") for name, value in checker.attributes if name in ("src", "href"))
    assert re.search(r"url\(|@import", hostile_page()) is None


def test_page_in_parts_equals_whole_page():
    assert page_start("a", "p { }") + "<p>1</p>" + "<p>2</p>" + PAGE_END == page("a", ["<p>1</p>", "<p>2</p>"], "p { }")


def test_markup_is_not_escaped_twice():
    assert to_html(Markup("<i>a</i>")) == "<i>a</i>"
    assert to_html(to_html("<")) == to_html("<") == "&lt;"
    assert "<td><i>a</i></td>" in table(["head"], [[Markup("<i>a</i>")]])


def test_number_columns_and_row_heads_are_marked():
    text = table(["name", "count"], [["a", "3"]], numbers=(1,), row_heads=True)
    assert '<th scope="col">name</th><th scope="col" class="number">count</th>' in text
    assert '<th scope="row">a</th><td class="number">3</td>' in text


def test_row_of_wrong_length_is_an_error():
    with pytest.raises(ValueError, match="zip"):
        table(["one", "two"], [["a"]])
