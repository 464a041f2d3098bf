"""The shipped model in its forms for the vehicle, and an ONNX Runtime with OpenVINO beside the usual one."""

_base_ = ["./town.py"]

weights = "data/weights/maptr_lss-pillars_60x30_town.safetensors"
models = "outputs/deployed"
# The package has onnxruntime's own name: it comes first on the path where it is wanted.
openvino = ".openvino"
with_openvino = f"PYTHONPATH={openvino}:$PYTHONPATH"
quantize = f"tools/quantize_onnx.py {models}/tables.onnx {_base_.fused}"
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
        for name, target, damage in (("int8", "vnni", 0.3), ("int8-all", "vnni", 9), ("int8-7bit", "cpu", 0.3))
    ),
]
