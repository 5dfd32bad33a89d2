"""Large classifiers of torchvision with random weights → ONNX files in a folder: python large.py CACHE NAME…"""

import sys
from pathlib import Path

import torch
import torchvision

cache = Path(sys.argv[1])
cache.mkdir(parents=True, exist_ok=True)
for name in sys.argv[2:]:
    file = cache / f"{name}.onnx"
    if file.exists():
        continue
    torch.manual_seed(0)
    model = getattr(torchvision.models, name)(weights=None).eval()
    names = {"input_names": ["input"], "output_names": ["logits"]}
    torch.onnx.export(model, torch.zeros(1, 3, 224, 224), file, opset_version=17, dynamo=False, **names)
