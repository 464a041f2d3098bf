"""Rows that compare decoders: all of them begin untrained, behind the shipped encoder."""

_base_ = ["./town.py", "./finetune.py"]

encoder = "work_dirs/encoder_lss-pillars_60x30_town.safetensors"
data = [
    *_base_.data,
    dict(
        command=f"tools/export_weights.py {_base_.finetune.load_from} --without decoder. --out {encoder}",
        creates=encoder,
    ),
]
fresh_decoder = {**_base_.finetune, "load_from": encoder}
