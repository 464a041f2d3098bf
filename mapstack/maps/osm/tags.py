"""What OpenStreetMap's tags say about a street, as far as a map of lanes can use it."""

from collections.abc import Mapping
from enum import Enum

from mapstack.errors import DataError

__all__ = ["CAR_HIGHWAYS", "ROAD_CLASSES", "Highway", "is_road", "lane_count", "one_way", "road_attributes"]

ROAD_CLASSES = (
    *("motorway", "trunk", "primary", "secondary", "tertiary"),
    *("unclassified", "residential", "service", "busway", "road"),
)


class Highway(Enum):
    """Every value of ``highway`` that a car can drive on, with the class of road that it is to a model.

    An enumeration, because a list of strings loses a type to a missing comma without a word: PriorDrive and P-MapNet
    see no ``tertiary_link`` and no ``living_street`` for that reason. Links keep the class of their road and are
    marked as links.
    """

    motorway = "motorway"
    motorway_link = "motorway"
    trunk = "trunk"
    trunk_link = "trunk"
    primary = "primary"
    primary_link = "primary"
    secondary = "secondary"
    secondary_link = "secondary"
    tertiary = "tertiary"
    tertiary_link = "tertiary"
    unclassified = "unclassified"
    residential = "residential"
    living_street = "residential"
    service = "service"
    track = "service"
    busway = "busway"
    bus_guideway = "busway"
    road = "road"  # a street whose class nobody has told


CAR_HIGHWAYS = frozenset(Highway.__members__)  # aliases included, which iterating over the enumeration would leave out
TRUE, FALSE = frozenset({"yes", "true", "1", "y", "t"}), frozenset({"no", "false", "0", "n", "f", ""})
BACKWARD = frozenset({"-1", "reverse"})
# Geofabrik's shapefiles write F and T for the two directions and B for both; other files T and F for true and false.
GEOFABRIK_ONE_WAY = {"F": 1, "T": -1, "B": 0}
NAMED = ("name", "ref", "maxspeed", "surface", "layer")
ONE_WAY_UNLESS_TOLD = frozenset({"motorway"})  # by OpenStreetMap's rules, as are roundabouts


def is_road(tags: Mapping[str, str]) -> bool:
    """Whether a way is a street that a car can use; areas such as squares have no course and are none."""
    return tags.get("highway") in CAR_HIGHWAYS and tags.get("area", "no").lower() not in TRUE


def lane_count(tags: Mapping[str, str]) -> int | None:
    """Lanes of both directions together; of several values (``2;3``) the first, None where it is not told."""
    first = tags.get("lanes", "").split(";")[0].strip()
    try:
        count = round(float(first))
    except ValueError:
        return None
    return count if 0 < count < 100 else None


def one_way(tags: Mapping[str, str]) -> int:
    """1 along the way's points, -1 against them, 0 for both directions."""
    value = tags.get("oneway", "").strip().lower()
    if value in BACKWARD:
        return -1
    if value in TRUE:
        return 1
    told = bool(value)
    is_implied = tags.get("junction") in ("roundabout", "circular") or tags.get("highway") in ONE_WAY_UNLESS_TOLD
    return int(is_implied and not told)


def road_attributes(tags: Mapping[str, str], token: str) -> dict:
    """What is kept of a street.

    Args:
        tags: of the way; :func:`is_road` holds.
        token: names it in messages.

    Returns:
        ``token``, ``highway`` as OpenStreetMap has it, ``road_class`` of :data:`ROAD_CLASSES`, ``link``, ``oneway``
        (1, -1, 0), ``lanes`` (None where unknown), ``bridge``, ``tunnel``, and name, ref, maxspeed, surface and layer
        where they are told.
    """
    highway = tags.get("highway", "")
    if highway not in CAR_HIGHWAYS:
        raise DataError(
            f"{token}: highway={highway!r} is no street for cars; known are {', '.join(sorted(CAR_HIGHWAYS))}"
        )
    about = {
        "token": token,
        "highway": highway,
        "road_class": Highway[highway].value,
        "link": highway.endswith("_link"),
        "oneway": one_way(tags),
        "lanes": lane_count(tags),
        "bridge": tags.get("bridge", "").lower() not in FALSE,
        "tunnel": tags.get("tunnel", "").lower() not in FALSE,
    }
    return about | {key: tags[key] for key in NAMED if tags.get(key)}
