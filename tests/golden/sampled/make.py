"""Photos of ../photos → resized without antialiasing, or by area, as torch, OpenCV and TensorFlow do it.

    python -m venv venv && venv/bin/pip install -r ../photos/requirements.txt && venv/bin/python make.py

Writes cases.json and expected.npy (float32, 0 to 255; row, column, RGB; one case behind another). OpenCV agrees with
torch, and TensorFlow with OpenCV, to the differences that it prints.
"""

import json
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image

HERE = Path(__file__).resolve().parent
PHOTOS = HERE.parent / "photos"
# Smaller, larger, one side of each, many times smaller.
SIZES = {"png-rgb.png": [(17, 24), (60, 80), (60, 24), (5, 3)], "jpeg-444.jpg": [(24, 24), (31, 83)],
         "png-tall.png": [(31, 20)], "png-200x1.png": [(20, 3)], "png-1x1.png": [(4, 4)]}
OPENCV = {"bilinear": cv2.INTER_LINEAR, "bicubic": cv2.INTER_CUBIC, "area": cv2.INTER_AREA}


def by_torch(pixels, size, name):
    tensor = torch.from_numpy(pixels).permute(2, 0, 1)[None]
    out = torch.nn.functional.interpolate(tensor, size=size[::-1], mode=name, align_corners=False, antialias=False)
    return out[0].permute(1, 2, 0).numpy()


def by_opencv(pixels, size, name):
    return cv2.resize(pixels, size, interpolation=OPENCV[name])


def main():
    cases, values, apart = [], [], {}
    for file, sizes in SIZES.items():
        pixels = np.asarray(Image.open(PHOTOS / file).convert("RGB")).astype(np.float32)
        height, width = pixels.shape[:2]
        for size in sizes:
            for name in OPENCV:
                opencv = by_opencv(pixels, size, name)
                if name == "area":
                    if size[0] > width or size[1] > height:  # OpenCV enlarges in another way
                        continue
                    result = opencv
                else:
                    result = by_torch(pixels, size, name)
                    apart[name] = max(apart.get(name, 0), float(np.abs(result - opencv).max()))
                cases.append({"file": file, "filter": name, "width": size[0], "height": size[1]})
                values.append(result.astype("<f4").ravel())
                try:
                    import tensorflow as tf
                except ImportError:
                    continue
                if name != "bicubic":  # a = -0.5 there
                    there = tf.image.resize(pixels, size[::-1], name).numpy()
                    key = f"{name}, TensorFlow"
                    apart[key] = max(apart.get(key, 0), float(np.abs(result - there).max()))
    np.save(HERE / "expected.npy", np.concatenate(values))
    (HERE / "cases.json").write_text(json.dumps(cases, indent=1) + "\n")
    print(len(cases), "cases; largest differences of levels:", apart)


main()
