"""What fewer bits cost and gain on the CPU."""

_base_ = ["./_base_/deployed.py"]

title = (
    "The shipped weights in fewer bits on the town's held-out streets, calibrated on training frames: mAP, and the "
    "network's median milliseconds a frame on two cores; the float model by ONNX Runtime's own CPU kernels and the row's "
    "in turn in one run (x: how much faster than that). The processor has an 8-bit dot product and bfloat16."
)
seeds = [0]
columns = {
    "_delete_": True,
    "mAP/float": "mAP float, CPU",
    "mAP/row": "mAP",
    "ms/float": "ms float, CPU",
    "ms/row": "ms",
    "x/row": "x",
    "MB/row": "MB",
}
rows = [
    dict(
        name=name,
        command=f"{_base_.with_openvino} tools/compare_onnx.py {_base_.fused} float={_base_.models}/tables.onnx "
        f"row={_base_.models}/{file} --threads 2 --out {{out}}",
    )
    for name, file in (
        ("float, OpenVINO", "tables.onnx@openvino"),
        ("bfloat16, OpenVINO", "tables.onnx@openvino-bf16"),
        ("INT8, CPU", "int8.onnx"),
        ("INT8 with 7-bit weights, CPU", "int8-7bit.onnx"),
        ("INT8, OpenVINO", "int8.onnx@openvino"),
        ("INT8 and bfloat16, OpenVINO", "int8.onnx@openvino-bf16"),
        ("INT8 in every layer, OpenVINO", "int8-all.onnx@openvino"),
        ("FP16, CPU", "fp16.onnx"),
    )
]
