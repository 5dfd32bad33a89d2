"""architectures.py → NAME.onnx, NAME.input.npy, NAME.npy and cases.json, each value checked before it is written."""

import argparse
import copy
import io
import json
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from architectures import CASES, CLASSES, KERAS
from keras_graph import keras_graph
from onnx import helper
from pytorch_grad_cam import EigenCAM, GradCAM, GradCAMPlusPlus, HiResCAM, LayerCAM, XGradCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import nn

HERE = Path(__file__).resolve().parent
METHODS = {"gradcam": GradCAM, "gradcam++": GradCAMPlusPlus, "hirescam": HiResCAM, "layercam": LayerCAM,
           "xgradcam": XGradCAM, "eigencam": EigenCAM}


class Values:
    """Arrays laid end to end in one flat float32 file."""

    def __init__(self):
        self.parts, self.size = [], 0

    def add(self, array):
        array = np.ascontiguousarray(array, dtype="<f4")
        if not np.isfinite(array).all():
            raise SystemExit("a golden value is not finite")
        place = {"offset": self.size, "shape": list(array.shape)}
        self.parts.append(array.ravel())
        self.size += array.size
        return place


def images(case, count):
    """Random images of large and small blobs, NCHW: -1..1, or whole numbers in 0..255."""
    shape = (case.size, case.size)
    coarse = nn.functional.interpolate(torch.randn(count, case.colours, 5, 5), shape, mode="bilinear")
    x = torch.tanh(coarse + 0.3 * torch.randn(count, case.colours, *shape))
    if case.bytes_in:
        return ((x + 1) * 127.5).round()
    return x.half().float() if case.fp16 else x


@torch.no_grad()
def network(case):
    """The network with lively weights: batch norms know the images, scores lie around 0 and spread by 2."""
    torch.manual_seed(zlib.crc32(case.name.encode()))
    net = case.network().requires_grad_(False)
    weighted = [m for m in net.modules() if isinstance(m, (nn.Linear, nn.Conv2d))]
    for module in weighted:
        nn.init.kaiming_normal_(module.weight)
    for parameter in net.parameters():
        if parameter.dim() == 1:
            parameter += 0.2 * torch.randn_like(parameter)
    for module in net.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.momentum = None
        if hasattr(module, "inplace"):
            module.inplace = False  # would overwrite the map that a hook has kept
    net.train()
    for _ in range(3):
        net(images(case, 8))
    net.eval()
    head, sample = weighted[-1], images(case, 32)
    head.weight *= 2 / net(sample).std(0).mean()
    head.bias -= net(sample).mean(0)
    if case.fp16:
        net.half().float()
    return net.requires_grad_(True)


def export(case, net, x):
    """The ONNX graph, without what only tells of the machine that exported it."""
    if case.exporter == "helper":
        return keras_graph(net, case.size, case.opset)
    head = {"softmax": nn.Softmax(1), "sigmoid": nn.Sigmoid(), "none": nn.Identity()}[case.activation]
    whole = copy.deepcopy(net) if case.activation == "none" else nn.Sequential(copy.deepcopy(net), head)
    whole.requires_grad_(False)
    names = {"input_names": ["input"], "output_names": ["output"], "opset_version": case.opset}
    if case.exporter == "dynamo":
        batch = {"dynamic_shapes": ({0: torch.export.Dim("batch", max=64)},)} if case.symbolic else {}
        example = torch.cat([x, x]) if case.symbolic else x
        model = torch.onnx.export(whole, (example,), dynamo=True, verbose=False, **batch, **names).model_proto
    else:
        raw = io.BytesIO()
        whole, x = (whole.half(), x.half()) if case.fp16 else (whole, x)
        batch = {"dynamic_axes": {"input": {0: "batch"}, "output": {0: "batch"}}} if case.symbolic else {}
        training = torch.onnx.TrainingMode.EVAL if case.fold else torch.onnx.TrainingMode.PRESERVE
        torch.onnx.export(whole, (x,), raw, dynamo=False, training=training, do_constant_folding=case.fold, **batch,
                          **names)
        model = onnx.load_from_string(raw.getvalue())
    graph = model.graph
    for part in [model, graph, *graph.node, *graph.initializer, *graph.value_info, *graph.input, *graph.output]:
        part.doc_string = ""
        del part.metadata_props[:]
    return model


def session(model):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def run(model, x):
    """Every floating-point tensor that the graph computes, by name, in the order of computation."""
    whole = copy.deepcopy(model)
    outputs = [o.name for o in whole.graph.output]
    whole.graph.output.extend(helper.make_empty_tensor_value_info(name) for node in whole.graph.node
                              for name in node.output if name and name not in outputs)
    ready = session(whole)
    half = ready.get_inputs()[0].type == "tensor(float16)"
    found = dict(zip([o.name for o in ready.get_outputs()],
                     ready.run(None, {"input": x.astype(np.float16 if half else np.float32)})))
    return {name: found[name].astype(np.float32) for node in model.graph.node for name in node.output
            if name and found[name].dtype in (np.float32, np.float16)}


def find(case, tensors, activation):
    """The ONNX tensor that holds a layer's output, and its axes."""
    forms = {"tokens": activation}
    if activation.ndim == 4:
        forms = {"nchw": activation}
        if case.layout == "nhwc":
            forms = {"nhwc": activation.transpose(0, 2, 3, 1), **forms}
    for axes, form in forms.items():
        for name, value in tensors.items():
            if value.shape == form.shape and abs(value - form).max() < (2e-2 if case.fp16 else 1e-4) * abs(form).max():
                return name, axes
    raise SystemExit(f"{case.name}: no ONNX tensor holds a layer's output of shape {activation.shape}")


def slope_error(model, fed, scores, layer, value, gradient, index):
    """How far the gradient is from what a small step at the layer does to the score in ONNX Runtime, relatively."""
    typed = onnx.shape_inference.infer_shapes(model)
    known = {v.name for v in [*typed.graph.value_info, *typed.graph.output]}
    typed.graph.value_info.extend(helper.make_tensor_value_info(n, 1, None) for n in {layer, scores} - known)
    rest = session(onnx.utils.Extractor(typed).extract_model(["input", layer], [scores]))
    slope = gradient * (value != 0)  # behind a relu, windows of a max pool are tied at zero
    length = np.sqrt((slope ** 2).sum())
    errors = []
    for reach in (1e-3, 3e-4, 1e-4, 3e-5):  # longer steps cross kinks of relu and max pooling, shorter ones meet rounding
        step = slope / length * np.sqrt((value ** 2).sum()) * reach
        up, down = (rest.run(None, {"input": fed, layer: (value + s * step).astype(np.float32)})[0][0, index]
                    for s in (1, -1))
        errors.append(abs((up - down) / 2 / (gradient * step).sum() - 1))
    return min(errors)


def to_map(case):
    """Tokens, as an array or a tensor → NCHW."""
    def reshape(tokens):
        patches = tokens[:, case.prefix:].swapaxes(1, 2)
        side = int(patches.shape[2] ** 0.5)
        return patches.reshape(*patches.shape[:2], side, side)
    return reshape


def maps(activations, gradients):
    """Each method's map of NCHW values before any scaling ("eigencam-signed" is eigencam's before its negative part is
    dropped), and the methods whose map, scaled to 0..1, moves by more than 0.001 when activations and gradients move by
    1e-5 of their maximum: no other implementation can be held to those."""
    result, unstable = {}, []
    random = np.random.default_rng(0)
    shaken = [[v + (1e-5 * abs(v).max() * random.standard_normal(v.shape)).astype(np.float32)
               for v in (activations, gradients)] for _ in range(8)]
    for method, base in METHODS.items():
        class Formula(base):
            """The method without a network."""
            def __init__(self): pass
            def __del__(self): pass

        signed, *moved = (Formula().get_cam_image(None, None, None, a, g, False)[0]
                          for a, g in [(activations, gradients), *shaken])
        result[method] = np.maximum(signed, 0)
        if method == "eigencam":
            result["eigencam-signed"] = signed
        if max(abs(scaled(signed) - scaled(m)).max() for m in moved) > 1e-3:
            unstable.append(method)
    return result, unstable


def scaled(values):
    positive = np.maximum(values, 0)
    return positive / (positive.max() or 1)


def gradient_at(net, layer, x, index):
    """A layer's output and the gradient of one score there."""
    kept = []
    hook = layer.register_forward_hook(lambda module, inputs, output: kept.append(output))
    score = net(x)[0, index]
    hook.remove()
    return kept[0].detach().numpy(), torch.autograd.grad(score, kept[0])[0].numpy()


def check_map(case, net, layer, tokens, x, index, expected):
    """pytorch-grad-cam's Grad-CAM of the whole network sees the same layer as we do."""
    with GradCAM(net, [layer], to_map(case) if tokens else None) as cam:
        cam.get_target_width_height = lambda x: expected.shape[::-1]
        found = cam(x, [ClassifierOutputTarget(index)])[0]
    low, high = expected.min(), expected.max()
    if abs(found - (expected - low) / (high - low + 1e-7)).max() > 1e-4:
        raise SystemExit(f"{case.name}: pytorch-grad-cam makes another map for class {index}")


@dataclass
class Traced:
    """A graph, what it was fed, and what its framework says: layers and gradients as NCHW or tokens."""

    model: onnx.ModelProto
    fed: np.ndarray
    scores: np.ndarray
    best: list
    layers: list  # (activations, one gradient for each of the best)


def trace(case):
    net = network(case)
    x = images(case, 1)
    model = export(case, net, x)
    scores = net(x).detach().numpy()[0]
    best = np.argsort(-scores)[:2].tolist()
    layers = []
    for layer in case.layers(net):
        found = [gradient_at(net, layer, x, index) for index in best]
        layers.append((found[0][0], [gradient for _, gradient in found]))
        for index, (activation, gradient) in zip(best, found):
            planes = [v if v.ndim == 4 else to_map(case)(v) for v in (activation, gradient)]
            check_map(case, net, layer, activation.ndim == 3, x, index, maps(*planes)[0]["gradcam"])
    return Traced(model, x.numpy().transpose(0, 2, 3, 1) if case.layout == "nhwc" else x.numpy(), scores, best, layers)


def read_keras(path):
    """What make_keras.py has written."""
    kept = np.load(path)
    nchw = lambda name: kept[name].transpose(0, 3, 1, 2)
    layers = [(nchw(f"activation{i}"), [nchw(f"gradient{i}{j}") for j in range(2)]) for i in range(2)]
    return Traced(onnx.load_from_string(kept["model"].tobytes()), kept["input"], kept["scores"], kept["best"].tolist(),
                  layers)


def record(case, traced):
    model, fed = traced.model, traced.fed
    onnx.checker.check_model(model, full_check=True)
    opset = next(o.version for o in model.opset_import if o.domain == "")
    if opset != case.opset:
        raise SystemExit(f"{case.name}: opset {opset} came out, expected {case.opset}")
    tensors = run(model, fed)
    output = model.graph.output[0].name
    score_tensor = output if case.activation == "none" else model.graph.node[-1].input[0]
    error = abs(tensors[score_tensor][0] - traced.scores).max()
    if error > (0.05 if case.fp16 else 3e-4):
        raise SystemExit(f"{case.name}: ONNX Runtime's scores are off by {error}")

    values = Values()
    layers, notes = [], []
    for place, (activation, gradients) in zip(("middle", "last"), traced.layers):
        name, axes = find(case, tensors, activation)
        turn = (0, 2, 3, 1) if axes == "nhwc" else tuple(range(activation.ndim))
        classes = []
        for index, gradient in zip(traced.best, gradients):
            made, unstable = maps(*(to_map(case)(v) if axes == "tokens" else v for v in (activation, gradient)))
            gradient = gradient.transpose(turn)
            if not case.fp16:
                slope = slope_error(model, fed, score_tensor, name, tensors[name], gradient, index)
                notes.append(f"{slope:.0e}")
                if slope > 0.05:
                    raise SystemExit(f"{case.name}: gradient at {name} is off by {slope}")
            notes += [f"{m} of {index} is zero" for m, v in made.items() if not v.any()]
            notes += [f"{m} of {index} is unstable" for m in unstable]
            classes.append({"index": index, "gradients": values.add(gradient),
                            "maps": {method: values.add(v) for method, v in made.items()}, "unstable": unstable})
        layers.append({"place": place, "tensor": name, "axes": axes, "prefixTokens": case.prefix,
                       "grid": classes[0]["maps"]["gradcam"]["shape"],
                       "activations": values.add(activation.transpose(turn)), "classes": classes})
        notes.append(f"at {name} {layers[-1]['activations']['shape']};")
    entry = {
        "name": case.name, "about": case.about, "model": f"{case.name}.onnx", "exporter": case.exporter,
        "opset": opset, "precision": "fp16" if case.fp16 else "fp32",
        "input": {"name": model.graph.input[0].name, "file": f"{case.name}.input.npy", "shape": list(fed.shape),
                  "layout": case.layout, "symbolicBatch": case.symbolic},
        "output": {"name": output, "activation": case.activation, "scoreTensor": score_tensor},
        "values": f"{case.name}.npy",
        "scores": values.add(traced.scores if case.fp16 else tensors[score_tensor][0]),
        "outputs": values.add(tensors[output][0]), "layers": layers,
    }
    onnx.save(model, HERE / entry["model"])
    np.save(HERE / entry["input"]["file"], np.ascontiguousarray(fed, dtype="<f4"))
    np.save(HERE / entry["values"], np.concatenate(values.parts))
    print(f"{case.name}: {model.ByteSize()} bytes, {len(model.graph.node)} nodes, scores off by {error:.0e}; gradients "
          f"off by {' '.join(notes)}", flush=True)
    return entry


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("names", nargs="*", help="renew only these")
    options.add_argument("--keras", metavar="FILE.npz", help="renew only keras-mobilenet-v2, from what make_keras.py wrote")
    options = options.parse_args()
    torch.set_num_threads(1)
    torch.backends.mha.set_fastpath_enabled(False)  # the fused attention cannot be exported

    written = HERE / "cases.json"
    known = {e["name"]: e for e in json.loads(written.read_text())["cases"]} if written.exists() else {}
    if options.keras:
        known[KERAS.name] = record(KERAS, read_keras(options.keras))
    for case in CASES:
        if case.name in options.names or not (options.names or options.keras):
            known[case.name] = record(case, trace(case))
    entries = [known[case.name] for case in [*CASES, KERAS] if case.name in known]
    lines = ",\n".join(json.dumps(entry) for entry in entries)
    written.write_text(f'{{"classes": {CLASSES}, "cases": [\n{lines}\n]}}\n')


if __name__ == "__main__":
    main()
