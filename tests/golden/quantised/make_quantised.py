"""Small quantised graphs: scores by ONNX Runtime with its optimisations off, gradients by torch's fake quantisation.

    python -m venv .venv && .venv/bin/pip install -r ../requirements.txt && .venv/bin/python make_quantised.py

Every graph takes an image x of 1x3x8x8 and gives five scores. Writes one ONNX file a case and values.json: the input,
case -> scores, case -> the gradient of the score of class 1 at the tensor t0 (1x8x8x8), the stem's output.
"""
import json
import pathlib
import sys

import numpy as np
import torch
from onnx import numpy_helper

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "operators"))
import make_operators as operators  # noqa: E402

operators.HERE = HERE
CASES = {}


def case(make):
    CASES[make.__name__] = make
    return make


def fake(t, scale, zero, axis=None, low=0, high=255):
    """Rounds and clips; the derivative is 1 where nothing is clipped, 0 elsewhere."""
    if axis is None:
        return torch.fake_quantize_per_tensor_affine(t, float(scale), int(zero), low, high)
    scale, zero = torch.tensor(np.asarray(scale, np.float32)), torch.tensor(np.asarray(zero, np.int32))
    return torch.fake_quantize_per_channel_affine(t, scale, zero, axis, low, high)


def value(graph, name):
    return torch.from_numpy(numpy_helper.to_array(next(t for t in graph.weights if t.name == name)).copy())


# Each gives the scores' name, and the same from the stem's output on in torch.
def ends(graph, map, twin):
    scores = graph.head(map)
    weight, bias = (value(graph, name) for name in graph.nodes[-1].input[1:])
    return scores, lambda t: twin(t).mean((2, 3)) @ weight + bias


@case
def clipped(g):
    return ends(g, g.qdq(g.stem(), 0.005, 100), lambda t: fake(t, 0.005, 100))


@case
def clipped_int8(g):
    return ends(g, g.qdq(g.stem(), 0.01, -20, np.int8), lambda t: fake(t, 0.01, -20, low=-128, high=127))


@case
def clipped_per_channel(g):
    scale, zero = np.linspace(0.002, 0.02, 8), np.arange(8) * 9 + 90
    map = g.dequantise(g.quantise(g.stem(), scale, zero, axis=1), scale, zero, axis=1)
    return ends(g, map, lambda t: fake(t, scale, zero, 1))


@case
def conv_per_channel(g):
    scale = np.abs(g.rng.normal(0.01, 0.003, 8)).astype(np.float32)
    whole, t = g.int8(8, 8, 3, 3), g.qdq(g.stem(), 0.006, 120)
    weights = g.n("DequantizeLinear", g.c(whole), g.c(scale), g.c(np.zeros(8, np.int8)), axis=0)
    map = g.qdq(g.n("Conv", t, weights, pads=[1] * 4), 0.02, 128)
    kernel = torch.tensor(whole * scale[:, None, None, None])
    return ends(g, map, lambda t: fake(torch.conv2d(fake(t, 0.006, 120), kernel, padding=1), 0.02, 128))


@case
def conv_of_rounded_weights(g):
    """Weights in FP32 that the graph itself rounds."""
    t, weights = g.qdq(g.stem(), 0.006, 120), g.w(8, 8, 3, 3)
    rounded = g.dequantise(g.quantise(weights, 0.02, 0, np.int8), 0.02, 0, np.int8)
    kernel = fake(value(g, weights), 0.02, 0, low=-128, high=127)
    map = g.n("Conv", t, rounded, pads=[1] * 4)
    return ends(g, map, lambda t: torch.conv2d(fake(t, 0.006, 120), kernel, padding=1))


@case
def qlinear_conv(g):
    t, whole = g.quantise(g.stem(), 0.006, 120), g.int8(8, 8, 3, 3)
    inputs = [g.f32(0.006), g.c(np.uint8(120)), g.c(whole), g.f32(0.01), g.c(np.int8(0)), g.f32(0.02), g.c(np.uint8(128))]
    map = g.dequantise(g.n("QLinearConv", t, *inputs, pads=[1] * 4), 0.02, 128)
    kernel = torch.tensor(whole.astype(np.float32) * np.float32(0.01))
    return ends(g, map, lambda t: fake(torch.conv2d(fake(t, 0.006, 120), kernel, padding=1), 0.02, 128))


@case
def conv_integer(g):
    whole = g.uint8(8, 8, 3, 3)
    y, scale, zero = g.n("DynamicQuantizeLinear", g.stem(), outputs=3)
    product = g.n("ConvInteger", y, g.c(whole), zero, g.c(np.uint8(113)), pads=[1] * 4)
    map = g.n("Mul", g.n("Cast", product, to=1), g.n("Mul", scale, g.f32(0.01)))
    kernel = torch.tensor((whole.astype(np.float32) - 113) * np.float32(0.01))

    def twin(t):
        low, high = min(float(t.detach().min()), 0), max(float(t.detach().max()), 0)
        scale = np.float32((np.float32(high) - np.float32(low)) / np.float32(255))
        return torch.conv2d(fake(t, scale, np.round(-np.float32(low) / scale)), kernel, padding=1)

    return ends(g, map, twin)


@case
def class_token(g):
    """Every token sets the step of those at the end, of which one is picked."""
    tokens = g.n("Concat", g.w(1, 1, 8), g.tokens(), axis=1)
    parts = [g.n("MatMul", tokens, g.w(8, 8)) for _ in range(3)]
    weights = g.n("Softmax", g.n("MatMul", parts[0], g.n("Transpose", parts[1], perm=[0, 2, 1])), axis=-1)
    tokens = g.n("Add", tokens, g.n("MatMul", weights, parts[2]))
    y, scale, zero = g.n("DynamicQuantizeLinear", tokens, outputs=3)
    product = g.n("MatMulInteger", y, g.c(g.int8(8, 8)), zero, g.c(np.int8(0)))
    tokens = g.n("Mul", g.n("Cast", product, to=1), g.n("Mul", scale, g.f32(0.01)))
    return g.n("Gemm", g.n("Gather", tokens, g.c(np.int64(0)), axis=1), g.w(8, 5), g.w(5)), None


for kind in (0, 1):
    def float_weights(g, kind=kind):
        """Blocks that begin within a row."""
        steps = np.abs(g.rng.normal(0.5, 0.1, 3)).astype(np.float32)
        weights = g.c(g.uint8(8 * 24 // 2))
        product = g.n("MatMulBnb4", g.tokens(24), weights, g.c(steps), domain=operators.MS, K=24, N=8, block_size=64, quant_type=kind)
        return g.token_head(product), None

    CASES[["float_weights", "normal_weights"][kind]] = float_weights


def main():
    for old in HERE.glob("*.onnx"):
        old.unlink()
    scores, gradients = {}, {}
    x = np.random.default_rng(1).normal(0, 1, (1, 3, 8, 8)).astype(np.float32)
    for name, make in sorted(CASES.items()):
        graph = operators.Graph(name)
        output, twin = make(graph)
        scores[name] = graph.save(output)
        if twin is None:
            continue
        stem = graph.nodes[next(i for i, node in enumerate(graph.nodes) if node.output[0] == "t0")]
        t = torch.conv2d(torch.from_numpy(x), value(graph, stem.input[1]), value(graph, stem.input[2]), padding=1)
        t.requires_grad_(True)
        got = twin(t)
        off = np.abs(got.detach().numpy().ravel() - scores[name]).max()
        assert off < 1e-4, (name, off)
        gradient, = torch.autograd.grad(got[0, 1], t)
        assert not name.startswith("clipped") or (gradient == 0).any(), name
        gradients[name] = [float(v) for v in gradient.ravel()]
    values = {"input": [float(v) for v in x.ravel()], "scores": scores, "gradients": gradients}
    (HERE / "values.json").write_text(json.dumps(values, indent=0) + "\n")
    print(f"{len(scores)} cases, {len(gradients)} gradients")


if __name__ == "__main__":
    main()
