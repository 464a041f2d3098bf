"""What fewer bits cost and gain on the CPU."""

_base_ = ["./_base_/deployed.py"]

title = (
    "The shipped weights in fewer bits on the town's held-out streets, calibrated on training frames: mAP, and the "
    "network's median milliseconds a frame on two cores; the float model by ONNX Runtime's own CPU kernels and the row's "
    "in turn in one run (x: how much faster than that). The last rows are other models, fine-tuned from these weights for "
    "200 steps. The processor has an 8-bit dot product and bfloat16."
)
seeds = [0]
data = _base_.data + _base_.tuned_data
columns = {
    "_delete_": True,
    "mAP/float": "mAP float, CPU",
    "mAP/row": "mAP",
    "ms/float": "ms float, CPU",
    "ms/row": "ms",
    "x/row": "x",
    "MB/row": "MB",
}
compare = f"{_base_.with_openvino} tools/compare_onnx.py"
rows = [
    dict(
        name=name,
        command=f"{compare} {config} float={_base_.models}/{model}.onnx row={_base_.models}/{file} --threads 2 --out {{out}}",
    )
    for name, config, model, file in (
        ("float, OpenVINO", _base_.fused, "tables", "tables.onnx@openvino"),
        ("bfloat16, OpenVINO", _base_.fused, "tables", "tables.onnx@openvino-bf16"),
        ("INT8, CPU", _base_.fused, "tables", "int8.onnx"),
        ("INT8 with 7-bit weights, CPU", _base_.fused, "tables", "int8-7bit.onnx"),
        ("INT8, OpenVINO", _base_.fused, "tables", "int8.onnx@openvino"),
        ("INT8 and bfloat16, OpenVINO", _base_.fused, "tables", "int8.onnx@openvino-bf16"),
        ("INT8 of half the damage, OpenVINO", _base_.fused, "tables", "int8-strict.onnx@openvino"),
        ("FP16, CPU", _base_.fused, "tables", "fp16.onnx"),
        *(
            (f"{title}: INT8, OpenVINO", _base_.tuned[name], name, f"{name}-int8.onnx@openvino")
            for name, title in (
                ("camera", "cameras alone"),
                ("streammapnet", "StreamMapNet's decoder"),
                ("synergy", "SuperMapNet's fusion"),
            )
        ),
    )
]
