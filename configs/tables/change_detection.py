"""Which elements of an old map the sensors contradict, against the list of what was changed."""

_base_ = ["./_base_/priors.py"]

title = (
    "Elements of an old HD map that the sensors contradict, scored against the list of changes: one training, maps of "
    "three ages on held-out streets. An element counts once for every frame that shows it; precision and recall at 0.5."
)
seeds = [0]
columns = {
    "_delete_": True,
    "change/AP": "AP",
    "change/wrong_share": "AP by chance",
    "change/precision": "precision",
    "change/recall": "recall",
    "change/AP_divider": "divider",
    "change/AP_ped_crossing": "crossing",
    "change/AP_boundary": "boundary",
    "change/pieces": "elements",
}
near = "configs/town/maptr-changes_lss-pillars_60x30_town.py"
strength = "test_dataloader.dataset.pipeline.5.priors.0.strength"
rows = [
    dict(name="strength 0.5", config=near, options=_base_.tuned, test_options={strength: 0.5}),
    dict(name="strength 1", config=near, options=_base_.tuned),
    dict(name="strength 2", config=near, options=_base_.tuned, test_options={strength: 2.0}),
]
