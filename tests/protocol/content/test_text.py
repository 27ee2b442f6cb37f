"""Names that cannot pose as others, bodies that cannot drive a terminal, file names that are no paths."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tertulia_protocol.content import text
from tertulia_protocol.errors import RuleError

anything = st.text(st.characters(codec=None, exclude_categories=()), max_size=40)
NAMES = [
    "Field notes",
    "Réseau de femmes — Nord",
    "شبكة المجتمع المدني",
    "می‌خواهم",  # Persian with a zero-width non-joiner inside
    "नेटवर्क",
    "👩‍👩‍👧",  # joined by U+200D
    "日本語",
    "e\u0301",  # not NFC: told apart by nobody, so not refused
]
NOT_NAMES = [
    "a\nb",
    "a\tb",
    "a\x00b",
    "a\x1b[2Jb",
    "a\x7fb",
    "a\x85b",
    "a\u202eb",
    "a\u202ab",
    "a\u2066b",
    "a\u200fb",
    "a\u061cb",
    "a\u200bb",
    "a\u00adb",
    "a\u2028b",
    "a\ufeffb",
    "a\u2060b",
    "a\U000e0041b",
    "a\u3164b",
    "a\u2800b",
    "a\u17b4b",
    "a\u2065b",
    "a\ufff0b",
    "a\U0001bca0b",
    "a\U0001d173b",
    "a\U000e0080b",
    "a\U000e0fffb",
    " a",
    "a ",
    "\u00a0a",
    "a\u2003",
    "a\u200d",
    "\ud800",
]


def rule_of(check, value):
    with pytest.raises(RuleError) as caught:
        check(value)
    assert caught.value.code == "message.rule"
    return caught.value.rule


@pytest.mark.parametrize("name", NAMES)
def test_names_of_all_scripts_pass(name):
    text.check_name(name)
    assert text.clean_name(name) == unicodedata.normalize("NFC", name)


@pytest.mark.parametrize("name", NOT_NAMES, ids=ascii)
def test_a_name_that_is_not_what_it_seems_is_refused(name):
    assert rule_of(text.check_name, name) == "C10"
    text.check_name(text.clean_name(name))


@given(anything)
@example("0 \x08 0")
def test_a_cleaned_name_passes_and_stays(name):
    cleaned = text.clean_name(name)
    text.check_name(cleaned)
    assert text.clean_name(cleaned) == cleaned


@pytest.mark.parametrize("body", ["a\nb\tc", "", " spaces ", "شبكة \u2067x\u2069", "\u200f1", "**bold** <b>"])
def test_bodies_hold_text(body):
    text.check_body(body)


@pytest.mark.parametrize(
    "body", ["a\rb", "a\x00", "\x1b]0;x\x07", "\x9b2J", "a\u202eb", "a\u202db", "\U000e0041"], ids=ascii
)
def test_a_body_with_control_characters_is_refused(body):
    assert rule_of(text.check_body, body) == "C11"


@given(anything)
def test_a_cleaned_body_passes_and_stays(body):
    cleaned = text.clean_body(body)
    text.check_body(cleaned)
    assert text.clean_body(cleaned) == cleaned


def test_line_ends_become_newlines():
    assert text.clean_body("a\r\nb\rc\n") == "a\nb\nc\n"


FILE_NAMES = ["map.pdf", "تقرير.docx", "a b (1).tar.gz", "x" * 255, "console.txt", "noextension"]
NOT_FILE_NAMES = [
    "",
    ".",
    "..",
    ".bashrc",
    "../x",
    "a/b",
    "/etc/passwd",
    "a\\b",
    "C:x",
    "a\x00.pdf",
    "a\nb",
    "a\u202efdp.exe",
    "a*",
    "a?",
    'a"',
    "a|b",
    "a<b",
    "con",
    "NUL.txt",
    "com1",
    "lpt9.tar.gz",
    "a.",
    "a ",
    " a",
    "x" * 256,
    "é" * 128,
    "\udc80",
]


@pytest.mark.parametrize("name", FILE_NAMES)
def test_file_names_pass(name):
    text.check_file_name(name)
    assert text.clean_file_name(name) == name


@pytest.mark.parametrize("name", NOT_FILE_NAMES, ids=ascii)
def test_what_is_no_file_name_is_refused(name):
    assert rule_of(text.check_file_name, name) == "C12"
    text.check_file_name(text.clean_file_name(name))


@given(anything | st.sampled_from(NOT_FILE_NAMES) | st.text("./\\: \x00aé", max_size=300))
def test_a_cleaned_file_name_passes_and_stays(name):
    cleaned = text.clean_file_name(name)
    text.check_file_name(cleaned)
    assert text.clean_file_name(cleaned) == cleaned


def test_a_cut_file_name_keeps_its_extension():
    assert text.clean_file_name("é" * 200 + ".pdf") == "é" * 125 + ".pdf"
    assert text.clean_file_name("/home/amina/secret/map.pdf") == "map.pdf"
    assert text.clean_file_name("C:\\Users\\amina\\map.pdf") == "map.pdf"


@pytest.mark.parametrize("media_type", ["text/plain", "application/vnd.oasis.opendocument.text", "image/svg+xml"])
def test_media_types_pass(media_type):
    text.check_media_type(media_type)


@pytest.mark.parametrize(
    "media_type", ["", "text", "text/", "/plain", "Text/Plain", "text/plain; charset=x", "a/b\n", "a" * 64 + "/b"]
)
def test_another_media_type_is_refused(media_type):
    assert rule_of(text.check_media_type, media_type) == "C8"


@pytest.mark.parametrize("tag", ["en", "fr", "ar", "zh-Hant-TW", "kab", "sr-Latn"])
def test_language_tags_pass(tag):
    text.check_language(tag)


@pytest.mark.parametrize("tag", ["", "e", "en_US", "en-", "-en", "en-123456789", "en\n", "é" * 2, "en" + "-a" * 8])
def test_another_language_tag_is_refused(tag):
    assert rule_of(text.check_language, tag) == "C8"


@pytest.mark.parametrize(("value", "fits"), [("", False), ("a", True), ("aaa", True), ("aaaa", False)])
def test_lengths_count_code_points(value, fits):
    if fits:
        text.check_length(value, least=1, most=3)
    else:
        assert rule_of(lambda item: text.check_length(item, least=1, most=3), value) == "C9"
