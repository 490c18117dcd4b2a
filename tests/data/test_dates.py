"""The demo's task is right, unambiguous and honest about what was held out."""

import re
from datetime import date

import pytest
from babel.dates import format_date

from regard.data import dates
from regard.errors import SettingsError


def test_more_than_twenty_languages() -> None:
    assert len({name.partition("_")[0] for name in dates.LOCALES}) >= 20
    seen = {example.labels[0] for example in dates.generate(2000)}
    assert seen == set(dates.LOCALES)


@pytest.mark.parametrize(
    ("locale", "form", "written"),
    [
        ("fr", "full", "jeudi 3 mai 2018"),
        ("de", "long", "3. Mai 2018"),
        ("en_US", "short", "5/3/18 [en-US]"),
        ("en_GB", "short", "03/05/2018 [en-GB]"),
        ("ja", "full", "2018年5月3日木曜日 [ja]"),
        ("ru", "yMMMMd", "3 мая 2018\u202fг."),
    ],
)
def test_dates_as_people_write_them(locale: str, form: str, written: str) -> None:
    example = dates.write_date(date(2018, 5, 3), locale, form)
    assert (example.source, example.target) == (written, "2018-05-03")
    assert example.labels == (locale, form)


@pytest.mark.parametrize("part", ["train", "test"])
def test_babel_would_write_the_same(part: dates.Part) -> None:
    for example in dates.generate(500, seed=7, part=part):
        locale, form = example.labels
        if form in ("full", "long", "medium", "short"):
            day = date.fromisoformat(example.target or "")
            assert re.sub(r" \[.*\]$", "", example.text) == format_date(day, form, locale)


def test_numeric_dates_name_their_language() -> None:
    for example in dates.generate(3000):
        numeric = not re.search(r"[^\W\d]", re.sub(r"\[.*", "", example.text))
        assert not numeric or re.search(r" \[[a-z]{2}(-[A-Z]{2})?\]$", example.text)


def test_nothing_written_means_two_dates() -> None:
    meaning: dict[str, str] = {}
    for part in ("train", "valid", "test", "unseen-format"):
        for example in dates.generate(3000, part=part):
            assert meaning.setdefault(example.text, example.target or "") == example.target


def test_the_parts_share_no_date_whatever_the_seed() -> None:
    train = {e.target for seed in (0, 1) for e in dates.generate(4000, seed=seed)}
    valid = {e.target for seed in (0, 1) for e in dates.generate(1500, seed=seed, part="valid")}
    test = {e.target for seed in (0, 1) for e in dates.generate(1500, seed=seed, part="test")}
    assert not train & valid
    assert not train & test
    assert not valid & test
    unseen = {e.target for e in dates.generate(2000, part="unseen-format")}
    assert not unseen & (train | valid)


def test_the_held_out_format_is_like_no_other() -> None:
    trained = {(e.labels[0], skeleton(e.text)) for e in dates.generate(12_000)}
    unseen = dates.generate(1000, part="unseen-format")
    assert {e.labels[1] for e in unseen} == {dates.HELD_OUT_FORMAT}
    assert len({e.labels[0] for e in unseen}) >= 20
    for example in unseen:
        assert (example.labels[0], skeleton(example.text)) not in trained


def skeleton(text: str) -> str:
    """What is left of a date without its numbers: names of weekdays and months, and signs."""
    return re.sub(r"\d+", "9", text)


def test_same_seed_same_dates() -> None:
    assert dates.generate(50, seed=3) == dates.generate(50, seed=3)
    assert dates.generate(50, seed=3) != dates.generate(50, seed=4)
    assert dates.generate(50, seed=3) == dates.generate(80, seed=3)[:50]
    assert dates.generate(0) == []


def test_all_years_of_the_hundred() -> None:
    years = {(e.target or "")[:4] for e in dates.generate(3000)}
    assert (min(years), max(years), len(years)) == ("1950", "2049", 100)


def test_an_unknown_part_names_the_nearest() -> None:
    with pytest.raises(SettingsError, match="did you mean 'test'"):
        dates.generate(1, part="tests")  # type: ignore[arg-type]
