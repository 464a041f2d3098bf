"""Writing polylines token by token: the cache changes nothing, drawing is repeatable, and ONNX Runtime agrees."""

from pathlib import Path

import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from mapstack.errors import ExportError
from mapstack.export.exporter import export_onnx
from mapstack.models.decoders.vectormapnet import Sampler, generate, generate_without_cache
from mapstack.models.decoders.vectormapnet.codec import END
from tests.export.conftest import METADATA

from .problems import bev
from .test_export import Decoder
from .test_vectormapnet import VARIANTS, VectorMapNetDecoder, build, fill_zeros

CONTEXTS = {"local": {}, "global": {"context": {"type": "GlobalContext", "cell_m": 2.0}}}
every_context = pytest.mark.parametrize("context", CONTEXTS)


def lively(name: str = "box", **changes: object) -> VectorMapNetDecoder:
    """An untrained decoder whose polylines end at different lengths, and whose attention is no average."""
    decoder = fill_zeros(build(name, **changes)).eval()
    with torch.no_grad():
        for layer in decoder.generator.layers:
            layer.project.weight.mul_(3)
        decoder.generator.head.weight.mul_(4)
        nn.init.normal_(decoder.generator.head.weight[END], generator=torch.Generator().manual_seed(1))
        decoder.generator.head.bias[END] = 4.5
    return decoder


def given(decoder: VectorMapNetDecoder, batch: int = 2, lines: int = 5) -> tuple[list, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(3)
    value = torch.randn(batch, 16, 8, 16, generator=generator)
    labels = torch.randint(0, 3, (batch, lines), generator=generator)
    keypoints = torch.randint(1, 33, (batch, lines, decoder.form.num_points, 2), generator=generator)
    return decoder.generator.remember(value), labels, keypoints


@every_context
def test_every_step_with_the_cache_equals_teacher_forcing(context: str) -> None:
    decoder = lively(**CONTEXTS[context])
    generator = decoder.generator
    tokens = torch.randint(1, 33, (2, 5, 16), generator=torch.Generator().manual_seed(4))
    with torch.no_grad():
        memory, labels, keypoints = given(decoder)
        whole = generator(labels, keypoints, tokens, memory)
        hidden, middle, caches = generator.prefill(labels, keypoints, memory)
        _, reference = generator.embed(tokens, middle)
        for number in range(16):
            place = torch.tensor([number])
            torch.testing.assert_close(generator.logits(hidden, place), whole[:, :, number], rtol=1e-5, atol=1e-5)
            hidden, caches = generator.step(tokens[..., number], place, reference[:, :, number], memory, caches)
        torch.testing.assert_close(generator.logits(hidden, place + 1), whole[:, :, 16], rtol=1e-5, atol=1e-5)


@every_context
@pytest.mark.parametrize("top_p", [None, 0.9])
def test_generation_with_the_cache_equals_generation_without(context: str, top_p: float | None) -> None:
    decoder = lively(**CONTEXTS[context])
    sampler = Sampler() if top_p is None else Sampler.seeded(0, 5, 8, top_p)
    with torch.no_grad():
        fast = generate(decoder.generator, *given(decoder), sampler)
        slow = generate_without_cache(decoder.generator, *given(decoder), sampler)
    assert len(set(fast.counts.flatten().tolist())) > 1, "lines of one length would prove little"
    assert fast.counts.tolist() == slow.counts.tolist()
    torch.testing.assert_close(fast.vertices, slow.vertices, rtol=0, atol=1e-5)
    torch.testing.assert_close(fast.scales, slow.scales, rtol=1e-5, atol=1e-5)


def test_generation_stops_when_all_have_ended_and_never_before_two_vertices() -> None:
    decoder = lively()
    steps = []
    decoder.generator.norm.register_forward_hook(lambda *_: steps.append(1))
    with torch.no_grad():
        longest = int(generate(decoder.generator, *given(decoder), Sampler()).counts.max())
        assert len(steps) == min(2 * longest + 1, 16)
        steps.clear()
        decoder.generator.head.bias[END] = 1e3
        lines = generate(decoder.generator, *given(decoder), Sampler())
    assert len(steps) == 5 and (lines.counts == 2).all()


def test_tokens_are_drawn_from_the_nucleus_by_their_probability() -> None:
    logits = torch.tensor([0.0, 3.0, 2.0, 1.0, -1.0]).expand(1, 2000, 5)
    prob = logits[0, 0].softmax(0)
    sampler = Sampler.seeded(0, 2000, 1, 0.8)
    drawn = sampler.choose(logits, torch.tensor([0]))[0]
    kept = prob[[1, 2]] / prob[[1, 2]].sum()  # the third's probability before it is over 0.8
    assert set(drawn.tolist()) == {1, 2}
    assert (drawn == 1).float().mean() == pytest.approx(float(kept[0]), abs=0.03)
    everything = Sampler.seeded(0, 2000, 1, 1.0).choose(logits, torch.tensor([0]))[0]
    share = torch.bincount(everything, minlength=5) / 2000
    torch.testing.assert_close(share, prob, rtol=0, atol=0.03)
    assert (Sampler.seeded(0, 2000, 1, 0.0).choose(logits, torch.tensor([0])) == 1).all()


def test_drawing_is_repeated_by_its_seed() -> None:
    def vertices(**changes: object) -> Tensor:
        with torch.no_grad():
            return lively(**changes)(bev(2))["vertices"]

    first = vertices(top_p=0.9, seed=5)
    assert torch.equal(first, vertices(top_p=0.9, seed=5))
    assert not torch.equal(first, vertices(top_p=0.9, seed=6))
    assert not torch.equal(first, vertices())
    assert torch.equal(vertices(top_p=0.0), vertices()), "a nucleus of one token is the likeliest"


@pytest.mark.parametrize("name", ["box", "box, drawn", "start-middle-end, learned queries"])
def test_a_frame_decodes_the_same_alone_and_in_a_batch(name: str) -> None:
    decoder = lively(name)
    with torch.no_grad():
        together, alone = decoder(bev(3)), decoder(bev(3)[1:2])
        predictions = decoder.predict(together)
    for key, value in alone.items():
        torch.testing.assert_close(value[0], together[key][1], rtol=1e-4, atol=1e-4)
    for frame, prediction in enumerate(predictions):
        assert len(prediction) == 5 and (prediction.scores.diff() <= 0).all()
        assert [len(line) for line in prediction.vertices] == together["counts"][frame].tolist()
        assert (prediction.points[..., 0].abs() <= 8).all() and (prediction.points[..., 1].abs() <= 4).all()
        assert (prediction.scales > 0).all() and prediction.scales.shape == prediction.points.shape
        for line, points in zip(prediction.vertices, prediction.points, strict=True):
            torch.testing.assert_close(torch.from_numpy(line[[0, -1]]).float(), points[[0, -1]])


@pytest.mark.parametrize("name", ["box", "start-middle-end, learned queries"])
def test_onnx_runtime_writes_the_same_lines(name: str, tmp_path: Path) -> None:
    model = Decoder(lively(name)).eval()
    export_onnx(model, {"bev": bev(2, seed=1)}, tmp_path / "decoder.onnx", METADATA)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 4
    session = onnxruntime.InferenceSession(tmp_path / "decoder.onnx", options, providers=["CPUExecutionProvider"])
    for batch in (1, 3):
        given = bev(batch, seed=7 + batch)
        answer = session.run(None, {"bev": given.numpy()})
        with torch.no_grad():
            expected = model.forward_export(bev=given)
        for value, found in zip(expected, answer, strict=True):
            torch.testing.assert_close(torch.from_numpy(found), value, rtol=0, atol=1e-4)
    assert len(set(expected[-1].flatten().tolist())) > 1, "lines of one length would prove little"


def test_drawing_is_not_exported(tmp_path: Path) -> None:
    model = Decoder(build("box, drawn")).eval()
    assert VARIANTS["box, drawn"]["top_p"]
    with pytest.raises(ExportError, match="top_p"):
        export_onnx(model, {"bev": bev(2)}, tmp_path / "decoder.onnx", METADATA)
