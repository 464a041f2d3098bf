"""HPQuery: which queries a prior changes, and in what."""

import pytest
import torch

from mapstack.errors import ConfigError
from mapstack.models.decoders.queries import Queries, hide_absent
from mapstack.models.priors.encoder import VectorTokens
from mapstack.models.priors.queries import HPQuery, PriorQueries, resampled
from mapstack.structures import PriorBatch

from .problems import batch, build_prior, gap


def own_queries(count: int = 6, dims: int = 2) -> Queries:
    generator = torch.Generator().manual_seed(3)
    points = torch.randn(2, count, 10, dims, generator=generator)
    return Queries(points, torch.randn(2, count, 16, generator=generator), torch.zeros(2, count, dtype=torch.long))


def prior_queries(operator: str, reference: str = "prior", **options: object) -> tuple[PriorBatch, PriorQueries]:
    torch.manual_seed(0)
    vectors = batch(3, 0)
    module = HPQuery(16, 16, num_classes=3, max_queries=4, operator=operator, reference=reference, **options)
    torch.nn.init.normal_(module.element.weight)
    tokens = VectorTokens(torch.randn(2, 3, 16), torch.randn(2, 3, 8, 16))
    return vectors, module(vectors, tokens, torch.ones(2, 3))


def test_concatenated_priors_stand_behind_and_begin_at_their_points() -> None:
    vectors, prior = prior_queries("concatenate")
    own, context = own_queries(dims=3), torch.randn(2, 4, 16)
    joined = prior.join(own, context)
    assert joined.present.tolist() == [[True] * 9 + [False], [True] * 6 + [False] * 4]
    assert gap(joined.points[:, :6], own.points) == 0 and gap(joined.element[:, :6], own.element) == 0
    assert gap(joined.points[0, 6:9, :, :2], resampled(vectors.points[0], 10)) == 0
    assert gap(joined.element[0, 6:9], (context + prior.element)[0, :3]) == 0
    assert joined.points.shape[-1] == 3 and not joined.points[0, 6:, :, 2].any()
    assert (joined.labels[0, 6:9] <= 3).all(), "what is of no class of the decoder is of none"


@pytest.mark.parametrize("reference", ["prior", "own"])
@pytest.mark.parametrize("operator", ["replace", "add"])
def test_the_last_queries_make_way_where_there_is_a_prior(operator: str, reference: str) -> None:
    vectors, prior = prior_queries(operator, reference)
    own, context = own_queries(), torch.randn(2, 4, 16)
    joined = prior.join(own, context)
    assert joined.present is None and joined.points.shape == own.points.shape
    assert gap(joined.points[1], own.points[1]) == 0 and gap(joined.element[1], own.element[1]) == 0
    assert gap(joined.element[0, :2], own.element[0, :2]) == 0 and gap(joined.element[0, 5], own.element[0, 5]) == 0
    begun = own.element if operator == "add" else context
    begun = begun[0, 2:5] if operator == "add" else begun[0, :3]
    assert gap(joined.element[0, 2:5], begun + prior.element[0, :3]) < 1e-6
    where = resampled(vectors.points[0], 10) if reference == "prior" else own.points[0, 2:5]
    assert gap(joined.points[0, 2:5], where) == 0


def test_the_nearest_that_qualify_become_queries() -> None:
    vectors, prior = prior_queries("concatenate", labels=(int(batch(3, 0).labels[0, 1]),), sources=None)
    chosen = (vectors.labels[0] == vectors.labels[0, 1]).nonzero()[:, 0]
    assert prior.valid[0].sum() == len(chosen) and not prior.valid[1].any()
    assert gap(prior.points[0, : len(chosen)], vectors.points[0, chosen]) == 0


def test_any_number_of_vectors_gives_as_many_queries() -> None:
    module = HPQuery(16, 16, num_classes=3, max_queries=4)
    for count in (1, 4, 40):
        tokens = VectorTokens(torch.zeros(1, count, 16), None)
        prior = module(batch(count), tokens, torch.ones(1, count))
        assert prior.points.shape == (1, 4, 8, 2) and prior.valid.sum() == min(count, 4)
        assert gap(prior.points[0, : min(count, 4)], batch(count).points[0, :4]) == 0, "the first, in order"


def test_nobody_sees_an_absent_query_but_itself() -> None:
    present = torch.tensor([[True, False, True], [True, True, True]])
    hidden = hide_absent(None, present)
    assert hidden[0].tolist() == [[False, True, False], [False, False, False], [False, True, False]]
    assert not hidden[1].any()
    blocked = torch.eye(3, dtype=torch.bool).logical_not()
    assert torch.equal(hide_absent(blocked, present)[1], blocked) and hide_absent(blocked, None) is blocked


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ConfigError, match="reference='prior'"):
        HPQuery(16, 16, 3, reference="own")
    with pytest.raises(ConfigError, match="operator must be one of"):
        HPQuery(16, 16, 3, operator="multiply")
    _, prior = prior_queries("replace")
    with pytest.raises(ConfigError, match="lower max_queries"):
        prior.join(own_queries(3), torch.zeros(2, 4, 16))
    with pytest.raises(ConfigError, match="set queries=None"):
        build_prior("unified", decoder_dims=None)
    with pytest.raises(ConfigError, match="two parts of PriorMaps make queries"):
        build_prior("unified", "as published")
    with pytest.raises(ConfigError, match=r"unknown sources of priors \['osm'\]"):
        build_prior("raster", sources=["osm"])
