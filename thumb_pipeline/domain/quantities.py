"""Formats numbers, bytes and durations for people, in commands and in the UI alike."""


def counted(n: int, noun: str) -> str:
    """A number with its noun, such as 1 source or 1,200 sources."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def human_bytes(n_bytes: float) -> str:
    """Bytes for people, such as 12.3 MB (powers of 1000)."""
    for unit in ("B", "kB", "MB", "GB"):
        if n_bytes < 1000:
            return f"{n_bytes:.0f} {unit}" if unit == "B" else f"{n_bytes:.1f} {unit}"
        n_bytes /= 1000
    return f"{n_bytes:.1f} TB"


def human_seconds(seconds: float) -> str:
    """A duration for people, such as 1 h 12 min or 4 days."""
    if seconds < 60:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min" if minutes < 72 * 60 else counted(minutes // 1440, "day")
