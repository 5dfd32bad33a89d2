"""Parts of photos → what Pillow and torchvision make of them, and what ONNX Runtime says of one part.

    python -m venv venv && venv/bin/pip install -r ../photos/requirements.txt onnxruntime && venv/bin/python make.py

Writes cases.json, expected.png (RGB values, rows × columns × channels, one case behind another; a grey picture that
is only a container) and scores.json: the five likeliest classes of a part by the model that is committed.
"""

import io
import json
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image, ImageOps
from torchvision import transforms
from torchvision.transforms import InterpolationMode

HERE = Path(__file__).resolve().parent
PHOTOS = HERE.parent / "photos"
MODEL = HERE.parents[2] / "models/efficientnet-lite0"
COLUMNS = 1024
# Whole pixels, fractions, halves (rounded to even), one pixel, all of it, a strip at the edge.
REGIONS = {
    "png-rgb.png": [(3, 5, 20, 15), (1.4, 2.6, 30.3, 20.2), (0.5, 1.5, 21, 18), (10, 10, 1, 1)],
    "jpeg-444.jpg": [(0, 0, 125, 83), (25, 3, 100, 80), (0, 60, 125, 23)],
    "jpeg-orientation-6.jpg": [(2, 4, 20, 30)],
    "png-palette-8.png": [(5, 5, 25, 17)],
}
CASES = [("shorter-side", 23, 23, 29), ("exact", 33, 24, None), ("fit", 27, 32, None)]
CHOSEN = ("coffee.png", (300, 20, 280, 200))


def decoded(path):
    return ImageOps.exif_transpose(Image.open(path)).convert("RGB")


def cut(image, region):
    x, y, width, height = region
    return image.crop((x, y, x + width, y + height))


def preprocessed(image, mode, width, height, size):
    if mode == "exact":
        return image.resize((width, height), Image.Resampling.BILINEAR)
    if mode == "fit":
        return ImageOps.pad(image, (width, height), Image.Resampling.BILINEAR)
    return transforms.CenterCrop((height, width))(transforms.Resize(size, InterpolationMode.BILINEAR)(image))


def scores():
    name, region = CHOSEN
    part = cut(decoded(HERE.parents[1] / "photos" / name), region)
    steps = [transforms.Resize(256, InterpolationMode.BICUBIC), transforms.CenterCrop(224), transforms.ToTensor(),
             transforms.Normalize([0.5] * 3, [0.5] * 3)]
    tensor = transforms.Compose(steps)(part)[None].numpy()
    session = onnxruntime.InferenceSession(MODEL / "model.onnx", providers=["CPUExecutionProvider"])
    logits = session.run(None, {session.get_inputs()[0].name: tensor})[0][0].astype(np.float64)
    shares = np.exp(logits - logits.max())
    shares /= shares.sum()
    best = np.argsort(-shares)[:5]
    return {"photo": name, "region": region, "classes": best.tolist(), "probabilities": shares[best].tolist()}


def main():
    blob, rows = io.BytesIO(), []
    for file, regions in REGIONS.items():
        image = decoded(PHOTOS / file)
        for region in regions:
            part = cut(image, region)
            for mode, width, height, size in CASES:
                if mode == "fit" and 0 in ImageOps.contain(part, (width, height)).size:
                    continue  # Pillow's answer is an empty picture
                rows.append({"file": file, "region": region, "part": part.size, "mode": mode, "width": width,
                             "height": height, "size": size, "at": blob.tell()})
                blob.write(np.asarray(preprocessed(part, mode, width, height, size)).tobytes())
    expected = np.frombuffer(blob.getvalue(), np.uint8)
    expected = np.pad(expected, (0, -expected.size % COLUMNS)).reshape(-1, COLUMNS)
    Image.fromarray(expected).save(HERE / "expected.png", optimize=True)
    lines = ",\n".join(json.dumps(row) for row in rows)
    (HERE / "cases.json").write_text(f"[\n{lines}\n]\n")
    (HERE / "scores.json").write_text(json.dumps(scores(), indent=2) + "\n")
    print(len(rows), "cases,", blob.tell(), "bytes expected")


if __name__ == "__main__":
    main()
