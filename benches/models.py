"""The networks that the benchmark runs → the same weights as ONNX, as TFLite, for tfjs, and as a folder of ours.

    python models.py CACHE WHYLENS

WHYLENS is the native tool. MobileNetV2 and ResNet-18 have random weights: speed does not depend on them. They are written
as torchvision exports them, batch norms folded into the convolutions.
"""

import json
import math
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxsim
from onnx import TensorProto, helper, numpy_helper

from pack import CLASSES, pack

HERE = Path(__file__).resolve().parent
SIDE = 224
# Other sizes that one network is run at.
SIDES = (96, 160, 320, 448)


class Network:
    """An ONNX graph in the making; every method gives the name of its output."""

    def __init__(self):
        self.random = np.random.default_rng(1)
        self.nodes, self.weights = [], []

    def weight(self, *shape, spread):
        name = f"w{len(self.weights)}"
        values = self.random.normal(0, spread, shape).astype(np.float32)
        self.weights.append(numpy_helper.from_array(values, name))
        return name

    def node(self, op, *inputs, **attributes):
        name = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [name], **attributes))
        return name

    def conv(self, x, before, after, kernel=1, stride=1, groups=1):
        spread = math.sqrt(2 / (before // groups * kernel**2))
        weight = self.weight(after, before // groups, kernel, kernel, spread=spread)
        bias = self.weight(after, spread=0.1)
        return self.node("Conv", x, weight, bias, kernel_shape=[kernel] * 2, strides=[stride] * 2, group=groups,
                         pads=[kernel // 2] * 4)

    def head(self, x, channels):
        x = self.node("Flatten", self.node("GlobalAveragePool", x), axis=1)
        weight = self.weight(CLASSES, channels, spread=math.sqrt(1 / channels))
        return self.node("Gemm", x, weight, self.weight(CLASSES, spread=0.1), transB=1)

    def model(self, output):
        self.nodes[-1].output[0] = "logits"
        tensor = lambda name, shape: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        graph = helper.make_graph(self.nodes, "bench", [tensor("input", [1, 3, SIDE, SIDE])],
                                  [tensor("logits", [1, CLASSES])], self.weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.checker.check_model(model, full_check=True)
        return model


def mobilenet_v2():
    net = Network()
    zero, six = "zero", "six"
    net.weights += [numpy_helper.from_array(np.array(value, np.float32), name) for value, name in ((0, zero), (6, six))]
    relu6 = lambda x: net.node("Clip", x, zero, six)
    x, channels = relu6(net.conv("input", 3, 32, 3, 2)), 32
    for expand, after, count, stride in ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1),
                                         (6, 160, 3, 2), (6, 320, 1, 1)):
        for step in ([stride] + [1] * count)[:count]:
            inner = channels * expand
            y = x if expand == 1 else relu6(net.conv(x, channels, inner))
            y = relu6(net.conv(y, inner, inner, 3, step, inner))
            y = net.conv(y, inner, after)
            x = net.node("Add", x, y) if step == 1 and channels == after else y
            channels = after
    return net.model(net.head(relu6(net.conv(x, channels, 1280)), 1280))


def resnet_18():
    net = Network()
    x = net.node("Relu", net.conv("input", 3, 64, 7, 2))
    x, channels = net.node("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4), 64
    for after, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
        for step in (stride, 1):
            y = net.node("Relu", net.conv(x, channels, after, 3, step))
            y = net.conv(y, after, after, 3)
            same = x if channels == after else net.conv(x, channels, after, 1, step)
            x, channels = net.node("Relu", net.node("Add", y, same)), after
    return net.model(net.head(x, channels))


def efficientnet_lite0():
    """The committed FP16 model with its weights as FP32 initializers and no casts."""
    model = onnx.load(HERE.parent / "models" / "efficientnet-lite0" / "model.onnx")
    del model.metadata_props[:]
    for tensor in model.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT16:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float32), tensor.name))
    model, checked = onnxsim.simplify(model)
    assert checked and not any(node.op_type == "Cast" for node in model.graph.node)
    return model


def at_side(model, side):
    """The same network for images of another size."""
    other = onnx.ModelProto()
    other.CopyFrom(model)
    del other.graph.value_info[:]
    for dim in other.graph.input[0].type.tensor_type.shape.dim[2:]:
        dim.dim_value = side
    return other


def tflite(onnx_file, out):
    out.mkdir(parents=True, exist_ok=True)
    np.save(out / "calibration_image_sample_data_20x128x128x3_float32.npy",
            np.random.default_rng(1).random((20, 128, 128, 3), np.float32))
    # The converter rewrites the file that it reads.
    copy = shutil.copy(onnx_file, out / "model.onnx")
    subprocess.run([sys.executable, "-m", "onnx2tf", "-i", copy, "-o", out / "tf", "-n"], cwd=out, check=True)
    return next(iter(sorted((out / "tf").glob("*_float32.tflite"))))


def tfjs(model, target):
    """The graph as a list of calls of tfjs's fused operators, and its weights, channels last."""
    tensors = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    blob, steps, names, readers = bytearray(), [], {model.graph.input[0].name: 0}, {}
    for node in model.graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)

    def put(values):
        at = len(blob)
        blob.extend(np.ascontiguousarray(values, np.float32).tobytes())
        return {"at": at, "shape": list(values.shape)}

    for node in model.graph.node:
        if node.output[0] in names:
            continue
        attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        inputs = [names[name] for name in node.input if name in names]
        step, out = {"op": node.op_type, "inputs": inputs}, node.output[0]
        if node.op_type == "Conv":
            weight = tensors[node.input[1]]
            groups = attributes.get("group", 1)
            assert groups in (1, weight.shape[0])
            step["op"] = "Conv" if groups == 1 else "Depthwise"
            step["weight"] = put(weight.transpose(2, 3, 1, 0) if groups == 1 else weight.transpose(2, 3, 0, 1))
            step["bias"] = put(tensors[node.input[2]])
            step["strides"] = attributes["strides"]
            top, left, bottom, right = attributes.get("pads", [0] * 4)
            step["pad"] = [[0, 0], [top, bottom], [left, right], [0, 0]]
            after = readers[out]
            if len(after) == 1 and after[0].op_type in ("Relu", "Clip"):
                clip = [float(tensors[name]) for name in after[0].input[1:]] or [0.0]
                step["activation"] = {(0.0,): "relu", (0.0, 6.0): "relu6"}[tuple(clip)]
                out = after[0].output[0]
        elif node.op_type == "Gemm":
            weight = tensors[node.input[1]]
            step["weight"] = put(weight.T if attributes.get("transB") else weight)
            step["bias"] = put(tensors[node.input[2]])
        elif node.op_type == "MaxPool":
            top, left, bottom, right = attributes["pads"]
            step |= {"kernel": attributes["kernel_shape"], "strides": attributes["strides"],
                     "pad": [[0, 0], [top, bottom], [left, right], [0, 0]]}
        else:
            assert node.op_type in ("Add", "Relu", "GlobalAveragePool", "Flatten", "Reshape"), node.op_type
        names[out] = len(steps) + 1
        steps.append(step)
    (target / "tfjs.json").write_text(json.dumps(steps))
    (target / "tfjs.bin").write_bytes(blob)


def main(cache, whylens):
    for make in (efficientnet_lite0, mobilenet_v2, resnet_18):
        name = make.__name__.replace("_", "-")
        target = cache / name
        target.mkdir(parents=True, exist_ok=True)
        original = target / "original.onnx"
        if not original.exists():
            onnx.save(make(), original)
        # Again each time: what the tool stores may have changed.
        pack(target, name, whylens)
        if not (target / "model.tflite").exists():
            (target / "model.tflite").write_bytes(tflite(original, target / "convert").read_bytes())
        if not (target / "tfjs.bin").exists():
            tfjs(onnx.load(original), target)
    for side in SIDES:
        target = cache / f"efficientnet-lite0-{side}"
        target.mkdir(parents=True, exist_ok=True)
        onnx.save(at_side(onnx.load(cache / "efficientnet-lite0" / "original.onnx"), side), target / "original.onnx")
        pack(target, target.name, whylens)


main(Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve())
