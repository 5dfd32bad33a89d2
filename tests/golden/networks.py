"""The networks of models/ that maps and checks are compared on; arrays → one file of values, and the place of each."""

import json
from pathlib import Path

import numpy as np

MODELS = Path(__file__).resolve().parent / "models"
NAMES = ["resnet", "mobilenet-v2", "densenet", "vgg", "efficientnet", "shufflenet-v2", "convnext", "vit", "squeezenet-softmax"]

values, size = [], 0


def keep(array):
    """Puts an array into the file; its place."""
    global size
    array = np.ascontiguousarray(array, dtype="<f4")
    assert np.isfinite(array).all()
    place = {"offset": size, "shape": list(array.shape)}
    values.append(array.ravel())
    size += array.size
    return place


def formula(base):
    """A method of pytorch-grad-cam without a network."""
    class Formula(base):
        def __init__(self): pass
        def __del__(self): pass
    return Formula()


def write(folder, case):
    """Makes a case of each network, and writes cases.json and values.npy."""
    golden = json.loads((MODELS / "cases.json").read_text())["cases"]
    cases = [case(next(each for each in golden if each["name"] == name)) for name in NAMES]
    (folder / "cases.json").write_text(json.dumps(cases, indent=1) + "\n")
    np.save(folder / "values.npy", np.concatenate(values))
