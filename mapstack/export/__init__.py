"""ONNX export with its parity check, and a runtime that needs no PyTorch; import the module that you need."""
