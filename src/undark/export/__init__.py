"""Trained models in the forms that other programs take: plain ONNX, darktable's packages."""
