"""A small OpenStreetMap document, written as a volunteer's editor would."""

from collections.abc import Sequence
from pathlib import Path

ORIGIN = (8.42, 49.0)  # lon, lat
DEG_PER_M = (1 / (111_319.49 * 0.656059), 1 / 111_319.49)


def lon_lat(x: float, y: float) -> tuple[float, float]:
    """Degrees of metres east and north of ORIGIN, by the tangent plane that the readers use."""
    return ORIGIN[0] + x * DEG_PER_M[0], ORIGIN[1] + y * DEG_PER_M[1]


def osm_xml(ways: Sequence[tuple[Sequence[tuple[float, float]], dict]], node_tags: dict | None = None) -> str:
    """XML of ways given in metres; points that coincide are one node. ``node_tags`` by point."""
    numbers: dict[tuple[float, float], int] = {}
    rows = []
    for points, _ in ways:
        for point in points:
            numbers.setdefault(tuple(point), 100 + len(numbers))
    for point, number in numbers.items():
        lon, lat = lon_lat(*point)
        tags = "".join(f'<tag k="{k}" v="{v}"/>' for k, v in (node_tags or {}).get(point, {}).items())
        rows.append(f'<node id="{number}" version="1" visible="true" lat="{lat:.9f}" lon="{lon:.9f}">{tags}</node>')
    for k, (points, tags) in enumerate(ways):
        refs = "".join(f'<nd ref="{numbers[tuple(point)]}"/>' for point in points)
        about = "".join(f'<tag k="{key}" v="{value}"/>' for key, value in tags.items())
        rows.append(f'<way id="{k + 1}" version="1" visible="true">{refs}{about}</way>')
    return '<?xml version="1.0" encoding="UTF-8"?>\n<osm version="0.6">\n' + "\n".join(rows) + "\n</osm>\n"


def write_osm(path: Path, *args: object) -> Path:
    """Write :func:`osm_xml` and return the path."""
    path.write_text(osm_xml(*args))
    return path


BOMB = """<?xml version="1.0"?>
<!DOCTYPE osm [<!ENTITY a "ha">{}]>
<osm version="0.6"><node id="1" lat="1" lon="1"><tag k="name" v="&n9;"/></node></osm>
""".format("".join(f'<!ENTITY n{i} "{("&n" + str(i - 1) + ";") * 20 if i else "&a;" * 20}">' for i in range(10)))
