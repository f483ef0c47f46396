"""A finished encoder for other programs: safetensors, ONNX, timm; each checked against the network that was trained."""
