"""Words as both the index and the query see them: folded, split alike, whatever the database."""

from __future__ import annotations

import re
import unicodedata

_WORD = re.compile(r"[^\W_]+")
# Where one part of an identifier ends and the next begins: fooBar, HTTPServer, resnet50, 50epochs.
_SEAM = re.compile(
    r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|(?<=[^\W\d_])(?=\d)|(?<=\d)(?=[^\W\d_])",
)
_ACCENT = re.compile(r"[\u0300-\u036f]")
# Scripts written without spaces: each sign is a word.
_SIGN = re.compile(r"([\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff])")
_URL = re.compile(r"\b[a-z][a-z0-9+.-]{1,20}://[^\s)>\]\"']+", re.IGNORECASE)
_TAG = re.compile(r"<[!/a-z][^<>]{0,500}>", re.IGNORECASE)
MAX_WORD = 64
MAX_BODY = 4_000
STOP_WORDS = frozenset(
    re.findall(
        "[a-z]+",
        "a an and are as at be by for from has have in is it its model models of on or that the their this to was with",
    )
)
# Endings that stemming takes off: while one is being typed the word is longer than its stem and not yet whole.
_ENDINGS = (
    "ifications",
    "ications",
    "izations",
    "ations",
    "ions",
    "ings",
    "ments",
    "ness",
    "ers",
    "ors",
    "ized",
    "es",
)


def fold(text: str) -> str:
    """Lower case without accents, so that “Détection” and “detection” meet."""
    decomposed = unicodedata.normalize("NFKD", text)
    return unicodedata.normalize("NFC", _ACCENT.sub("", decomposed)).casefold()


def words(text: str) -> list[str]:
    """The words of a text in order, folded."""
    return [word[:MAX_WORD] for word in _WORD.findall(_SIGN.sub(r" \1 ", fold(text)))]


def name_words(name: str) -> list[str]:
    """The words of an identifier: split at punctuation, then also inside (`fraudDetector` → frauddetector
    fraud detector).
    """
    found: list[str] = []
    for part in _WORD.findall(name):
        found.extend(words(part))
        pieces = _SEAM.split(part)
        if len(pieces) > 1:
            found.extend(word for piece in pieces for word in words(piece))
    return list(dict.fromkeys(found))


def plain(markdown: str) -> str:
    """The words of a card without addresses and tags, cut at about 4 000 characters."""
    head = _TAG.sub(" ", _URL.sub(" ", markdown[: 5 * MAX_BODY]))
    joined = " ".join(words(head))
    return joined if len(joined) <= MAX_BODY else joined[:MAX_BODY].rpartition(" ")[0]


def stems_of(partial: str) -> list[str]:
    """What a half-typed word may already be the longer form of: `clusteri` → [`cluster`], on its way to
    “clustering”.
    """
    stems = {
        partial[:-length]
        for ending in _ENDINGS
        for length in range(1, len(ending) + 1)
        if partial.endswith(ending[:length]) and len(partial) - length >= 4
    }
    return sorted(stems)
