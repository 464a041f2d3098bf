"""SuperMapNet's fusion for two CPU cores: attention between the sensors, then alignment; None leaves either out."""

synergy_fusion = dict(
    type="SynergyFusion",
    synergy=dict(embed_dims=32, num_heads=2, window=5, halo=3),
    alignment=dict(channels=32, search=2),
)
