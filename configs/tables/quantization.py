"""What fewer bits cost and gain on the CPU."""

_base_ = ["./_base_/town.py"]

weights = "data/weights/maptr_lss-pillars_60x30_town.safetensors"
model = "outputs/quantization/fused.onnx"
data = _base_.data + [
    dict(command=f"tools/export_onnx.py {_base_.fused} {weights} --pool tables --out {model}", creates=model)
]
title = (
    "The shipped weights in fewer bits on the town's held-out streets: mAP, and the network's median milliseconds a frame "
    "on two cores, both precisions in turn in one run. The processor has an 8-bit dot product (AVX-512 VNNI)."
)
seeds = [0]
columns = {
    "_delete_": True,
    "mAP/fp32": "mAP FP32",
    "mAP/fp16": "FP16",
    "mAP/int8": "INT8",
    "ms/fp32": "ms FP32",
    "ms/fp16": "FP16",
    "ms/int8": "INT8",
    "MB/fp32": "MB FP32",
    "MB/fp16": "FP16",
    "MB/int8": "INT8",
}
quantize = f"tools/quantize_onnx.py {model} {_base_.fused} --score --threads 2 --json {{out}}"
rows = [
    dict(name="INT8", command=f"{quantize} --precision int8 --out outputs/quantization/int8.onnx"),
    dict(
        name="INT8, every layer",
        command=f"{quantize} --precision int8 --max-damage 9 --out outputs/quantization/int8all.onnx",
    ),
    dict(name="FP16", command=f"{quantize} --precision fp16 --out outputs/quantization/fp16.onnx"),
]
del weights, model, quantize
