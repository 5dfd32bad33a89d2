"""heads, each of some lines → NAME.onnx, input.npy and cases.json with what ONNX Runtime gives for it."""

import json
import zlib
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

HERE = Path(__file__).resolve().parent
SIDE, CHANNELS, CLASSES = 16, 8, 5


class Graph:
    """A convolution whose map `features` (8×8×8) is pooled to `pooled`, and what a head adds to it."""

    def __init__(self, name):
        self.random = np.random.default_rng(zlib.crc32(name.encode()))
        self.nodes, self.constants, self.output, self.count = [], [], "", CLASSES
        self.constant("kernel", self.random.normal(0, 0.5, (CHANNELS, 3, 3, 3)))
        self.add("Conv", "input kernel", "convolved", pads=[1, 1, 1, 1], strides=[2, 2])
        self.add("Relu", "convolved", "features")

    def constant(self, name, value, kind=np.float32):
        self.constants.append(numpy_helper.from_array(np.asarray(value, kind), name))
        return name

    def add(self, operator, inputs, output, **attributes):
        self.nodes.append(helper.make_node(operator, inputs.split(), [output], **attributes))
        self.output = output
        return output

    def pool(self, tensor):
        self.add("GlobalAveragePool", tensor, "average")
        return self.add("Flatten", "average", "pooled", axis=1)

    def dense(self, tensor, classes=CLASSES, inputs=CHANNELS, output="logits"):
        self.count = classes
        bias = np.linspace(-1, 2, classes) if classes > 1 else [1]
        weights = self.constant("dense", self.random.normal(0, 0.7, (inputs, classes)))
        return self.add("Gemm", f"{tensor} {weights} {self.constant('bias', bias)}", output)

    def model(self):
        inputs = [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, SIDE, SIDE])]
        outputs = [helper.make_tensor_value_info(self.output, TensorProto.FLOAT, [1, self.count])]
        graph = helper.make_graph(self.nodes, "head", inputs, outputs, self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.checker.check_model(model, full_check=True)
        return model


def ends_in(operator, classes=CLASSES):
    def head(graph):
        logits = graph.dense(graph.pool("features"), classes)
        if operator:
            graph.add(operator, logits, "output", **({"axis": 1} if "max" in operator else {}))
    return head


def one_by_hand(graph):
    """A softmax of single operators, which nothing recognises."""
    graph.add("Exp", graph.dense(graph.pool("features")), "powers")
    graph.add("ReduceSum", f"powers {graph.constant('axes', [1], np.int64)}", "sum")
    graph.add("Div", "powers sum", "output")


def rounded(graph):
    """Whole numbers between the map and the scores, by a cast."""
    graph.add("Mul", f"{graph.pool('features')} {graph.constant('levels', 8)}", "scaled")
    graph.add("Cast", "scaled", "whole", to=TensorProto.INT64)
    graph.add("Cast", "whole", "levelled", to=TensorProto.FLOAT)
    graph.dense("levelled")


def voted(graph):
    """Only which channel is the strongest counts."""
    graph.add("ArgMax", graph.pool("features"), "strongest", axis=1, keepdims=0)
    depth, ballot = graph.constant("depth", [CHANNELS], np.int64), graph.constant("ballot", [0, 1])
    graph.add("OneHot", f"strongest {depth} {ballot}", "votes", axis=1)
    graph.dense("votes")


def signed(graph):
    graph.add("Sub", f"{graph.pool('features')} {graph.constant('level', 0.5)}", "less")
    graph.add("Sign", "less", "signs")
    graph.dense("signs")


def flat(graph):
    """No spatial map at all: the pixels go into a matrix."""
    graph.nodes, graph.constants = [], []
    graph.add("Flatten", "input", "pixels", axis=1)
    graph.dense("pixels", inputs=3 * SIDE * SIDE)


# What a head ends in itself, and how many classes it has.
HEADS = {
    "logits": (ends_in(None), None),
    "softmax": (ends_in("Softmax"), "softmax"),
    "log-softmax": (ends_in("LogSoftmax"), "softmax"),
    "sigmoid": (ends_in("Sigmoid"), "sigmoid"),
    "softmax-by-hand": (one_by_hand, None),
    "one-logit": (ends_in(None, 1), None),
    "one-sigmoid": (ends_in("Sigmoid", 1), "sigmoid"),
    "one-softmax": (ends_in("Softmax", 1), "softmax"),
    "rounded": (rounded, None),
    "voted": (voted, None),
    "signed": (signed, None),
    "flat": (flat, None),
}


def main():
    image = np.random.default_rng(0).uniform(0, 1, (1, 3, SIDE, SIDE)).astype("<f4")
    np.save(HERE / "input.npy", image)
    cases = []
    for name, (head, ends) in HEADS.items():
        graph = Graph(name)
        head(graph)
        model = graph.model()
        onnx.save(model, HERE / f"{name}.onnx")
        session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        (output,) = session.run(None, {"input": image})
        cases.append({"name": name, "classes": graph.count, "ends": ends, "output": [float(v) for v in output.ravel()]})
    lines = ",\n".join(json.dumps(case) for case in cases)
    (HERE / "cases.json").write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    main()
