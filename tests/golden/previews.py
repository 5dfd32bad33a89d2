"""Answers of EfficientNet-Lite0 for the page's sample photos, read right and wrong: previews.json.

    pip install onnxruntime pillow torch && python tests/golden/previews.py
"""

import json
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from PIL import Image

TOP = Path(__file__).parents[2]
MODEL = TOP / "models/efficientnet-lite0"
SIDE = 224
# What the form is told, as the tensors of Python: scale, mean, std, order of colours, size, filter.
HALF = (1 / 255, [0.5] * 3, [0.5] * 3)
READINGS = {
    "right": (*HALF, "rgb", 256, "pillow-bicubic"),
    "bgr": (*HALF, "bgr", 256, "pillow-bicubic"),
    "caffe": (1, [103.939, 116.779, 123.68], [1] * 3, "bgr", 256, "pillow-bicubic"),
    "imagenet": (1 / 255, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225], "rgb", 256, "pillow-bicubic"),
    # floor(224 / 0.9) = 248
    "crop-90": (*HALF, "rgb", 248, "pillow-bicubic"),
    "bilinear": (*HALF, "rgb", 256, "pillow-bilinear"),
    "no-antialias": (*HALF, "rgb", 256, "torch-bilinear"),
}


def resized(photo, size, how):
    short = min(photo.size)
    width, height = (int(size * side / short) for side in photo.size)
    library, name = how.split("-")
    if library == "pillow":
        return np.asarray(photo.resize((width, height), Image.Resampling[name.upper()]), np.float64)
    planes = torch.tensor(np.asarray(photo)).permute(2, 0, 1)[None].double()
    planes = torch.nn.functional.interpolate(planes, (height, width), mode=name, antialias=False)
    return planes[0].permute(1, 2, 0).numpy()


def tensor(photo, scale, mean, std, order, size, how):
    pixels = resized(photo, size, how)
    top, left = (round((side - SIDE) / 2) for side in pixels.shape[:2])
    pixels = pixels[top : top + SIDE, left : left + SIDE]
    if order == "bgr":
        pixels = pixels[..., ::-1]
    values = (pixels * scale - np.array(mean)) / np.array(std)
    return values.transpose(2, 0, 1)[None].astype(np.float32)


def main():
    session = onnxruntime.InferenceSession(MODEL / "model.onnx", providers=["CPUExecutionProvider"])
    labels = (MODEL / "labels.txt").read_text().split("\n")
    answers = {}
    for name, reading in READINGS.items():
        answers[name] = {}
        for sample in ["chelsea", "coffee", "rocket"]:
            photo = Image.open(TOP / f"www/samples/{sample}.jpg").convert("RGB")
            (scores,) = session.run(None, {session.get_inputs()[0].name: tensor(photo, *reading)})
            shares = np.exp(scores[0] - scores[0].max())
            shares /= shares.sum()
            best = int(shares.argmax())
            answers[name][sample] = {"index": best, "label": labels[best], "probability": round(float(shares[best]), 5)}
    text = json.dumps(answers, indent=2, ensure_ascii=False)
    (TOP / "tests/golden/previews.json").write_text(f"{text}\n")


if __name__ == "__main__":
    main()
