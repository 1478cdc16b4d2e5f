"""How full a lithium cell is, from its voltage at rest: a guess good to some ten percent."""

# (mV, %).
_CURVE = ((3300, 0), (3600, 10), (3700, 30), (3800, 55), (3950, 80), (4150, 100))


def charge_percent(battery_mv):
    """0 .. 100."""
    low_mv, low = _CURVE[0]
    for high_mv, high in _CURVE:
        if battery_mv <= high_mv:
            return low + max(battery_mv - low_mv, 0) * (high - low) // max(high_mv - low_mv, 1)
        low_mv, low = high_mv, high
    return 100
