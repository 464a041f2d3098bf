from mapstack.visualization.growth import growth_svg

CURVES = {
    "a": [{"cells": 100, "ms": 4.0, "mib": 8.0}, {"cells": 200, "ms": 9.0, "mib": 16.0}],
    "b": [{"cells": 100, "ms": 5.0}, {"cells": 200, "ms": 0.0}],
}


def test_growth_shows_every_contender_that_has_numbers() -> None:
    svg = growth_svg(CURVES, "cells", "BEV cells", {"ms": "milliseconds", "mib": "memory"})
    for text in ("BEV cells", "milliseconds", "memory", ">a<", ">b<"):
        assert text in svg
    assert svg == growth_svg(CURVES, "cells", "BEV cells", {"ms": "milliseconds", "mib": "memory"})
    assert growth_svg({}, "cells", "BEV cells", {"ms": "milliseconds"}).startswith("<svg")
