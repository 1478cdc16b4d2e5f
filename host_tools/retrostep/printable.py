"""Texts from a device, made safe to print: one that lies could otherwise steer the terminal."""

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def printable(text: str, keep: str = "") -> str:
    """`text` with every character that is not printable replaced, but those in `keep`."""
    return "".join(one if one.isprintable() or one in keep else REPLACEMENT for one in text)
