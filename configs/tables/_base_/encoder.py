"""Rows that compare decoders: all of them begin untrained behind the shipped encoder, which stays as it is."""

_base_ = ["./town.py", "./finetune.py"]

encoder = "work_dirs/encoder_lss-pillars_60x30_town.safetensors"
data = [
    *_base_.data,
    dict(
        command=f"tools/export_weights.py {_base_.finetune.load_from} --without decoder. --out {encoder}",
        creates=encoder,
    ),
]
frozen = {"model.frozen": ["encoders", "fusion", "bev_encoder"]}
fresh_decoder = {**_base_.finetune, **frozen, "load_from": encoder}
