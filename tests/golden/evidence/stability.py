"""photos moved by a few pixels or stored as JPEG by Pillow → stability.json: how alike their Grad-CAMs are, by torch.

Inputs are the photos of ../*.pixels.npy, for the small networks of ../models their middle. Gradients are those of
../torchonnx.py in float64. Requirements: ../requirements.txt.
"""

import io
import json
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from scipy.ndimage import map_coordinates

HERE = Path(__file__).resolve().parent
GOLDEN = HERE.parent
sys.path.insert(0, str(GOLDEN))
import torchonnx  # noqa: E402

LITE = GOLDEN.parent.parent / "models/efficientnet-lite0/model.onnx"
SMALL = ["resnet", "mobilenet-v2"]


def gradcam(model, layer, output, pixels, index=None):
    x = ((pixels / 255 - 0.5) / 0.5).transpose(2, 0, 1)[None].astype(np.float32)
    env = torchonnx.run(model, {"input": torch.from_numpy(x).double()}, [layer, output], leaf=layer)
    scores, leaf = env[output].flatten(), env[layer]
    index = int(scores.argmax()) if index is None else index
    weights = torch.autograd.grad(scores[index], leaf)[0].mean((2, 3), keepdim=True)
    map = torch.relu((weights * leaf.detach()).sum(1))[0].numpy()
    return index, float(torch.softmax(scores.detach(), 0)[index]), map


def shifted(pixels, x, y):
    by = max(abs(x), abs(y))
    padded = np.pad(pixels, ((by, by), (by, by), (0, 0)), mode="edge")
    rows, columns = pixels.shape[:2]
    return padded[by - y:by - y + rows, by - x:by - x + columns]


def recompressed(pixels, quality):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file).convert("RGB"))


def correlation(own, other, x=0, y=0, size=1):
    rows, columns = own.shape
    down, across = np.mgrid[0:rows, 0:columns].astype(float)
    down, across = down + y * rows / size, across + x * columns / size
    both = (down >= 0) & (down <= rows - 1) & (across >= 0) & (across <= columns - 1)
    back = map_coordinates(other, [down[both], across[both]], order=1, mode="nearest")
    return float(np.corrcoef(own[both], back)[0, 1])


def case(name, model, layer, output, pixels):
    index, _, own = gradcam(model, layer, output, pixels)
    size = pixels.shape[0]
    by = max(1, round(size / 56))
    variants = []
    for x, y in [(by, 0), (-by, 0), (0, by), (0, -by)]:
        _, probability, map = gradcam(model, layer, output, shifted(pixels, x, y), index)
        variants.append({"kind": "shift", "x": x, "y": y, "correlation": correlation(own, map, x, y, size), "probability": probability})
    for quality in (75, 50):
        seen = recompressed(pixels, quality)
        _, probability, map = gradcam(model, layer, output, seen, index)
        variants.append({"kind": "jpeg", "quality": quality, "correlation": correlation(own, map), "probability": probability})
    return {**name, "layer": layer, "size": size, "class": index, "variants": variants}


def main():
    cases = []
    for photo in ("astronaut", "chelsea", "coffee", "rocket"):
        pixels = np.load(GOLDEN / f"{photo}.pixels.npy")
        cases.append(case({"model": None, "photo": photo}, str(LITE), "features", "logits", pixels))
    golden = {each["name"]: each for each in json.loads((GOLDEN / "models/cases.json").read_text())["cases"]}
    pixels = np.load(GOLDEN / "chelsea.pixels.npy")[80:144, 80:144]
    for name in SMALL:
        layer, output = golden[name]["layers"][-1]["tensor"], golden[name]["output"]["scoreTensor"]
        path = GOLDEN / "models" / golden[name]["model"]
        cases.append(case({"model": golden[name]["model"], "photo": "chelsea"}, str(path), layer, output, pixels))
    (HERE / "stability.json").write_text(json.dumps(cases, indent=1) + "\n")
    jpegs = [recompressed(np.load(GOLDEN / "chelsea.pixels.npy"), quality) for quality in (75, 50)]
    Image.fromarray(np.concatenate(jpegs)).save(HERE / "jpegs.png", optimize=True)


main()
