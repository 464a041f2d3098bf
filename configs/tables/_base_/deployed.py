"""Trained models in their forms for the vehicle, and an ONNX Runtime with OpenVINO beside the usual one."""

_base_ = ["./town.py", "./finetune.py"]

weights = _base_.finetune.load_from
models = "outputs/deployed"
# The package has onnxruntime's own name: it comes first on the path where it is wanted.
openvino = ".openvino"
with_openvino = f"PYTHONPATH={openvino}:$PYTHONPATH"
quantize = f"tools/quantize_onnx.py {models}/tables.onnx {_base_.fused}"
tuned = {
    "camera": _base_.camera,
    "streammapnet": "configs/town/streammapnet_lss-pillars_60x30_town.py",
    "synergy": "configs/town/maptr-synergyfusion_lss-pillars_60x30_town.py",
}
changes = " ".join(f"{key}={value}" for key, value in _base_.finetune.items())
data = [
    *_base_.data,
    dict(
        command=f"-m pip install --quiet --no-deps --target {openvino} onnxruntime-openvino==1.24.1",
        creates=f"{openvino}/onnxruntime",
    ),
    *(
        dict(
            command=f"tools/export_onnx.py {_base_.fused} {weights} --pool {pool} --out {models}/{pool}.onnx",
            creates=f"{models}/{pool}.onnx",
        )
        for pool in ("graph", "tables")
    ),
    dict(command=f"{quantize} --precision fp16 --out {models}/fp16.onnx", creates=f"{models}/fp16.onnx"),
    *(
        dict(
            command=f"{quantize} --precision int8 --target {target} --max-damage {damage} --out {models}/{name}.onnx",
            creates=f"{models}/{name}.onnx",
        )
        for name, target, damage in (("int8", "vnni", 0.4), ("int8-strict", "vnni", 0.2), ("int8-7bit", "cpu", 0.4))
    ),
]
tuned_data = [
    step
    for name, config in tuned.items()
    for step in (
        dict(
            command=f"tools/train.py {config} --work-dir work_dirs/deployed/{name} --seed 0 --cfg-options {changes}",
            creates=f"work_dirs/deployed/{name}/iter_200.pth",
        ),
        dict(
            command=f"tools/export_onnx.py {config} work_dirs/deployed/{name}/iter_200.pth --pool tables "
            f"--out {models}/{name}.onnx",
            creates=f"{models}/{name}.onnx",
        ),
        dict(
            command=f"tools/quantize_onnx.py {models}/{name}.onnx {config} --precision int8 --target vnni "
            f"--out {models}/{name}-int8.onnx",
            creates=f"{models}/{name}-int8.onnx",
        ),
    )
]
