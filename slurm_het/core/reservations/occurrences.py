"""When one of Slurm's reservations lasts: it may come again and again."""

from __future__ import annotations

from slurm_het.core.slurm_reservation import ReservationRecord

HOUR = 3600.0
PERIODS = {
    "HOURLY": HOUR, "DAILY": 24 * HOUR, "WEEKDAY": 24 * HOUR, "WEEKEND": 24 * HOUR,
    "WEEKLY": 7 * 24 * HOUR,
}  # fmt: skip
"""After how many seconds a reservation comes again. Of those of weekdays and of weekends it is only
assumed, and keeps nobody from what is free now."""


def is_open(own: ReservationRecord, at: float) -> bool:
    """Whether jobs of the reservation may start then."""
    begin, _ = occurrence(own, at)
    return "FLEX" in own.flags or (begin is not None and begin <= at)


def occurrence(record: ReservationRecord, at: float) -> tuple[float | None, float]:
    """From when to when the reservation lasts, the first time that it ends after `at`."""
    if record.end > at:
        return record.start, record.end
    period = next((PERIODS[flag] for flag in sorted(record.flags & PERIODS.keys())), None)
    if period is None:
        return None, record.end
    times = (at - record.end) // period + 1
    return record.start + times * period, record.end + times * period
