"""The MMEngine metric: one entry a frame, and the same numbers however the frames were dealt out."""

import json
import multiprocessing
import socket
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.evaluator import Evaluator

from mapstack.errors import ConfigError, DataError
from mapstack.evaluation import MapMetric, evaluate
from mapstack.registry import METRICS
from mapstack.structures import MapDataSample, MapElements

from .sets import random_set

CLASSES = ("divider", "ped_crossing", "boundary")
RULES = {"divider": "maptrv2", "origin": "ego"}
NUM_FRAMES, NUM_POINTS = 9, 12


def data_samples() -> list[MapDataSample]:
    """What a model hands over: float32 predictions of a fixed point count, exact vertices as truth."""
    predictions, targets = random_set(51, num_frames=NUM_FRAMES)
    samples = []
    for number, token in enumerate(targets):
        lines = [np.array(vector) for vector in targets[token]["vectors"]]
        rng = np.random.default_rng(number)
        points = [line[np.linspace(0, len(line) - 1, NUM_POINTS).round().astype(int)] for line in lines]
        points = np.array(points).reshape(-1, NUM_POINTS, 2)
        moved = np.concatenate(
            [points + rng.normal(0, 0.3, points.shape), points + rng.normal(0, 2, (len(points), 1, 2))]
        )
        labels = torch.tensor(targets[token]["labels"], dtype=torch.int64)
        sample = MapDataSample(
            metainfo={"token": token, "scene": f"s{number // 2}", "classes": CLASSES, "rules": RULES}
        )
        sample.gt = MapElements(torch.tensor(points, dtype=torch.float32), labels, vertices=lines)
        scores = torch.tensor(rng.uniform(0, 1, len(moved)), dtype=torch.float32)
        sample.pred = MapElements(torch.tensor(moved, dtype=torch.float32), labels.repeat(2), scores)
        samples.append(sample)
    return samples


def run(samples: list[MapDataSample], batch_size: int, size: int = NUM_FRAMES, **options: object) -> dict:
    evaluator = Evaluator([dict(type="mapstack.MapMetric", replicates=20, **options)])
    for at in range(0, len(samples), batch_size):
        evaluator.process(samples[at : at + batch_size])
    return evaluator.evaluate(size)


def test_the_metric_is_found_by_name() -> None:
    metric = METRICS.build(dict(type="MapMetric", protocol="streammapnet_60x30"))
    assert isinstance(metric, MapMetric)
    assert metric.prefix == "streammapnet_60x30"
    with pytest.raises(ConfigError, match="unknown protocol"):
        MapMetric(protocol="mapr")


def test_batches_of_any_size_and_order_give_the_same_bits() -> None:
    samples = data_samples()
    once = run(samples, 1)
    assert 0.1 < once["maptr/mAP"] < 1.0
    assert {"maptr/AP_divider", "maptr/AP_divider@0.5", "maptr/AP_boundary"} <= set(once)
    assert run(samples, 4) == once
    assert run(samples[::-1], NUM_FRAMES) == once


def test_what_is_written_scores_the_same_by_the_tool(tmp_path: Path) -> None:
    metrics = run(data_samples(), 2, out_dir=str(tmp_path / "out"))
    written = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert {key: written[key] for key in metrics} == metrics
    assert written["result"]["truth_rules"]["divider"] == "maptrv2"
    again = evaluate(tmp_path / "out" / "predictions.json", tmp_path / "out" / "targets.json")
    assert again.map == metrics["maptr/mAP"]
    assert again.classes == CLASSES
    assert {f"maptr/{key}": value for key, value in again.metrics().items()} == metrics


def test_the_metric_scores_exact_vertices() -> None:
    samples = data_samples()
    for sample in samples:
        sample.gt.points = sample.gt.points + 100.0  # what the loss sees is not what is scored
    assert run(samples, 3) == run(data_samples(), 3)


def test_an_undefined_number_is_null_in_the_file(tmp_path: Path) -> None:
    samples = data_samples()
    for sample in samples:
        sample.set_metainfo({"classes": (*CLASSES, "centerline")})
    run(samples, 3, protocol="supermapnet_easy", out_dir=str(tmp_path))
    assert json.loads((tmp_path / "metrics.json").read_text())["supermapnet_easy/AP_centerline"] is None


def test_a_frame_without_map_or_prediction_is_named() -> None:
    for side in ("gt", "pred"):
        samples = data_samples()
        delattr(samples[2], side)
        with pytest.raises(DataError, match=f"token {samples[2].token} has no '{side}'"):
            run(samples, 2)


def test_frames_that_disagree_are_named() -> None:
    samples = data_samples()
    samples[3].set_metainfo({"rules": {"divider": "painted"}})
    with pytest.raises(DataError, match=f"token {samples[3].token} has rules .*painted.*maptrv2"):
        run(samples, 2)


def test_a_diverged_model_is_named() -> None:
    samples = data_samples()
    number = next(i for i, sample in enumerate(samples) if len(sample.pred))
    samples[number].pred.points[0, 0, 0] = float("nan")
    with pytest.raises(DataError, match=f"token {samples[number].token}: vector 0 holds NaN"):
        run(samples, 2)


def test_a_frame_scored_twice_is_refused() -> None:
    samples = data_samples()
    with pytest.raises(DataError, match="1 frames were scored twice"):
        run([*samples, samples[0]], 2, size=NUM_FRAMES + 1)


def _rank(rank: int, port: int, folder: str) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    samples = data_samples()
    mine = samples[rank::2] + samples[:1] * (rank == 1)  # MMEngine's sampler repeats frames to fill the last round
    metrics = run(mine, 2, collect_dir=f"{folder}/collect")
    Path(folder, f"rank{rank}.json").write_text(json.dumps(metrics))
    torch.distributed.destroy_process_group()


def test_two_processes_give_the_same_bits(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    context = multiprocessing.get_context("spawn")
    ranks = [context.Process(target=_rank, args=(rank, port, str(tmp_path))) for rank in range(2)]
    for process in ranks:
        process.start()
    for process in ranks:
        process.join(600)
    assert [process.exitcode for process in ranks] == [0, 0]
    both = [json.loads((tmp_path / f"rank{rank}.json").read_text()) for rank in range(2)]
    assert both == [run(data_samples(), 1)] * 2
