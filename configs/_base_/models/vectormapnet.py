"""VectorMapNet's two halves: at the town's size, and at the paper's (docs/VECTORMAPNET.md)."""

vectormapnet_small = dict(
    type="VectorMapNetDecoder",
    num_queries=40,
    num_lines=30,
    embed_dims=80,
    detector_layers=2,
    generator_layers=3,
    length_weighted=(2,),  # boundaries
)
vectormapnet = dict(
    type="VectorMapNetDecoder",
    num_queries=120,
    num_lines=35,
    embed_dims=256,
    detector_layers=6,
    generator_layers=6,
    num_heads=8,
    propose=False,
    context=dict(type="GlobalContext", cell_m=1.2),
    dropout=0.2,
    max_vertices=64,
    length_weighted=(2,),
)
