"""tests/photos + models/efficientnet-lite0 → the reference values of this folder, and the page's photos in www/samples."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import onnx
import torch
from PIL import Image
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.utils.image import scale_cam_image
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import nn

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
MODEL = ROOT / "models" / "efficientnet-lite0"
SITE_SAMPLES = ROOT / "www" / "samples"
JPEG_QUALITY = 93

# The class on top of the list, and one that looks at another part of the photo.
CLASSES = {"astronaut.png": (560, 450), "chelsea.png": (282, 287), "coffee.png": (967, 910), "rocket.jpg": (657, 540)}

spec = importlib.util.spec_from_file_location("lite0", MODEL / "make.py")
lite0 = importlib.util.module_from_spec(spec)
spec.loader.exec_module(lite0)


class RecordingGradCAM(GradCAM):
    """Grad-CAM that also keeps its map before any scaling."""

    def get_cam_image(self, *args):
        image = super().get_cam_image(*args)
        self.raw = np.maximum(image, 0)
        return image


def with_layer(net):
    """The network with a module of its own at the last feature map: the original shares one ReLU6 among two places."""
    net._avg_pooling = nn.Sequential(nn.Identity(), net._avg_pooling)
    return net.requires_grad_(True), net._avg_pooling[0]


def round_to_fp16(net):
    for parameter in net.parameters():
        if parameter.dim() > 1:
            parameter.data = parameter.data.half().float()
    return net


def region(photo):
    """The part of the photo, in its pixels, that torchvision's resize and centre crop keep."""
    width, height = Image.open(photo).size
    short = min(width, height)
    resized = [int(lite0.SIZE * side / short) for side in (width, height)]
    left, top = (int(round((side - lite0.CROP) / 2)) for side in resized)
    x, y = width / resized[0], height / resized[1]
    return {"x": left * x, "y": top * y, "width": lite0.CROP * x, "height": lite0.CROP * y}


def save(name, values):
    np.save(HERE / name, np.ascontiguousarray(values))
    return name


def heatmaps(photo, tensor, cam, names):
    for index in CLASSES[photo.name]:
        cam(torch.from_numpy(tensor), [ClassifierOutputTarget(index)])
        raw = cam.raw.astype(np.float32)
        yield {
            "classIndex": index,
            "label": names[index],
            "method": "gradcam",
            "layer": lite0.FEATURES,
            "max": float(raw.max()),
            "raw": save(f"{photo.stem}.{index}.raw.npy", raw[0]),
            "scaled": save(f"{photo.stem}.{index}.scaled.npy", scale_cam_image(raw)[0]),
        }


def page_copy(photo):
    image = Image.open(photo)
    image.convert("RGB").save(SITE_SAMPLES / f"{photo.stem}.jpg", quality=JPEG_QUALITY, optimize=True,
                              progressive=True, icc_profile=image.info.get("icc_profile"))


def main():
    torch.set_num_threads(1)
    net, names = lite0.network(), lite0.labels()
    full = lite0.session(lite0.export(net))
    weights = (MODEL / "model.onnx").read_bytes()
    shipped = lite0.session(onnx.load_from_string(weights))
    rounded, layer = with_layer(round_to_fp16(net))
    cam = RecordingGradCAM(rounded, [layer])

    SITE_SAMPLES.mkdir(parents=True, exist_ok=True)
    samples = []
    for name in CLASSES:
        photo = ROOT / "tests" / "photos" / name
        tensor = lite0.tensor(photo)
        fp32, fp16 = (s.run(None, {"input": tensor})[0][0] for s in (full, shipped))
        probabilities = lite0.softmax(fp16)
        width, height = Image.open(photo).size
        samples.append({
            "file": f"tests/photos/{name}",
            "image": {"width": width, "height": height},
            "region": region(photo),
            "pixels": save(f"{photo.stem}.pixels.npy", lite0.pixels(photo)),
            "logits": {"fp16": save(f"{photo.stem}.logits-fp16.npy", fp16),
                       "fp32": save(f"{photo.stem}.logits-fp32.npy", fp32)},
            "predictions": [{"index": int(i), "label": names[i], "probability": float(probabilities[i]),
                             "score": float(fp16[i])} for i in np.argsort(-fp16)[:5]],
            "heatmaps": list(heatmaps(photo, tensor, cam, names)),
        })
        page_copy(photo)
    (HERE / "samples.json").write_text(json.dumps({"weightsSha256": lite0.sha256(weights), "samples": samples},
                                                  indent=1) + "\n")


if __name__ == "__main__":
    main()
