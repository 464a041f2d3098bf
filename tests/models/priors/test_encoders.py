"""Encoders of prior vectors: what a token may depend on, and what not."""

from dataclasses import replace

import numpy as np
import pytest
import shapely
import torch

from mapstack.errors import ConfigError
from mapstack.geometry import BEVGrid
from mapstack.models.building import build_part
from mapstack.models.priors.batch import nearest_and_longest, prior_inputs
from mapstack.models.priors.embedding import directions
from mapstack.models.priors.nearness import coarse_centers, nearness
from mapstack.structures.prior_map import PRIOR_CLASSES
from tests.models.decoders.problems import GRID

from .problems import ENCODER, SEQUENCE, batch, build_prior, gap, prior_map

ENCODERS = {"heads": ENCODER, "points": {**ENCODER, "between": "points"}, "sequence": SEQUENCE}


def encoder(name: str, **changes: object) -> torch.nn.Module:
    torch.manual_seed(0)
    return build_part({**ENCODERS[name], **changes}, {"grid": GRID}).eval()


@pytest.mark.parametrize("name", ENCODERS)
@torch.no_grad()
def test_neither_order_nor_padding_nor_other_frames_change_a_vector(name: str) -> None:
    model, both = encoder(name), batch(5, 0, 9)
    tokens = model(both).elements
    alone = model(batch(5)).elements
    assert gap(tokens[0, :5], alone[0]) < 1e-5
    order = torch.tensor([3, 1, 4, 0, 2])
    vectors = batch(5)
    turned = replace(vectors, **{key: value[:, order] for key, value in vars(vectors).items()})
    assert gap(model(turned).elements[0], alone[0, order]) < 1e-5
    assert torch.isfinite(tokens).all(), "a frame without priors spoils the batch"


@torch.no_grad()
def test_vectors_hear_of_each_other_between_and_not_within() -> None:
    vectors = batch(4)
    points = vectors.points.clone()
    points[0, 3] += 1.0
    moved = replace(vectors, points=points)
    apart, together = encoder("heads", num_between=0), encoder("heads")
    assert gap(apart(vectors).points[0, :3], apart(moved).points[0, :3]) == 0
    assert gap(together(vectors).points[0, :3], together(moved).points[0, :3]) > 1e-4


@torch.no_grad()
def test_every_part_of_the_embedding_is_told() -> None:
    model, vectors = encoder("heads"), batch(3)
    known = model(vectors).elements
    for name in ("labels", "sources"):
        other = replace(vectors, **{name: (getattr(vectors, name) + 1) % 3})
        assert gap(model(other).elements, known) > 1e-3, name
    for name in ("confidence", "tags"):
        other = replace(vectors, **{name: getattr(vectors, name) + 0.5})
        assert gap(model(other).elements, known) > 1e-3, name
    backwards = replace(vectors, points=vectors.points.flip(2))
    assert gap(model(backwards).elements, known) > 1e-3, "position in the vector or direction"


@torch.no_grad()
def test_hidden_coordinates_do_not_leak() -> None:
    model, vectors = encoder("heads"), batch(3)
    hidden = torch.zeros(1, 3, 8, dtype=torch.bool)
    hidden[0, 0] = True
    hidden[0, 1, [0, 4, 7]] = True
    other = torch.where(hidden[..., None], vectors.points + 5.0, vectors.points)
    shown = model(vectors, hidden).points
    assert gap(shown, model(replace(vectors, points=other), hidden).points) == 0
    assert gap(shown, model(vectors).points) > 1e-3


def test_an_encoder_says_which_number_of_points_it_takes() -> None:
    with pytest.raises(ValueError, match="have 8 points, the encoder takes 20"):
        encoder("heads", num_points=20)(batch(2))
    with pytest.raises(ConfigError, match="between must be one of"):
        encoder("heads", between="lines")


def test_smerf_embeds_eleven_points_in_sixteen_waves_a_coordinate() -> None:
    model = encoder("sequence")
    assert model.embed.in_features == 11 * 2 * 16 + len(PRIOR_CLASSES)


def test_the_nearest_are_kept_nearest_first() -> None:
    points = torch.zeros(4, 2, 2)
    points[:, :, 0] = torch.tensor([9.0, 1.0, 30.0, 5.0])[:, None]
    points[0, 1, 1] = 80.0  # 9 m away and 80 m long: counts as 1 m
    assert nearest_and_longest(points, 3).tolist() == [0, 1, 3]
    inputs = prior_inputs([prior_map(3000), prior_map(0)], limit=50)
    assert inputs["prior_points"].shape[:2] == (2, 50) and inputs["prior_valid"].sum(1).tolist() == [50, 0]
    distance = inputs["prior_points"][0].norm(dim=-1).amin(1)
    assert distance.max() < prior_map(3000).points.norm(dim=-1).amin(1).median()
    assert prior_inputs([prior_map(0)], limit=50)["prior_points"].shape == (1, 1, 8, 2), "no shape is empty"


def test_nearness_is_shapelys_within_its_tolerance() -> None:
    vectors = batch(6).points
    places = coarse_centers(BEVGrid(**GRID), 3, vectors).flatten(0, 1)
    found = nearness(places, vectors)
    lines = [shapely.linestrings(line) for line in vectors[0].numpy()]
    true = shapely.distance(shapely.points(places.numpy())[:, None], np.array(lines)[None])
    assert (found.distance[0].numpy() >= true - 1e-4).all() and np.abs(found.distance[0].numpy() - true).max() < 0.6
    assert np.abs(found.distance[0].numpy() - true).mean() < 0.15
    assert coarse_centers(BEVGrid(**GRID), 3, vectors).shape == (3, 6, 2)  # 8 x 16 cells, the last ones fewer


def test_a_vector_without_length_has_no_direction_and_no_nan() -> None:
    points = torch.zeros(1, 1, 8, 2)
    assert not directions(points).any()
    assert torch.isfinite(nearness(torch.rand(3, 2), points).distance).all()


def test_raster_draws_each_class_in_its_layer() -> None:
    part = build_prior("raster", width_m=1.0, stride=1).parts["raster"]
    vectors = batch(1)
    line = torch.stack([torch.linspace(-7, 7, 8), torch.full((8,), 1.5)], -1)
    vectors = replace(vectors, points=line[None, None], labels=torch.tensor([[5]]))
    drawn = part.draw(vectors)[0]
    assert drawn.shape == (len(PRIOR_CLASSES), 8, 16)
    assert drawn[5, 5, 1:15].min() > 0.5, "row 5 holds y from 1 m to 2 m"
    assert drawn[5, [0, 1, 2, 3, 7]].max() == 0 and drawn.sum() == drawn[5].sum()
