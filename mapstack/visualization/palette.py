"""One colour per map class, the same in every picture, chart and page."""

__all__ = ["class_color", "class_rgb"]

CLASS_COLORS = {
    "divider": "#ff8c00",
    "ped_crossing": "#2f7fff",
    "boundary": "#1fae4b",
    "centerline": "#b455d6",
}
OTHER_COLORS = ("#e0407f", "#00b8b8", "#c9b400", "#8d6e63")


def class_color(name: str) -> str:
    """Colour of a class as ``#rrggbb``; a class without its own gets one that depends on its name only."""
    return CLASS_COLORS.get(name) or OTHER_COLORS[sum(name.encode()) % len(OTHER_COLORS)]


def class_rgb(name: str) -> tuple[int, int, int]:
    """Colour of a class as red, green, blue in 0 to 255."""
    color = class_color(name)
    return int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)
