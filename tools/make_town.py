"""Grow the synthetic town: nuScenes and Argoverse 2 files, OpenStreetMap and an aged map, all of one world."""

import argparse

from mapstack.datasets.town import make_town


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out_dir", help="folder of the town; an earlier town of the same kind is kept")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--size", default="small", help="tiny, small or large")
    parser.add_argument("--num-workers", type=int, default=2, help="processes that render; 0 renders in this one")
    args = parser.parse_args()
    paths = make_town(args.out_dir, seed=args.seed, size=args.size, num_workers=args.num_workers, show_progress=True)
    print(paths.root)


if __name__ == "__main__":
    main()
