"""Score several predictions files of the same targets side by side, differences with a paired bootstrap.

python tools/compare.py BASELINE.json OTHER.json ... --targets GT.json --protocol maptr
"""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from mapstack.errors import MapstackError
from mapstack.evaluation import PROTOCOLS, Options, compare, evaluate, render_comparison


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("predictions", nargs="+", help="JSON files; the first is the baseline")
    parser.add_argument("--targets", required=True, help="JSON file of the truth")
    parser.add_argument("--protocol", default="maptr", choices=PROTOCOLS, metavar="NAME", help=", ".join(PROTOCOLS))
    parser.add_argument("--classes", nargs="+", help="class names in label order, where the files do not say")
    parser.add_argument("--scenes", help="JSON {token: scene} for the bootstrap, where the files do not say")
    parser.add_argument("--replicates", type=int, default=1000, help="paired bootstrap draws")
    parser.add_argument("--seed", type=int, default=0, help="seed of the bootstrap")
    parser.add_argument("--out", help="write the differences as JSON to this file")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv)
    if len(set(args.predictions)) < len(args.predictions):
        print("error: the same predictions file is named twice", file=sys.stderr)
        return 1
    try:
        scenes = json.loads(Path(args.scenes).read_text(encoding="utf-8")) if args.scenes else None
        options = Options(replicates=0, seed=args.seed)
        results = {
            path: evaluate(path, args.targets, args.protocol, classes=args.classes, scenes=scenes, options=options)
            for path in args.predictions
        }
        differences = compare(results, args.replicates, args.seed)
    except (MapstackError, OSError, json.JSONDecodeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(render_comparison(results, differences))
    if args.out:
        table = json.dumps([asdict(item) for item in differences], indent=1)
        Path(args.out).write_text(table + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
