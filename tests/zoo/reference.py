"""A filled graph → the right values: scores by ONNX Runtime without optimisation, maps of Grad-CAM by ../golden/torchonnx.py."""

import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import torch

sys.path.append(str(Path(__file__).resolve().parents[1] / "golden"))
import torchonnx

PRODUCTS = {
    "Conv",
    "Gemm",
    "MatMul",
    "QLinearConv",
    "QLinearMatMul",
    "QGemm",
    "ConvInteger",
    "MatMulInteger",
    "MatMulNBits",
    "LSTM",
}


def session(data, level):
    options = ort.SessionOptions()
    options.graph_optimization_level = level
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    return ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def end(graph, output):
    """The tensor of the scores: what stands before a softmax or sigmoid at the graph's end."""
    by = {name: node for node in graph.node for name in node.output}
    name = output
    while (node := by.get(name)) is not None:
        if node.op_type in ("Softmax", "Sigmoid", "LogSoftmax"):
            return node.input[0]
        if node.op_type not in ("Identity", "Reshape", "Flatten", "Squeeze", "Cast"):
            break
        name = node.input[0]
    return output


def scores(model, image):
    """Scores, and how far off others are that may be right too, as a share of the scores' span: ONNX Runtime with all
    its optimisations, and float64."""
    graph = onnx.ModelProto()
    graph.CopyFrom(model)
    name = end(model.graph, model.graph.output[0].name)
    if name != model.graph.output[0].name:
        del graph.graph.output[:]
        graph.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    data = graph.SerializeToString()
    levels = ort.GraphOptimizationLevel
    feed = {taken(model): image}
    first = session(data, levels.ORT_DISABLE_ALL).run(None, feed)[0].flatten()
    other = session(data, levels.ORT_ENABLE_ALL).run(None, feed)[0].flatten()
    with torch.no_grad():
        exact = torchonnx.run(model, feed, [name])[name].flatten().numpy()
    off = max(np.abs(first - other).max(), np.abs(first - exact).max())
    return name, first, float(off / max(np.ptp(first), 1e-30))


def averaged(model):
    """The model with the mean of its outputs for its first."""
    held = onnx.ModelProto()
    held.CopyFrom(model)
    names = [output.name for output in held.graph.output]
    held.graph.node.append(onnx.helper.make_node("Mean", names, ["mean.of.heads"]))
    held.graph.output.insert(0, onnx.helper.make_tensor_value_info("mean.of.heads", onnx.TensorProto.FLOAT, None))
    return held


def taken(model):
    """The name of the image."""
    held = {tensor.name for tensor in model.graph.initializer}
    return next(
        value.name for value in model.graph.input if value.name not in held and value.type.tensor_type.shape.dim
    )


def depth(model, layer, scores):
    """The share of all products on the way to the scores that lie before a layer."""
    by = {name: node for node in model.graph.node for name in node.output}

    def before(name):
        seen, left, count = set(), [name], 0
        while left:
            node = by.get(left.pop())
            if node is None or id(node) in seen:
                continue
            seen.add(id(node))
            count += node.op_type in PRODUCTS
            left.extend(node.input)
        return count

    return before(stored(model, layer)[0]) / max(1, before(scores))


# Where a quantised operator's inputs name the zero point of its output.
ZERO = {
    "QuantizeLinear": 2,
    "QLinearConv": 7,
    "QLinearMatMul": 7,
    "QLinearAdd": 7,
    "QLinearMul": 7,
    "QGemm": 8,
    "QLinearConcat": 1,
}


MOVES = {"Concat", "Flatten", "Gather", "MaxPool", "Reshape", "Slice", "Split", "Squeeze", "Transpose", "Unsqueeze"}


def stored(model, layer):
    """The tensor that holds a layer, and the name of its zero point, if it has one: what a quantised tensor stands for
    is called `NAME.real`."""
    by = {name: node for node in model.graph.node for name in node.output}
    name = layer.removesuffix(".real")
    if layer in by or name not in by:
        return layer, None
    node = by[name]
    while node.op_type in MOVES:
        node = by[node.input[0]]
    if node.op_type == "DynamicQuantizeLinear":
        return name, node.output[2]
    return name, node.input[ZERO.get(node.op_type, 4)]


KINKED = {"Relu", "LeakyRelu", "PRelu", "Clip", "HardSigmoid", "HardSwish", "QuantizeLinear", "DynamicQuantizeLinear"}
NUDGE = 2e-6  # what FP32 leaves open, as a share of a tensor's usual size


@contextmanager
def nudged(by):
    """Functions with a kink or steps are entered so much beside it, as a share of their input's usual size."""
    known = torchonnx.one

    def one(node, a, ins, opset):
        if node.op_type in KINKED:
            ins = [ins[0] + by * ins[0].detach().square().mean().sqrt(), *ins[1:]]
        return known(node, a, ins, opset)

    torchonnx.one = one
    try:
        yield
    finally:
        torchonnx.one = known


def spread(model, image, layer, name, index):
    """How much right maps of one class differ where a value stands so near a kink or a step that rounding decides its side; of
    the map scaled to 0..1."""
    made = [maps(model, image, [layer], name, [index], 0)[0][1]]
    for by in (NUDGE, -NUDGE):
        with nudged(by):
            made.append(maps(model, image, [layer], name, [index], 0)[0][1])
    return max(float(np.abs(other - made[0]).max()) for other in made[1:]) / max(float(made[0].max()), 1e-300)


def maps(model, image, layers, name, order, least):
    """Grad-CAM at each layer, of the first class of `order` whose map at the first layer is more than `least` of its
    terms."""
    given = {taken(model): image}
    made, chosen = [], None
    for layer in layers:
        tensor, zero = stored(model, layer["name"])
        env = torchonnx.run(model, given, [tensor, name, zero], leaf=tensor)
        value, leaf = env[name].flatten(), env[tensor]
        shape = (layer["channels"], layer["height"], layer["width"])
        for index in [chosen] if chosen is not None else order:
            (grad,) = torch.autograd.grad(value[index], leaf, retain_graph=True)
            terms = torchonnx.laid(grad, *shape).mean((1, 2))[:, None, None] * (
                torchonnx.laid(leaf.detach(), *shape) - (0 if zero is None else env[zero])
            )
            total, most = terms.sum(0), float(terms.abs().sum(0).max())
            left = float(total.max()) / max(most, 1e-300)
            if left > least:
                break
        chosen = index
        made.append((index, torch.relu(total).numpy(), most, left))
    return made
