"""Generate the demo's task: translate dates as people write them, in many languages, to ISO dates.

>>> day = date(2018, 5, 3)
>>> [write_date(day, *form).source for form in (("fr", "full"), ("de", "long"), ("en_US", "short"))]
['jeudi 3 mai 2018', '3. Mai 2018', '5/3/18 [en-US]']

Names, orders and signs come from the Unicode CLDR by way of Babel. A model has to read a month's
name in some thirty languages, pick the day from the year, drop the weekday, and see from the
language in brackets whether a numeric date begins with the month: small enough to learn in minutes,
and attention can be read off it, since each output digit depends on a known part of the input.
Examples are unlimited, and nothing is downloaded.
"""

from __future__ import annotations

from datetime import date, timedelta
from functools import cache
from typing import Literal, get_args

import numpy as np
from babel import Locale
from babel.dates import DateTimePattern, match_skeleton, parse_pattern

from regard.data.corpus import Example
from regard.errors import SettingsError, nearest

__all__ = [
    "FIRST",
    "FORMATS",
    "HELD_OUT_FORMAT",
    "LAST",
    "LOCALES",
    "Part",
    "generate",
    "write_date",
]

Part = Literal["train", "valid", "test", "unseen-format"]

LOCALES = (
    *("en_US", "en_GB", "de", "fr", "es", "it", "pt", "nl", "sv", "da", "nb", "fi", "is", "et"),
    *("lv", "lt", "pl", "cs", "sk", "sl", "hr", "hu", "ro", "bg", "el", "ru", "uk", "tr", "id"),
    *("ms", "vi", "sw", "ja", "zh", "ko", "he", "ar", "hi", "ca", "eu"),
)
"""The languages, American and British English apart: they order numeric dates differently."""

FORMATS = ("full", "long", "medium", "short", "yMMMMd", "yMMMd", "yMd", "yMEd")
"""Written lengths and skeletons of the CLDR that training sees."""

HELD_OUT_FORMAT = "yMMMEd"
"""The skeleton that only the part `"unseen-format"` uses: `Thu, May 3, 2018`."""

FIRST, LAST = date(1950, 1, 1), date(2049, 12, 31)
"""A hundred years, so that a year of two digits means one year."""

_SHARE = {"valid": 0.05, "test": 0.05}


def generate(count: int, *, seed: int = 0, part: Part = "train") -> list[Example]:
    """Draw examples: `source` a written date, `target` its ISO form, `labels` language and format.

    The parts never share a date, for any seeds: each date belongs to one part. So `"valid"` and `"test"`
    hold dates that training never shows; `"unseen-format"` holds dates of
    the test part in a format that no training example has.

    Args:
        count: number of examples; without limit, though dates repeat in other forms.
        seed: of the draw; examples depend on it only.
        part: `"train"`, `"valid"`, `"test"` or `"unseen-format"`.
    """
    if part not in get_args(Part):
        raise SettingsError(f"unknown part {part!r}; {nearest(part, get_args(Part))}")
    rng = np.random.default_rng([seed, get_args(Part).index(part)])
    days = _days("test" if part == "unseen-format" else part)
    unseen = part == "unseen-format"
    formats = (HELD_OUT_FORMAT,) if unseen else FORMATS
    locales = _unseen_locales() if unseen else LOCALES
    # One row per example, so that more examples begin with the same ones.
    shares = rng.random((count, 3))
    picks = (shares * [len(days), len(locales), len(formats)]).astype(np.int64).tolist()
    return [
        write_date(FIRST + timedelta(int(days[day])), locales[locale], formats[form], number=number)
        for number, (day, locale, form) in enumerate(picks, 1)
    ]


def write_date(day: date, locale: str, form: str, *, number: int = 0) -> Example:
    """One date as written in `locale`, in a format of `FORMATS` or in the held-out one."""
    babel_locale, pattern = _pattern(locale, form)
    source = pattern.apply(day, babel_locale)
    if not _names_month(pattern):
        source = f"{source} [{locale.replace('_', '-')}]"
    return Example(source, day.isoformat(), (locale, form), ("dates", number), (day.isoformat(),))


@cache
def _days(part: str) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """The days of a part, counted from `FIRST`."""
    total = (LAST - FIRST).days + 1
    shuffled = np.random.default_rng(1582).permutation(total)
    valid, test = (int(total * _SHARE[name]) for name in ("valid", "test"))
    if part == "valid":
        return shuffled[:valid]
    return shuffled[valid : valid + test] if part == "test" else shuffled[valid + test :]


@cache
def _pattern(name: str, form: str) -> tuple[Locale, DateTimePattern]:
    """The CLDR pattern of a format in a language."""
    locale = Locale.parse(name)
    if form in locale.date_formats:
        return locale, locale.date_formats[form]
    skeletons = locale.datetime_skeletons
    return locale, parse_pattern(skeletons[match_skeleton(form, skeletons)])


@cache
def _unseen_locales() -> tuple[str, ...]:
    """The languages in which the held-out format differs from all formats of training.

    Some languages abbreviate neither weekdays nor months; there it looks like a longer format.
    """
    # The 3rd to 9th of each month: every weekday meets every month.
    days = [date(2018, month, day) for month in range(1, 13) for day in range(3, 10)]

    def differs(locale: str, day: date) -> bool:
        trained = {write_date(day, locale, form).source for form in FORMATS}
        return write_date(day, locale, HELD_OUT_FORMAT).source not in trained

    return tuple(name for name in LOCALES if all(differs(name, day) for day in days))


def _names_month(pattern: DateTimePattern) -> bool:
    """True if the month is a word, so that day and month cannot be confused."""
    return "MMM" in pattern.pattern or "LLL" in pattern.pattern
