"""Can each decoder learn eight frames by heart?"""

_base_ = ["./_base_/encoder.py"]

title = (
    "Trained for 300 steps and scored on the same eight frames of the town, unaugmented, each decoder from untrained behind "
    "one trained encoder, which stays as it is: a bug detector, not a result."
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
end = (
    "_lss-pillars_60x30_town.py --iterations 300 --out {out} --cfg-options "
    f"load_from={_base_.encoder} model.frozen=[encoders,fusion,bev_encoder]"
)
rows = [
    dict(name="MapTR", command=f"{tool}maptr{end}"),
    dict(name="MapTRv2", command=f"{tool}maptrv2{end}"),
    dict(name="MapTRv2 with SuperMapNet's interaction", command=f"{tool}maptrv2-interaction{end}"),
    dict(name="SuperMapNet", command=f"{tool}supermapnet{end}"),
    dict(name="StreamMapNet", command=f"{tool}streammapnet{end}"),
    dict(name="VectorMapNet", command=f"{tool}vectormapnet{end}"),
]
