"""Score a prior map itself as if it were the prediction: what a model that was given it must beat.

CONFIG has LoadPriors in its test pipeline; no sensor is loaded and no model is built.
"""

import argparse
import json
import sys
from pathlib import Path

from mmengine.config import DictAction
from tqdm import tqdm

from mapstack.engine import load_config
from mapstack.errors import ConfigError, MapstackError
from mapstack.evaluation import PROTOCOLS, Options, evaluate, write_submission
from mapstack.maps.prior_lines import PRIOR_SOURCES
from mapstack.registry import DATASETS
from mapstack.visualization import DrawnMap

STEPS = ("SetOrigin", "DisturbPose", "VectorizeMap", "LoadPriors")


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config")
    parser.add_argument("--source", default="hd", choices=PRIOR_SOURCES, help="which of its priors (default hd)")
    parser.add_argument("--protocol", default="maptr", choices=PROTOCOLS, metavar="NAME")
    parser.add_argument("--out", type=Path, help="write predictions.json here")
    parser.add_argument("--metrics", type=Path, metavar="FILE", help="write the scores as JSON, as a table takes them")
    parser.add_argument("--cfg-options", nargs="+", action=DictAction, metavar="KEY=VALUE")
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    cfg = load_config(args.config, args.cfg_options)
    section = cfg.test_dataloader.dataset
    pipeline = [step for step in section.pipeline if step["type"] in STEPS]
    if "LoadPriors" not in [step["type"] for step in pipeline]:
        raise ConfigError(f"{args.config}: the test pipeline has no LoadPriors, so there is no prior to score")
    dataset = DATASETS.build({**section, "pipeline": pipeline})
    classes = tuple(cfg.classes)
    predictions, targets = {}, {}
    for place in tqdm(range(len(dataset)), desc="frames", unit="frame"):
        frame = dataset[place]
        found = frame["prior"].of_source(args.source).as_elements(classes)
        predictions[frame["token"]] = DrawnMap.from_elements(found, classes).to_vectors()
        about = {"scene": frame["scene"], "timestamp_ns": frame["timestamp_ns"]}
        targets[frame["token"]] = DrawnMap.from_elements(frame["gt"], classes).to_vectors() | about
    result = evaluate(predictions, targets, args.protocol, classes=classes, options=Options(replicates=0))
    print(result)
    if args.out:
        args.out.mkdir(parents=True, exist_ok=True)
        write_submission(args.out / "predictions.json", predictions.items(), {"classes": list(classes)})
    if args.metrics:
        args.metrics.write_text(
            json.dumps({f"{args.protocol}/{key}": value for key, value in result.metrics().items()})
        )


if __name__ == "__main__":
    try:
        main()
    except MapstackError as error:
        sys.exit(f"error: {error}")
