"""A prior that is not there changes nothing, one that was never trained adds nothing, a wrong one can be told."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from mapstack.models.priors.batch import prior_inputs, priors_of
from mapstack.models.priors.encoder import VectorTokens
from mapstack.models.priors.noise import PriorNoise
from mapstack.models.priors.prior_maps import PriorMaps
from mapstack.registry import MODELS
from tests.models.conftest import mapper_config, packed_batch, truth
from tests.models.decoders.problems import bev, build

from .problems import PARTS, batch, build_prior, gap, prior_map, wake

DECODERS = ("maptr", "maptrv2", "maptrv2-3d-lanes", "maptrv2-interaction-as-released", "streammapnet")


@pytest.mark.parametrize("name", PARTS)
@torch.no_grad()
def test_bev_is_the_same_before_training_and_where_a_frame_has_no_prior(name: str) -> None:
    prior = build_prior(name).eval()
    before, vectors = bev(), batch(5, 0)
    assert gap(list(prior(before, vectors).values())[-1].bev, before) == 0
    wake(prior)
    after = list(prior(before, vectors).values())[-1].bev
    assert gap(after[1], before[1]) == 0
    if name != "as published":  # that one speaks to the decoder alone
        assert gap(after[0], before[0]) > 1e-3


@pytest.mark.parametrize("operator", ["concatenate", "replace", "add"])
@pytest.mark.parametrize("name", DECODERS)
@torch.no_grad()
def test_a_decoder_without_a_frames_prior_decodes_as_it_did(name: str, operator: str) -> None:
    decoder = build(name).eval()
    wake(decoder)
    prior = build_prior("unified", queries={"max_queries": 4, "operator": operator}).eval()
    wake(prior)
    alone = decoder(bev())
    queries = PriorMaps.queries(prior(bev(), batch(5, 0)))
    output = decoder(bev(), prior=queries)
    own = decoder.num_queries
    for key in ("logits", "points"):
        assert gap(output[key][1, :own], alone[key][1]) < 1e-5, key
        assert gap(output[key][0, :own], alone[key][0]) > 1e-4, key
    if operator == "concatenate":
        assert output["logits"].shape[1] == own + 4
        assert (output["logits"][1, own:] < -1e3).all() and not output["points"][1, own:].any()
    predicted = decoder.predict({**output, "logits": output["logits"]})
    assert len(predicted[1]) == own and predicted[1].scores.min() > 0


def test_losses_reach_the_prior_and_match_no_absent_query() -> None:
    decoder = build("maptr").train()
    prior = build_prior("unified").train()
    wake(prior)
    elements = [truth(3, torch.Generator().manual_seed(1), 8), truth(2, torch.Generator().manual_seed(2), 8)]
    vectors = batch(5, 1)
    outputs = prior(bev(), vectors)
    losses = decoder.loss(outputs["unified"].bev, elements, prior=PriorMaps.queries(outputs)) | prior.loss(
        outputs, vectors
    )
    assert "loss_change" in losses and all(torch.isfinite(value) and value < 1e3 for value in losses.values())
    sum(losses.values()).backward()
    untaught = [name for name, p in prior.named_parameters() if p.grad is None or not p.grad.any()]
    assert untaught == ["parts.unified.encoder.embed.masked"], "only pre-training hides points"


def tiny_mapper(prior: dict | None) -> torch.nn.Module:
    torch.manual_seed(0)
    config = mapper_config(camera=False, num_points=8)
    config |= {"cell_m": 1.2, "segmentation": None, "prior": prior}
    return MODELS.build(config)


def prior_config(operator: str = "concatenate") -> dict:
    part = {**PARTS["unified"], "queries": {"max_queries": 4, "operator": operator}}
    return {"type": "PriorMaps", "parts": {"unified": part, "raster": PARTS["raster"]}}


@torch.no_grad()
def test_weights_of_a_model_without_priors_load_and_give_the_same_answer() -> None:
    plain, model = tiny_mapper(None).eval(), tiny_mapper(prior_config()).eval()
    wake(plain)
    found = model.load_state_dict(plain.state_dict(), strict=False)
    assert not found.unexpected_keys and all(key.startswith("prior.") for key in found.missing_keys)
    frames = packed_batch((2, 0, 1), camera=False)
    inputs = plain.data_preprocessor(frames)["inputs"]
    expected = plain(inputs)
    absent = model(inputs)
    assert gap(absent["points"], expected["points"]) == 0 and gap(absent["scores"], expected["scores"]) == 0
    wake(model)  # whatever was learned
    frames["inputs"]["prior"] = [prior_map(0), prior_map(6), prior_map(0)]
    mixed = model(model.data_preprocessor(frames)["inputs"])
    for frame in (0, 2):
        assert gap(mixed["points"][frame, :20], expected["points"][frame]) < 1e-4
        assert gap(mixed["scores"][frame, :20], expected["scores"][frame]) < 1e-5
        assert mixed["scores"][frame, 20:].max() == 0
    assert gap(mixed["points"][1, :20], expected["points"][1]) > 1e-3
    assert mixed["contradicted"].shape == (3, 6) and mixed["contradicted"][1].max() > 0


@torch.no_grad()
def test_a_mapper_judges_the_priors_that_it_was_shown() -> None:
    model = tiny_mapper(prior_config()).eval()
    frames = packed_batch((2, 1), camera=False)
    frames["inputs"]["prior"] = [prior_map(300), prior_map(0)]
    samples = model.test_step(frames)
    assert len(samples[0].prior) == len(samples[0].prior_contradicted) == model.data_preprocessor.max_priors
    assert len(samples[1].prior) == len(samples[1].prior_contradicted) == 0
    assert samples[0].prior.elements.unique().numel() == 100 and len(samples[0].pred) == 20


def test_noise_works_in_training_alone_and_lists_what_it_made_wrong() -> None:
    vectors = batch(*[4] * 12)
    everything = PriorNoise(drop_map=0.2, drop_source=0.2, drop_vector=0.2, exchange=0.5, shift_m=1.0, turn_deg=5.0)
    assert everything.eval()(vectors) is vectors
    torch.manual_seed(0)
    first = everything.train()(vectors)
    torch.manual_seed(0)
    assert gap(first.points, everything(vectors).points) == 0, "the same seed, the same noise"
    assert not (first.valid & ~vectors.valid).any() and 0 < first.valid.sum() < vectors.valid.sum()
    assert not PriorNoise(drop_map=1.0).train()(vectors).valid.any()
    swapped = PriorNoise(exchange=1.0).train()(vectors)
    assert gap(swapped.points, vectors.points.roll(6, 0)) == 0
    assert (vectors.changed == -1).any() and (swapped.changed == 1).all()
    torch.manual_seed(0)
    some = PriorNoise(exchange=0.5).train()(vectors)
    own = (some.points == vectors.points).flatten(1).all(1)
    assert 0 < own.sum() < 12 and (some.changed[~own] == 1).all()
    assert (some.changed[own] == vectors.changed[own].clamp(min=0)).all(), "one's own map holds where nobody knows"


def test_contradiction_is_learned_from_the_list_of_changes() -> None:
    prior = build_prior("unified", queries=None, attention={"num_heads": 2}).train()
    part = prior.parts["unified"]
    optimizer = torch.optim.Adam(part.change.parameters(), lr=1e-2)

    def problem(seed: int) -> tuple[torch.Tensor, object]:
        """Rows of evidence in channel 0; vectors on such a row hold, the others do not."""
        generator = torch.Generator().manual_seed(seed)
        rows = torch.rand(4, 8, generator=generator) < 0.5
        evidence = torch.zeros(4, 12, 8, 16)
        evidence[:, 0] = rows[:, :, None].float()
        x = torch.linspace(-7, 7, 8).expand(4, 8, 8)
        y = (torch.arange(8) - 3.5)[None, :, None].expand(4, 8, 8)
        return evidence, replace(batch(8, 8, 8, 8), points=torch.stack([x, y], -1), changed=(~rows).long())

    for step in range(110):
        evidence, vectors = problem(step)
        loss = prior.loss(prior(evidence, vectors), vectors)["loss_change"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    evidence, vectors = problem(1000)
    with torch.no_grad():
        outputs = prior(evidence, vectors)
        told = prior.contradiction(outputs) > 0.5
    assert (told == (vectors.changed == 1)).float().mean() > 0.95
    with torch.no_grad():  # unknown truth teaches nothing
        unknown = replace(vectors, changed=torch.full_like(vectors.changed, -1))
        assert prior.loss(outputs, unknown)["loss_change"] == 0


@torch.no_grad()
def test_a_distrusted_vector_says_nothing() -> None:
    prior = build_prior("unified").eval()
    wake(prior)
    part, vectors = prior.parts["unified"], batch(5)
    tokens = part.encoder(vectors)
    silent = part.attention(bev(1), vectors, tokens, torch.zeros(1, 5))
    other = part.attention(bev(1), vectors, tokens._replace(elements=tokens.elements + 1), torch.zeros(1, 5))
    assert gap(silent, other) == 0
    assert not part.queries(vectors, tokens, torch.zeros(1, 5)).element.any()


@torch.no_grad()
def test_a_map_that_is_contradicted_is_taken_for_none() -> None:
    prior = build_prior("unified").eval()
    wake(prior)
    part, vectors = prior.parts["unified"], batch(5, 3)
    part.change.verdict[-1].weight.zero_()
    part.change.verdict[-1].bias.fill_(-1.0)
    believed = part(bev(), vectors)
    assert believed.queries.valid.sum() == 4 + 3 and gap(believed.bev, bev()) > 1e-3
    part.change.verdict[-1].bias.fill_(1e-3)
    output = part(bev(), vectors)
    assert not output.queries.valid.any() and gap(output.bev, bev()) == 0
    assert (output.contradicted[vectors.valid] == 1e-3).all(), "and it is told all the same"


def test_a_vector_is_judged_beside_the_rest_of_its_map() -> None:
    head = build_prior("unified").parts["unified"].change
    vectors = batch(5, 3)
    elements = torch.randn(2, 5, 16)
    tokens = VectorTokens(elements, None)
    alone = head(bev(), replace(vectors, valid=vectors.valid & (torch.arange(5) == 0)), tokens)
    beside = head(bev(), vectors, tokens)
    assert (alone[:, 0] - beside[:, 0]).abs().min() > 1e-6
    padded = head(bev(), vectors, tokens._replace(elements=torch.where(vectors.valid[..., None], elements, 9.0)))
    assert gap(padded[:, :3], beside[:, :3]) == 0, "padding is no part of a map"


def test_a_prior_of_3d_points_and_a_missing_one_are_told_apart() -> None:
    flat = prior_map(2)
    solid = replace(flat, points=F.pad(flat.points, (0, 1), value=7.0))
    vectors = priors_of(prior_inputs([solid], limit=None))
    assert gap(vectors.points[0], flat.points) == 0
    assert priors_of({"points": flat.points}) is None
