"""../models → cases.json and values.npy: maps of both signs, contrasts, and methods that came later, by pytorch-grad-cam.

Gradients are those of ../torchonnx.py in float64, scores of masked photos those of ONNX Runtime. Requirements: ../requirements.txt.
"""

import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from pytorch_grad_cam import EigenGradCAM, GradCAM, GradCAMPlusPlus, HiResCAM, LayerCAM, ScoreCAM, XGradCAM
from pytorch_grad_cam.finer_cam import FinerCAM
from pytorch_grad_cam.metrics.road import NoisyLinearImputer
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from scipy.ndimage import gaussian_filter

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
import torchonnx  # noqa: E402
from networks import MODELS, formula, keep, write  # noqa: E402

LINEAR = {"gradcam": GradCAM, "hirescam": HiResCAM, "xgradcam": XGradCAM, "eigengradcam": EigenGradCAM}
ONE_SIDED = {"gradcam++": GradCAMPlusPlus, "layercam": LayerCAM}


class Scores:
    """A network whose scores come from ONNX Runtime, as torch sees them."""

    def __init__(self, path, tensor):
        model = onnx.load(path)
        if tensor not in [output.name for output in model.graph.output]:
            model.graph.output.append(onnx.helper.make_tensor_value_info(tensor, 1, None))
        self.tensor, self.session = tensor, onnxruntime.InferenceSession(model.SerializeToString())

    def __call__(self, x):
        each = [self.session.run([self.tensor], {"input": one[None].numpy()})[0][0] for one in x]
        return torch.from_numpy(np.stack(each))


def finer_target(scores, index):
    """The target that pytorch-grad-cam's Finer-CAM makes for a class."""
    found = []

    class Base:
        compute_input_gradient, uses_gradients, device = False, False, "cpu"
        activations_and_grads = staticmethod(lambda x: scores[None])
        compute_cam_per_layer = staticmethod(lambda x, targets, smooth: found.extend(targets))
        aggregate_multi_layers = staticmethod(lambda maps: None)

    class Bare(FinerCAM):
        def __init__(self):
            self.base_cam, self.compute_input_gradient, self.uses_gradients = Base, False, False
        def __del__(self): pass

    Bare().forward(torch.zeros(1), target_idx=index)
    return found[0]


def random_orders(seed, cells, count):
    """SplitMix64 and Fisher-Yates, as docs/explaining.md says."""
    mask = (1 << 64) - 1

    def draw():
        nonlocal seed
        seed = (seed + 0x9E3779B97F4A7C15) & mask
        z = seed
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & mask
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB & mask
        return z ^ (z >> 31)

    for _ in range(count):
        order = list(range(cells))
        for at in range(cells - 1, 0, -1):
            other = draw() % (at + 1)
            order[at], order[other] = order[other], order[at]
        yield order


def check(scores, x, map, index, activation, fill, steps=10, orders=3, seed=7):
    """Deletion and insertion curves of the probability of a class, and the curves of random orders."""
    rows, columns = map.shape
    sides = x.shape[2:]
    mean = lambda plane: np.full_like(plane, plane.astype(np.float64).mean())
    hidden = {"mean": mean, "linear": mean,
              "blur": lambda plane: gaussian_filter(plane.astype(np.float64), min(sides) / 20, mode="nearest", truncate=3)}[fill]
    filled = np.stack([hidden(plane) for plane in x[0]])[None].astype(np.float32)
    ties, *others = random_orders(seed, rows * columns, 1 + orders)
    own = sorted(ties, key=lambda cell: -map.flat[cell])
    steps = min(steps, rows * columns)
    counts = [(step * rows * columns + steps // 2) // steps for step in range(steps + 1)]

    def probability(cells):
        seen, shown = x.copy(), np.ones(sides, np.float32)
        for cell in cells:
            part = tuple(slice(at * size // of, (at + 1) * size // of)
                         for at, of, size in zip(divmod(cell, columns), (rows, columns), sides))
            seen[0][(slice(None), *part)] = filled[0][(slice(None), *part)]
            shown[part] = 0
        if fill == "linear" and 0 < shown.sum() < shown.size:
            seen = NoisyLinearImputer(noise=0)(torch.from_numpy(x[0]), torch.from_numpy(shown)).numpy()[None]
        logits = scores(torch.from_numpy(seen)).double()[0]
        return float(torch.softmax(logits, 0)[index] if activation != "sigmoid" else torch.sigmoid(logits)[index])

    share = np.array(counts) / (rows * columns)
    curves = {"deletion": [probability(own[:n]) for n in counts], "insertion": [probability(own[n:]) for n in counts],
              "random": [[probability(order[:n]) for n in counts] for order in others]}
    return {"fill": fill, "steps": steps, "orders": orders, "seed": seed, **curves,
            "deletionArea": float(np.trapezoid(curves["deletion"], share)),
            "insertionArea": float(np.trapezoid(curves["insertion"], share)),
            "randomAreas": [float(np.trapezoid(curve, share)) for curve in curves["random"]]}


def case(golden):
    path = MODELS / golden["model"]
    layer, output = golden["layers"][-1], golden["output"]["scoreTensor"]
    x = np.load(MODELS / golden["input"]["file"]).reshape(golden["input"]["shape"])
    index, other = (each["index"] for each in layer["classes"])
    rows, columns = layer["classes"][0]["maps"]["gradcam"]["shape"]
    shape = layer["activations"]["shape"]
    channels = shape[-1] if layer["axes"] == "tokens" else shape[1]
    env = torchonnx.run(str(path), {"input": torch.from_numpy(x).double()}, [layer["tensor"], output], leaf=layer["tensor"])
    scores, leaf = env[output].flatten(), env[layer["tensor"]]
    grid = lambda t: torchonnx.laid(t.detach(), channels, rows, columns)[None].float().numpy()
    activations = grid(leaf)

    def gradient(value):
        return grid(torch.autograd.grad(value, leaf, retain_graph=True)[0])

    def image(base, g):
        return formula(base).get_cam_image(None, None, None, activations, g, False)[0]

    own = gradient(scores[index])
    both = {name: image(base, own) for name, base in LINEAR.items()}
    for name, base in ONE_SIDED.items():
        both[name] = np.maximum(image(base, own), 0) - np.maximum(image(base, -own), 0)
    finer = finer_target(scores.detach(), index)
    assert finer.main_category == index
    result = {
        "name": golden["name"], "model": golden["model"], "input": golden["input"]["file"], "shape": golden["input"]["shape"],
        "activation": golden["output"]["activation"], "layer": layer["tensor"], "class": index, "other": other,
        "both": {name: keep(values) for name, values in both.items()},
        "difference": keep(image(GradCAM, gradient(scores[index] - scores[other]))),
        "alike": finer.comparison_categories,
        "finer": keep(image(GradCAM, gradient(finer(scores)))),
    }
    scoring = formula(ScoreCAM)
    scoring.device, scoring.model = "cpu", Scores(path, output)
    weights = scoring.get_cam_weights(torch.from_numpy(x), None, [ClassifierOutputTarget(index)], activations, None)
    positive = np.maximum(both["gradcam"], 0).astype(np.float32)
    result["checks"] = [check(scoring.model, x, positive, index, golden["output"]["activation"], fill)
                        for fill in ("mean", "blur", "linear")]
    result["scorecam"] = keep(np.maximum((weights[:, :, None, None] * activations).sum(1)[0], 0))
    return result


torch.manual_seed(0)
write(HERE, case)
