"""Small things of language that several commands say."""


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """ "1 device", "2 devices"; plural: where it is more than the noun with an s."""
    return f"{number} {noun if number == 1 else plural or noun + 's'}"
