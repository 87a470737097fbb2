"""Which optional dependencies are here. Nothing is imported to find out."""

from importlib.util import find_spec

has_onnx = find_spec("onnx") is not None and find_spec("onnxruntime") is not None
