"""MapTRv2, StreamMapNet and SuperMapNet: at the town's size, begun at BEV proposals, and at the papers' (docs/DECODERS.md)."""

maptrv2_small = dict(
    type="MapTRv2Decoder",
    num_points=20,
    num_queries=40,
    embed_dims=80,
    num_layers=2,
    proposals=True,
    field=True,
    denoising=dict(num_groups=1),
    one_to_many=dict(num_queries=40, repeats=3),
)
maptrv2 = dict(
    type="MapTRv2Decoder",
    num_points=20,
    num_queries=50,
    embed_dims=256,
    num_layers=6,
    num_heads=8,
    one_to_many=dict(num_queries=300, repeats=6),
)
streammapnet_small = dict(
    type="StreamMapNetDecoder",
    num_points=20,
    num_queries=40,
    embed_dims=80,
    num_layers=2,
    num_samples=1,
    proposals=True,
    field=True,
    denoising=dict(num_groups=1),
)
streammapnet = dict(
    type="StreamMapNetDecoder",
    num_points=20,
    num_queries=100,
    embed_dims=256,
    num_layers=6,
    num_heads=8,
    num_samples=1,
    num_propagated=33,
)
supermapnet_small = dict(
    type="SuperMapNetDecoder",
    num_elements=(16, 10, 14),
    num_pivots=(8, 8, 14),
    embed_dims=80,
    num_layers=2,
    num_heads=4,
    proposals=True,
)
supermapnet = dict(
    type="SuperMapNetDecoder",
    num_elements=(20, 25, 15),
    num_pivots=(10, 8, 30),  # a crossing is an outline here, not the published line of two pivots
    embed_dims=256,
    num_layers=6,
    num_heads=8,
    stride=2,
)
perspective = dict(type="PerspectiveSegmentation")
