"""../models → cases.json and values.npy: every method and sign by pytorch-grad-cam, captum, torch and SciPy.

Gradients are those of ../torchonnx.py in float64, scores those of ONNX Runtime. Three things differ from pytorch-grad-cam: its
Ablation-CAM sets a channel to the least activation less 10⁷ where some are negative, the paper to 0, as here; it divides by the
score, here by its absolute value, so that "for" stays "for" where the score is negative; and what speaks against a class is what
speaks for its negated score. Requirements: ../requirements.txt,
and captum==0.8.0 by `pip install --no-deps`, since it asks for an older NumPy.
"""

import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from captum.attr import IntegratedGradients
from pytorch_grad_cam import (AblationCAM, EigenCAM, EigenGradCAM, GradCAM, GradCAMPlusPlus, HiResCAM, LayerCAM, ScoreCAM,
                              XGradCAM)
from pytorch_grad_cam.ablation_layer import AblationLayer
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from scipy.ndimage import gaussian_filter, shift

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
import torchonnx  # noqa: E402
from networks import MODELS, formula, keep, write  # noqa: E402

GRADIENT = {"gradcam": GradCAM, "gradcam++": GradCAMPlusPlus, "hirescam": HiResCAM, "layercam": LayerCAM, "xgradcam": XGradCAM,
            "eigengradcam": EigenGradCAM}
ONE_SIDED = {"gradcam++", "layercam"}
GRID, MASKS, SEED, STEPS = 5, 60, 7, 8
SHIFTS = [(0, 0), (-1, 0), (1, 0), (0, -1), (0, 1)]


def sides(both):
    """Maps of the three signs from the one of both."""
    return {"for": np.maximum(both, 0), "against": np.maximum(-both, 0), "both": both}


class Scores(torch.nn.Module):
    """A network whose scores come from ONNX Runtime, as torch sees them; from a layer on, if its values are given."""

    def __init__(self, path, tensor, layer=None):
        super().__init__()
        model = onnx.load(path)
        known = {output.name for output in model.graph.output}
        for name in [tensor] + ([layer] if layer else []):
            if name not in known:
                model.graph.output.append(onnx.helper.make_tensor_value_info(name, 1, None))
        self.tensor, self.layer = tensor, layer
        self.session = onnxruntime.InferenceSession(model.SerializeToString())
        if layer:
            for node in model.graph.node:
                for at, name in enumerate(node.input):
                    if name == layer:
                        node.input[at] = "changed"
            while model.graph.output:
                model.graph.output.pop()
            model.graph.output.append(onnx.helper.make_tensor_value_info(tensor, 1, None))
            model.graph.input.append(onnx.helper.make_tensor_value_info("changed", 1, None))
            self.rest = onnxruntime.InferenceSession(model.SerializeToString())

    def forward(self, x):
        each = [self.session.run([self.tensor], {"input": one[None].float().numpy()})[0].reshape(-1) for one in x]
        return torch.from_numpy(np.stack(each))

    def activations(self, x):
        return torch.from_numpy(self.session.run([self.layer], {"input": x.float().numpy()})[0])

    def onwards(self, x, changed):
        each = [self.rest.run([self.tensor], {"input": x[:1].float().numpy(), "changed": one[None].numpy()})[0].reshape(-1)
                for one in changed]
        return torch.from_numpy(np.stack(each))


class Zero(AblationLayer):
    """Sets channels to 0, as the paper does."""

    def __init__(self, axis):
        super().__init__()
        self.axis = axis

    def set_next_batch(self, input_batch_index, activations, num_channels_to_ablate):
        one = activations[input_batch_index].clone()[None]
        self.activations = one.repeat(num_channels_to_ablate, *[1] * (one.dim() - 1))

    def __call__(self, x):
        for one, channel in zip(self.activations, self.indices):
            one.select(self.axis - 1, int(channel)).fill_(0)
        return self.activations


def ablation(scores, x, activations, target, axis):
    """The whole of pytorch-grad-cam's AblationCAM, on a network of two parts."""
    class Layer(torch.nn.Module):
        def forward(self, x): return scores.activations(x[:1])

    class Network(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = Layer()
            self.unused = torch.nn.Parameter(torch.zeros(1))

        def forward(self, x): return scores.onwards(x, self.layer(x))

    network = Network()
    cam = AblationCAM(network, [network.layer], ablation_layer=Zero(axis), batch_size=8)
    weights = cam.get_cam_weights(x, network.layer, [target], activations, None)
    sign = np.sign(target(scores(x)[0]).item())
    return sign * (weights[:, :, None, None] * activations).sum(1)[0]


def draws(seed):
    """SplitMix64."""
    mask = (1 << 64) - 1
    while True:
        seed = (seed + 0x9E3779B97F4A7C15) & mask
        z = seed
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & mask
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB & mask
        yield z ^ (z >> 31)


def rise(probability, x):
    """Petsiuk 2018, with masks drawn as docs/explaining.md says."""
    height, width = x.shape[2:]
    random = draws(SEED)
    each = [-(-side // GRID) for side in (height, width)]
    total = torch.zeros(height, width, dtype=torch.float64)
    for _ in range(MASKS):
        cells = torch.tensor([[next(random) >> 63 for _ in range(GRID)] for _ in range(GRID)], dtype=torch.float64)
        large = torch.nn.functional.interpolate(cells[None, None], size=[(GRID + 1) * n for n in each], mode="bilinear",
                                                align_corners=False)[0, 0]
        top, left = (next(random) % n for n in each)
        mask = large[top:top + height, left:left + width]
        total += probability(x * mask) * mask
    return (total / MASKS / 0.5).numpy()


def blurred(x):
    sigma = min(x.shape[2:]) / 20
    return torch.from_numpy(np.stack([gaussian_filter(plane, sigma, mode="nearest", truncate=3) for plane in x[0].numpy()])[None])


def smoothed(x, image, rows, columns):
    """The mean of the maps of mirrored and shifted inputs, each brought back."""
    height, width = x.shape[2:]
    steps = [max(1, round(height / rows / 3)), max(1, round(width / columns / 3))]
    maps = []
    for mirrored in (False, True):
        for direction in SHIFTS:
            y, x_by = (sign * step for sign, step in zip(direction, steps))
            seen = torch.flip(x, [3]) if mirrored else x
            down = (torch.arange(height) - y).clamp(0, height - 1)
            across = (torch.arange(width) - x_by).clamp(0, width - 1)
            map = image(seen[:, :, down][:, :, :, across])
            back = shift(map.astype(np.float64), (-y * rows / height, -x_by * columns / width), order=1, mode="nearest")
            maps.append(back[:, ::-1] if mirrored else back)
    return np.mean(maps, axis=0)


def case(golden):
    path = MODELS / golden["model"]
    layer, output = golden["layers"][-1], golden["output"]["scoreTensor"]
    x = torch.from_numpy(np.load(MODELS / golden["input"]["file"]).reshape(golden["input"]["shape"]))
    index = layer["classes"][0]["index"]
    rows, columns = layer["classes"][0]["maps"]["gradcam"]["shape"]
    shape = layer["activations"]["shape"]
    channels = shape[-1] if layer["axes"] == "tokens" else shape[1]
    grid = lambda t: torchonnx.laid(t.detach(), channels, rows, columns)[None].float().numpy()

    def seen(x):
        """Activations and gradients for an input."""
        env = torchonnx.run(str(path), {"input": x.double()}, [layer["tensor"], output], leaf=layer["tensor"])
        leaf = env[layer["tensor"]]
        gradient = torch.autograd.grad(env[output].flatten()[index], leaf)[0]
        return grid(leaf), grid(gradient)

    def image(base, a, g):
        return formula(base).get_cam_image(None, None, None, a, g, False)[0]

    def signed(name, a, g):
        base = GRADIENT[name]
        if name not in ONE_SIDED:
            return sides(image(base, a, g))
        sided = [np.maximum(image(base, a, side), 0) for side in (g, -g)]
        return {"for": sided[0], "against": sided[1], "both": sided[0] - sided[1]}

    activations, gradients = seen(x)
    maps = {name: signed(name, activations, gradients) for name in GRADIENT}
    maps["eigencam"] = {"for": image(EigenCAM, activations, gradients)}  # its sign is arbitrary
    scoring = formula(ScoreCAM)
    scores = Scores(path, output, layer["tensor"])
    scoring.device, scoring.model = "cpu", scores
    target = ClassifierOutputTarget(index)
    weights = scoring.get_cam_weights(x, None, [target], activations, None)
    maps["scorecam"] = {"for": np.maximum((weights[:, :, None, None] * activations).sum(1)[0], 0)}
    maps["ablationcam"] = sides(ablation(scores, x, activations, target, 2 if layer["axes"] == "tokens" else 1))

    def probability(x):
        logits = scores(x).double()[0]
        return float(torch.sigmoid(logits)[index] if golden["output"]["activation"] == "sigmoid" else torch.softmax(logits, 0)[index])

    maps["rise"] = {"for": rise(probability, x.double())}

    def score(x):
        env = torchonnx.run(str(path), {"input": x}, [output])
        return env[output].flatten()[index][None]

    attributed = IntegratedGradients(score, multiply_by_inputs=True).attribute(
        x.double(), blurred(x.double()), n_steps=STEPS, method="riemann_middle", internal_batch_size=1)
    maps["integratedgradients"] = sides(attributed.sum(1)[0].detach().numpy())

    smooth = {}
    for name in ("gradcam", "layercam"):
        smooth[name] = {sign: smoothed(x, lambda seen_x: signed(name, *seen(seen_x))[sign], rows, columns)
                        for sign in ("for", "both")}
    kept = lambda maps: {name: {sign: keep(map) for sign, map in signs.items()} for name, signs in maps.items()}
    return {"name": golden["name"], "model": golden["model"], "input": golden["input"]["file"], "shape": golden["input"]["shape"],
            "activation": golden["output"]["activation"], "layer": layer["tensor"], "class": index,
            "grid": GRID, "masks": MASKS, "seed": SEED, "steps": STEPS,
            "maps": kept(maps), "smooth": kept(smooth),
            "pooled": keep(activations[0].astype(np.float64).mean((1, 2)))}


torch.manual_seed(0)
write(HERE, case)
