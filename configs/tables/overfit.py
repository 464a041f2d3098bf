"""Can each decoder learn eight frames by heart?"""

_base_ = ["./_base_/encoder.py"]

title = (
    "Trained and scored on the same eight frames of the town, unaugmented, for 300 steps (SuperMapNet 600: after 300 it "
    "was not yet at 0.95), each decoder from untrained behind one trained encoder, which stays as it is: a bug detector, "
    "not a result."
)
seeds = [0]
columns = {
    "_delete_": True,
    "maptr/mAP": "mAP",
    "maptr/AP_divider": "divider",
    "maptr/AP_ped_crossing": "crossing",
    "maptr/AP_boundary": "boundary",
}
tool = "tools/overfit.py configs/town/"
end = f"--out {{out}} --cfg-options load_from={_base_.encoder} model.frozen=[encoders,fusion,bev_encoder]"
names = {
    "maptr": "MapTR",
    "maptrv2": "MapTRv2",
    "maptrv2-interaction": "MapTRv2 with SuperMapNet's interaction",
    "supermapnet": "SuperMapNet",
    "streammapnet": "StreamMapNet",
    "vectormapnet": "VectorMapNet",
}
rows = [
    dict(
        name=name,
        command=f"{tool}{key}_lss-pillars_60x30_town.py --iterations {600 if key == 'supermapnet' else 300} {end}",
    )
    for key, name in names.items()
]
