"""Photos that are partly hidden → what ONNX Runtime says of them, by the model that is committed.

    python -m venv venv && venv/bin/pip install -r requirements.txt && venv/bin/python make.py

Writes scores.json: for each case the likeliest classes of the photo, what they get there and what they get of the photo
with a part hidden; of each photo its mean colour and, at some places, its colours when it is blurred.
"""

import json
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image
from scipy.ndimage import gaussian_filter
from torchvision import transforms
from torchvision.transforms import InterpolationMode

HERE = Path(__file__).resolve().parent
PHOTOS = HERE.parents[1] / "photos"
MODEL = HERE.parents[2] / "models/efficientnet-lite0"
# As in docs/explaining.md: a share of the shorter side, and where the Gaussian is cut off.
SIGMA, CUT = 0.05, 3
BOX, DISC = "box", "disc"
# x, y, width, height, or the middle and the radius; of the part where there is one.
CASES = [
    ("chelsea.png", None, BOX, (196, 120, 60, 60), "hide", "cover"),
    ("chelsea.png", None, BOX, (196, 120, 60, 60), "hide", "blur"),
    ("chelsea.png", None, BOX, (196, 120, 60, 60), "keep", "cover"),
    ("chelsea.png", None, DISC, (160, 120, 90), "hide", "cover"),
    ("chelsea.png", None, DISC, (160, 120, 90), "hide", "blur"),
    ("chelsea.png", None, DISC, (160, 120, 90), "keep", "blur"),
    ("coffee.png", None, DISC, (300, 200, 120), "hide", "cover"),
    ("coffee.png", (300, 20, 280, 200), BOX, (120, 80, 40, 40), "hide", "cover"),
    ("coffee.png", (300, 20, 280, 200), BOX, (120, 80, 40, 40), "keep", "blur"),
]


def opened(name, part):
    image = Image.open(PHOTOS / name).convert("RGB")
    if part:
        x, y, width, height = part
        image = image.crop((x, y, x + width, y + height))
    return np.asarray(image).astype(np.float64)


def blurred(pixels):
    sigma = SIGMA * min(pixels.shape[:2])
    return gaussian_filter(pixels, (sigma, sigma, 0), mode="nearest", truncate=CUT)


def mean(pixels):
    return pixels.mean((0, 1)).round()


def brushed(shape, kind, place):
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    if kind == BOX:
        x, y, width, height = place
        return (columns >= x) & (columns < x + width) & (rows >= y) & (rows < y + height)
    x, y, radius = place
    return (columns + 0.5 - x) ** 2 + (rows + 0.5 - y) ** 2 <= radius**2


def hidden(pixels, kind, place, mode, fill):
    mask = brushed(pixels.shape, kind, place)
    if mode == "keep":
        mask = ~mask
    cover = blurred(pixels) if fill == "blur" else np.broadcast_to(mean(pixels), pixels.shape)
    return np.where(mask[..., None], cover, pixels)


STEPS = transforms.Compose([
    transforms.Resize(256, InterpolationMode.BICUBIC), transforms.CenterCrop(224), transforms.ToTensor(),
    transforms.Normalize([0.5] * 3, [0.5] * 3)])
SESSION = onnxruntime.InferenceSession(MODEL / "model.onnx", providers=["CPUExecutionProvider"])


def probabilities(pixels):
    tensor = STEPS(Image.fromarray(pixels.round().astype(np.uint8)))[None].numpy()
    logits = SESSION.run(None, {SESSION.get_inputs()[0].name: tensor})[0][0].astype(np.float64)
    shares = np.exp(logits - logits.max())
    return shares / shares.sum()


def main():
    cases = []
    for name, part, kind, place, mode, fill in CASES:
        pixels = opened(name, part)
        before = probabilities(pixels)
        now = probabilities(hidden(pixels, kind, place, mode, fill))
        classes = np.argsort(-before)[:3]
        cases.append({"photo": name, "part": part, kind: place, "mode": mode, "fill": fill,
                      "classes": classes.tolist(), "before": before[classes].round(6).tolist(),
                      "now": now[classes].round(6).tolist(), "first": int(now.argmax())})
    colours = []
    for name, part in dict.fromkeys((name, part) for name, part, *_ in CASES):
        pixels = opened(name, part)
        soft, (height, width) = blurred(pixels), pixels.shape[:2]
        places = [(x, y) for y in np.linspace(0, height - 1, 5, dtype=int) for x in np.linspace(0, width - 1, 5, dtype=int)]
        colours.append({"photo": name, "part": part, "mean": mean(pixels).astype(int).tolist(),
                        "blurred": [[int(x), int(y), *soft[y, x].round().astype(int).tolist()] for x, y in places]})
    lines = ",\n".join(json.dumps(case) for case in cases)
    more = ",\n".join(json.dumps(each) for each in colours)
    (HERE / "scores.json").write_text(f'{{"cases": [\n{lines}\n], "colours": [\n{more}\n]}}\n')


if __name__ == "__main__":
    main()
