"""How tables group Scores: by where the sensor was worn, real or virtual, source and group of people."""

from collections import defaultdict
from collections.abc import Iterable

from retrostep.evaluation.scoring import Score
from retrostep.evaluation.tables.cells import Cell

WHERE = ("worn", "kind", "source", "group")


def by_source(scores: Iterable[Score]) -> list[tuple[tuple[str, bool, str, str], list[Score]]]:
    """By placement, virtual, source, group; after the groups of a source all of them together."""
    groups: dict[tuple[str, bool, str, str], list[Score]] = defaultdict(list)
    for one in scores:
        facts = one.facts
        groups[facts.placement, facts.virtual, facts.source, facts.group].append(one)
    result: list[tuple[tuple[str, bool, str, str], list[Score]]] = []
    order = {"waist": 0, "shoe": 1, "pocket": 2}
    sources = sorted({key[:3] for key in groups}, key=lambda key: (order[key[0]], key[1], key[2]))
    for source in sources:
        of_source = [(key, groups[key]) for key in sorted(groups) if key[:3] == source]
        if len(of_source) > 1:
            result.append(((*source, "all"), [one for _, members in of_source for one in members]))
        result += of_source
    return result


def where(key: tuple[str, bool, str, str]) -> list[Cell]:
    """The first four cells of a row: WHERE."""
    placement, virtual, source, group = key
    return [placement, "virtual" if virtual else "real", source, group]


def people_in(scores: Iterable[Score], true: str | None = None) -> int:
    """How many people there are; or only those of whom a step in the true direction `true` was found."""
    return len(
        {one.facts.person for one in scores if true is None or any(step.true == true for step in one.judged)}
    )


def true_directions(scores: Iterable[Score]) -> list[str]:
    """The true directions of the steps found, in the order in which tables list them."""
    present = {step.true for one in scores for step in one.judged}
    order = ("forward", "backward", "sideways", "turn", "in_place", "unknown")
    return [name for name in order if name in present] + sorted(present - set(order))


def says_direction(scores: Iterable[Score]) -> bool:
    """False at a shoe whose mounting is unknown: there everything is unknown."""
    return any(step.found != "unknown" for one in scores for step in one.judged)
