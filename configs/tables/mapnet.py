"""MapNet's steps."""

_base_ = ["./_base_/town_localisation.py"]

title = (
    "Localisation of a front camera on held-out drives over the training streets of the synthetic town: median errors "
    "of each frame by itself, and after a pose graph over 15 frames with simulated odometry (1 % scale, 2 cm and 1 mrad "
    "a root metre)."
)
seeds = [0]
columns = {
    "pose/translation_m": "m",
    "pose/rotation_deg": "deg",
    "pose/fused_translation_m": "+ pose graph, m",
    "pose/fused_rotation_deg": "deg",
    "train/minutes": "minutes",
}
rows = [
    dict(name="absolute only", config=_base_.posenet, options={}),
    dict(name="+ relative", config=_base_.mapnet, options={}),
    dict(name="+ odometry and satellites on unlabelled drives", config=_base_.mapnet_plus, options={}),
]
