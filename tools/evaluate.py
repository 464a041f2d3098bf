"""Score a predictions file against a targets file: python tools/evaluate.py PRED.json GT.json --protocol maptr."""

import argparse
import json
import sys
from pathlib import Path

from mapstack.errors import MapstackError
from mapstack.evaluation import PROTOCOLS, Options, evaluate


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("predictions", help='JSON: {token: {"vectors", "labels", "scores"}}, alone or under "results"')
    parser.add_argument("targets", help="JSON of the same form without scores")
    parser.add_argument("--protocol", default="maptr", choices=PROTOCOLS, metavar="NAME", help=", ".join(PROTOCOLS))
    parser.add_argument("--classes", nargs="+", help="class names in label order, where the files do not say")
    parser.add_argument("--scenes", help="JSON {token: scene} for the bootstrap, where the files do not say")
    parser.add_argument("--replicates", type=int, default=1000, help="bootstrap draws (default 1000, 0 for none)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the bootstrap")
    parser.add_argument("--out", help="write the result as JSON to this file")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv)
    try:
        scenes = json.loads(Path(args.scenes).read_text(encoding="utf-8")) if args.scenes else None
        options = Options(replicates=args.replicates, seed=args.seed)
        result = evaluate(
            args.predictions, args.targets, args.protocol, classes=args.classes, scenes=scenes, options=options
        )
    except (MapstackError, OSError, json.JSONDecodeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(result)
    if args.out:
        Path(args.out).write_text(result.to_json() + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
