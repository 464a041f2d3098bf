"""Score a config's prior maps themselves as if they were predictions: what a model must beat that is given them."""

import argparse
import json
import sys
from pathlib import Path

from mmengine.config import DictAction

from mapstack.engine import load_config
from mapstack.errors import ConfigError, MapstackError
from mapstack.evaluation import MapMetric
from mapstack.registry import DATASETS

KEPT = ("SetOrigin", "DisturbPose", "VectorizeMap", "LoadPriors", "PackMapInputs")  # no sensor is read


def parse_args() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", help="whose test pipeline has LoadPriors")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="where the scores are written, JSON")
    parser.add_argument("--protocol", default="maptr")
    parser.add_argument("--cfg-options", nargs="+", action=DictAction, metavar="KEY=VALUE")
    return parser.parse_args()


def main() -> None:
    """Cut the priors of every test frame and score them."""
    args = parse_args()
    cfg = load_config(args.config, args.cfg_options)
    section = cfg.test_dataloader.dataset
    section.pipeline = [step for step in section.pipeline if step["type"] in KEPT]
    if not any(step["type"] == "LoadPriors" for step in section.pipeline):
        raise ConfigError(f"{args.config}: its test pipeline has no LoadPriors, so there is no prior to score")
    dataset, metric = DATASETS.build(section), MapMetric(args.protocol)
    metric.dataset_meta = dataset.metainfo
    for number in range(len(dataset)):
        frame = dataset[number]
        sample = frame["data_samples"]
        sample.pred = frame["inputs"]["prior"].as_elements(sample.classes)
        metric.process(None, [sample.to_dict()])
    metrics = metric.evaluate(len(dataset))
    args.out.parent.mkdir(parents=True, exist_ok=True)
    kept = {key: value for key, value in metrics.items() if value == value}  # a class without truth has no score
    args.out.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    print(f"mAP {metrics[f'{metric.prefix}/mAP']:.4f} of the priors themselves; written: {args.out}")


if __name__ == "__main__":
    try:
        main()
    except MapstackError as error:
        sys.exit(f"error: {error}")
