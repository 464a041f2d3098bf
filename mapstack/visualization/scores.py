"""From the ``metrics.json`` of a test to what a report shows of it."""

import re
from collections.abc import Mapping, Sequence

from .page import Table

__all__ = ["headline", "protocol_facts", "score_tables"]

BIN_START = re.compile(r"\D*([\d.]+)")  # of "10-20 m" and ">=30 m"


def headline(metrics: Mapping) -> tuple[str, float]:
    """Name and value of the number that sums up a ``metrics.json``; not-a-number where it is undefined."""
    result = metrics["result"]
    name = result["protocol"]["name"]
    value = result["mAP"]
    labels = {"raster": "mIoU", "lane_graph": "OLS"}
    return f"{name}/{labels.get(result['protocol']['kind'], 'mAP')}", float("nan") if value is None else float(value)


def protocol_facts(metrics: Mapping) -> dict[str, str]:
    """The protocol in full: its own words, the rules of the truth, and how the interval was made."""
    result = metrics["result"]
    facts = {}
    for line in result["statement"]:
        key, _, words = line.partition(": ")
        facts[key if words else "note"] = words or line
    facts |= {f"truth, {name}": str(rule) for name, rule in result["truth_rules"].items()}
    drawn = result["bootstrap"]
    if drawn and result["ci95"]:
        facts["95 % interval"] = (
            f"{drawn['replicates']} bootstrap draws of {drawn['num_units']} {drawn['unit']}s, seed {drawn['seed']}"
        )
    return facts


def score_tables(metrics: Mapping) -> list[Table]:
    """Per class with thresholds and intervals, by distance, by length; of the companions too."""
    result = metrics["result"]
    tables = [_class_table(result)]
    tables += _bin_tables(result)
    for companion in result["companions"].values():
        tables += [_class_table(companion), *_bin_tables(companion)]
    return tables


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _interval(result: Mapping, name: str) -> str:
    return "{:.3f} to {:.3f}".format(*result["ci95"][name]) if name in result["ci95"] else "–"


def _class_table(result: Mapping) -> Table:
    thresholds = sorted({entry["threshold_m"] for entry in result["ap"]})
    ap = {(entry["class"], entry["threshold_m"]): entry["ap"] for entry in result["ap"]}
    columns = ["class", "targets", "predictions", *(f"{t:g} m" for t in thresholds), "mean", "95 % interval"]
    rows: list[Sequence[str]] = []
    for name in result["classes"]:
        counts = [str(result[key].get(name, 0)) for key in ("num_targets", "num_predictions")]
        cells = [_figure(ap.get((name, threshold))) for threshold in thresholds]
        rows.append([name, *counts, *cells, _figure(result["per_class"][name]), _interval(result, name)])
    for name, value in result["values"].items():
        rows.append([name, "", "", *("" for _ in thresholds), _figure(value), _interval(result, name)])
    title = f"{result['protocol']['name']}, per class, {result['num_frames']} frames"
    return Table(title, columns, rows)


def _bin_tables(result: Mapping) -> list[Table]:
    """Breakdowns, bins from near to far and classes in label order: JSON keeps neither."""
    tables = []
    for key, title in (("by_distance", "By distance of the element to the car"), ("by_length", "By element length")):
        if result[key]:
            bins = sorted(result[key].items(), key=lambda item: float(BIN_START.match(item[0]).group(1)))
            names = [*(name for name in result["classes"] if name in bins[0][1]), "mAP"]
            rows = [[label, *(_figure(values[name]) for name in names)] for label, values in bins]
            tables.append(Table(title, [key.removeprefix("by_"), *names], rows))
    return tables
