"""Text for people: gettext, domain ``tertulia``, catalogues in ``locale/`` beside this file."""

from __future__ import annotations

import gettext
from pathlib import Path

from tertulia_protocol.errors import TertuliaError

DOMAIN = "tertulia"
LOCALE_DIR = Path(__file__).parent / "locale"

_translations: gettext.NullTranslations = gettext.NullTranslations()


def set_language(language: str | None) -> None:
    """Show text in ``language`` (a code such as ``fr``), or as the environment says. Unknown: English."""
    global _translations  # noqa: PLW0603 - one process speaks one language
    languages = [language] if language else None
    _translations = gettext.translation(DOMAIN, LOCALE_DIR, languages=languages, fallback=True)


def _(message: str) -> str:
    return _translations.gettext(message)


def ngettext(one: str, many: str, number: int) -> str:
    """Return the form of a message that ``number`` needs."""
    return _translations.ngettext(one, many, number)


def describe(error: TertuliaError) -> dict[str, str]:
    """Return what a person is told about an error: ``code``, ``message``, ``kept``, ``next``."""
    values = {name: str(value) for name, value in error.values.items()}
    return {
        "code": error.code,
        "message": _(error.message_id()).format_map(values),
        "kept": _(error.kept).format_map(values),
        "next": _(error.next).format_map(values),
    }
