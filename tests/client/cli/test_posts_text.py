"""Posts as text for people."""

from __future__ import annotations

from dataclasses import fields
from datetime import UTC, datetime

from tertulia.cli.posts import _line
from tertulia.results import Post

PLAIN = {
    "id": "p_aaaaaaaaaaaaaaaa",
    "type": "topic",
    "author": "m_aaaaaaaaaaaaaaaa",
    "author_name": "Amina",
    "at": datetime(2026, 11, 21, tzinfo=UTC),
    "title": "one",
    "body": "",
    "attachments": (),
    "edited": False,
    "retracted": False,
    "stub": False,
    "unread": False,
    "state": "sent",
}


def post(**changes: object) -> Post:
    values = {field.name: None for field in fields(Post)} | PLAIN | changes
    return Post(**values)  # type: ignore[arg-type] # fields by name


def test_who_takes_the_name_of_another_member_is_told_apart() -> None:
    """The whole identifier: a beginning of one can be made, and a name can hold what looks like one."""
    other = "m_bbbbbbbbbbbbbbbb"
    assert _line(post())[1:3] == ["m_aaaaaaaaaaaaaaaa", "Amina"]
    assert _line(post(author=other))[1:3] == [other, "Amina"]
    assert _line(post(author=other, author_name="m_aaaaaaaaaaaaaaaa Amina"))[1] == other
    assert _line(post(author=other, author_name=None))[1] == other
