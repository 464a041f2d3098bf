"""Make a table of docs/RESULTS.md from nothing: data, training, scoring. Killed, it goes on where it stood.

Recipes are configs/tables/TABLE.py; runs are kept in work_dirs/reproduce, and shared by tables that have one in common.
"""

import argparse
import sys
from pathlib import Path

from mapstack.engine.reproduce import make_table, result_of
from mapstack.engine.tables import Table, load_tables
from mapstack.errors import ConfigError, MapstackError

RECIPES = Path("configs/tables")
DOCS = Path("docs")


def parse_args() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("tables", nargs="*", default=[], metavar="TABLE", help="names that --list prints")
    what.add_argument("--list", action="store_true", help="name the tables and what is left to be made of each")
    what.add_argument("--all", action="store_true", help="make every table")
    parser.add_argument("--runs", type=Path, default=Path("work_dirs/reproduce"), help="where runs are kept")
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time, for a GPU or a machine of many cores")
    return parser.parse_args()


def print_list(tables: dict[str, Table], runs: Path) -> None:
    """A line a table."""
    for name, table in tables.items():
        wanted = table.runs()
        done = sum(result_of(run, runs) is not None for run in wanted)
        print(f"{name:20} {done}/{len(wanted)} runs done  {table.title}")


def main() -> None:
    """List, or make one table after the other."""
    args = parse_args()
    tables = load_tables(RECIPES)
    if args.list:
        print_list(tables, args.runs)
        return
    names = list(tables) if args.all else args.tables
    unknown = [name for name in names if name not in tables]
    if unknown:
        raise ConfigError(f"there is no table {unknown[0]!r}; there are {', '.join(tables)}")
    for name in names:
        print(f"written: {make_table(tables[name], args.runs, DOCS, args.jobs)}, {DOCS}/RESULTS.md")


if __name__ == "__main__":
    try:
        main()
    except MapstackError as error:
        sys.exit(f"error: {error}")
