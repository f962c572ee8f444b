from __future__ import annotations

import re
from datetime import datetime, timezone

from ._defaults import RETRY_CEILING

_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_FORMS = [
    re.compile(form, re.IGNORECASE | re.ASCII)
    for form in (
        # RFC 9110, RFC 850, asctime
        r"[a-z]{3}, (?P<day>\d\d) (?P<month>[a-z]{3}) (?P<year>\d{4}) (?P<time>\d\d:\d\d:\d\d) GMT",
        r"[a-z]{6,9}, (?P<day>\d\d)-(?P<month>[a-z]{3})-(?P<year>\d\d) (?P<time>\d\d:\d\d:\d\d) GMT",
        r"[a-z]{3} (?P<month>[a-z]{3}) (?P<day>[ \d]\d) (?P<time>\d\d:\d\d:\d\d) (?P<year>\d{4})",
    )
]


def seconds(digits: str | bytes, unit: float = 1.0) -> float:
    """A number of any length, up to the ceiling."""
    digits = digits.lstrip("0") if isinstance(digits, str) else digits.lstrip(b"0")
    # Python converts no number of more than some thousands of digits.
    return min(int(digits or b"0") * unit, RETRY_CEILING) if len(digits) < 16 else RETRY_CEILING


def retry_after(field: str, now: float) -> float | None:
    """What `Retry-After` says, in seconds, where it names a time that is still to come: seconds, or a date in one of the three
    forms of HTTP. `now` is the time of day in seconds since 1970."""
    field = field.strip(" \t")
    if re.fullmatch(r"[0-9]+", field):
        return seconds(field) or None
    named = next((found for form in _FORMS if (found := form.fullmatch(field))), None)
    if named is None:
        return None
    try:
        year = int(named["year"])
        if len(named["year"]) == 2:
            this = datetime.fromtimestamp(now, timezone.utc).year
            year += this // 100 * 100
            # RFC 9110: more than 50 years ahead is of the last century.
            if year > this + 50:
                year -= 100
        month, (hour, minute, second) = _MONTHS.index(named["month"].lower()) + 1, map(int, named["time"].split(":"))
        moment = datetime(year, month, int(named["day"]), hour, minute, second, tzinfo=timezone.utc)
        left = moment.timestamp() - now
    except (ValueError, OverflowError):
        return None
    return min(left, RETRY_CEILING) if left > 0 else None
