"""Sizes as people read and write them, in units of 1024."""

from __future__ import annotations

UNITS = ("KiB", "MiB", "GiB", "TiB")


def in_words(size: int | float) -> str:
    """`1.5 GiB`."""
    size = float(size)
    if abs(size) < 1024:
        return f"{int(size)} B"
    for unit in UNITS:
        size /= 1024
        # 1023.95 would round to a four-digit number, so it belongs to the next unit.
        if abs(size) < 1023.95 or unit == UNITS[-1]:
            break
    return f"{size:.0f} {unit}" if abs(size) >= 100 else f"{size:.1f} {unit}"


def exactly(size: int) -> str:
    """In the largest unit that leaves nothing over, so that what is read again is the same: `1536 MiB`."""
    power = max((power for power in range(len(UNITS) + 1) if size and size % 1024**power == 0), default=0)
    return f"{size // 1024**power} {('B', *UNITS)[power]}"


def read(text: str) -> int:
    """Bytes of `500 GiB`, `1.5T`, `2048`; a unit is one of 1024s, however it is spelt. Raises ValueError."""
    clean = text.replace(" ", "").replace("\u00a0", "").lower().removesuffix("b").removesuffix("i")
    power = "kmgt".find(clean[-1:]) + 1 if clean else 0
    number = clean[:-1] if power else clean
    if not number or not number.isascii() or not number.replace(".", "", 1).isdigit() or len(number) > 20:
        raise ValueError("A size, like 500 GiB or 2 TiB.")
    found = round(float(number) * float(1024**power))
    if found > 2**62:
        raise ValueError("That is more than there is.")
    return found
