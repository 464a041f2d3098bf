"""SuperMapNet's three levels of interaction, each left out in turn."""

_base_ = ["./_base_/encoder.py"]

title = (
    "SuperMapNet's interaction on MapTRv2's queries, each of its levels left out in turn, and as its released code has "
    "it: every decoder begins untrained behind the same trained encoder, which stays as it is, 200 steps of 4 frames."
)
seeds = [0]
levels = "model.decoder.interaction.levels"
variant = "configs/town/maptrv2-interaction_lss-pillars_60x30_town.py"
released = {"model.decoder.interaction.feed_back": False, "model.decoder.interaction.own_points": False}
rows = [
    dict(
        name="MapTRv2's decoupled attention",
        config="configs/town/maptrv2_lss-pillars_60x30_town.py",
        options=_base_.fresh_decoder,
    ),
    dict(name="three levels", config=variant, options=_base_.fresh_decoder),
    dict(name="without point to point", config=variant, options={**_base_.fresh_decoder, levels: ["element", "cross"]}),
    dict(
        name="without element to element", config=variant, options={**_base_.fresh_decoder, levels: ["point", "cross"]}
    ),
    dict(
        name="without point to element", config=variant, options={**_base_.fresh_decoder, levels: ["point", "element"]}
    ),
    dict(
        name="point to element for the heads alone",
        config=variant,
        options={**_base_.fresh_decoder, "model.decoder.interaction.feed_back": False},
    ),
    dict(name="as released", config=variant, options={**_base_.fresh_decoder, **released}),
]
