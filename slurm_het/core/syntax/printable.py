"""What users and admins wrote, made harmless for a terminal or a log."""

from __future__ import annotations

import unicodedata

STAND_IN = "?"
# Cc controls (ESC, C1, newlines), Cf formats (bidi overrides, zero-width), Cs lone surrogates,
# Zl/Zp line ends, Co/Cn what no font agrees on.
_UNSAFE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def clean(text: str) -> str:
    """The text with whatever could steer a terminal, forge a line, or hide, replaced by `?`."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(STAND_IN if unicodedata.category(c) in _UNSAFE else c for c in text)


def clean_lines(text: str) -> str:
    """`clean`, line by line, for text of our own that has several."""
    return "\n".join(clean(line) for line in text.split("\n"))
