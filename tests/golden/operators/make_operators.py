"""Small graphs, one for each kind of operator, and what ONNX Runtime makes of them with its optimisations off.

    python -m venv .venv && .venv/bin/pip install -r requirements.txt && .venv/bin/python make_operators.py

Every graph takes an image x of 1x3x8x8 and gives a score for each of five classes (1x5). Writes one ONNX file a
case; values.json: the input, case -> scores, quantised case -> the case with the weights that are meant; gradients.json: what each
case is about, and its gradient by torch; names: a graph with a node of every operator of ONNX 9 to 23, to be asked which are known.
"""
import json
import pathlib
import sys

import numpy as np
import onnx
import onnx.defs
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

HERE = pathlib.Path(__file__).parent
MS = "com.microsoft"


class Graph:
    def __init__(self, name, opset=17, seed=None):
        self.name, self.opset = name, opset
        self.rng = np.random.default_rng(sum((seed or name).encode()))
        self.nodes, self.weights, self.unused = [], [], []

    def w(self, *shape, spread=0.5):
        return self.c(self.rng.normal(0, spread, shape).astype(np.float32))

    def c(self, value, kind=None):
        name = f"c{len(self.weights)}"
        value = np.asarray(value)
        if kind is None:
            tensor = numpy_helper.from_array(value, name)
        else:
            tensor = helper.make_tensor(name, kind, value.shape, value.ravel().tolist())
        self.weights.append(tensor)
        return name

    def n(self, op, *inputs, outputs=1, domain="", **attributes):
        names = [f"t{len(self.nodes)}" + ("" if outputs == 1 else f".{i}") for i in range(outputs)]
        self.nodes.append(helper.make_node(op, list(inputs), names, name=f"{op}_{len(self.nodes)}", domain=domain, **attributes))
        return names[0] if outputs == 1 else names

    def i64(self, *values):
        return self.c(np.array(values, np.int64))

    def f32(self, value):
        return self.c(np.array(value, np.float32))

    def stem(self, channels=8, stride=1, size=3):
        return self.n("Conv", "x", self.w(channels, 3, size, size), self.w(channels), pads=[size // 2] * 4, strides=[stride] * 2)

    def head(self, map, channels=8):
        flat = self.n("ReduceMean", map, axes=[2, 3], keepdims=0) if self.opset < 18 else self.n("ReduceMean", map, self.i64(2, 3), keepdims=0)
        return self.n("Gemm", flat, self.w(channels, 5), self.w(5))

    def token_head(self, tokens, channels=8):
        flat = self.n("ReduceMean", tokens, axes=[1], keepdims=0) if self.opset < 18 else self.n("ReduceMean", tokens, self.i64(1), keepdims=0)
        return self.n("Gemm", flat, self.w(channels, 5), self.w(5))

    def tokens(self, channels=8):
        map = self.stem(channels)
        return self.n("Transpose", self.n("Reshape", map, self.i64(1, channels, 64)), perm=[0, 2, 1])

    def quantise(self, t, scale, zero, kind=np.uint8, **attributes):
        return self.n("QuantizeLinear", t, self.f32(scale), self.c(np.asarray(zero, kind)), **attributes)

    def dequantise(self, t, scale, zero, kind=np.uint8, **attributes):
        return self.n("DequantizeLinear", t, self.f32(scale), self.c(np.asarray(zero, kind)), **attributes)

    def qdq(self, t, scale, zero, kind=np.uint8):
        return self.dequantise(self.quantise(t, scale, zero, kind), scale, zero, kind)

    def int8(self, *shape):
        return self.rng.integers(-127, 128, shape).astype(np.int8)

    def uint8(self, *shape):
        return self.rng.integers(0, 256, shape).astype(np.uint8)

    def save(self, scores):
        self.nodes.append(helper.make_node("Identity", [scores], ["scores"]))
        image = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 8, 8])
        out = helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 5])
        inputs = [image] + [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in self.unused]
        graph = helper.make_graph(self.nodes, self.name, inputs, [out], self.weights)
        imports = [helper.make_opsetid("", self.opset)]
        if any(node.domain == MS for node in self.nodes):
            imports.append(helper.make_opsetid(MS, 1))
        model = helper.make_model(graph, opset_imports=imports, producer_name="whylens-tests")
        model.ir_version = 10 if self.opset >= 21 else 8
        path = HERE / f"{self.name}.onnx"
        onnx.save(model, path)
        options = ort.SessionOptions()
        options.log_severity_level = 3
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        x = np.random.default_rng(1).normal(0, 1, (1, 3, 8, 8)).astype(np.float32)
        session = ort.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
        got = session.run(None, {"x": x})[0]
        assert got.shape == (1, 5) and np.isfinite(got).all(), (self.name, got)
        assert np.ptp(got) > 1e-3, (self.name, got)
        return [float(v) for v in got.ravel()]


CASES = {}


def case(make=None, opset=17):
    def add(make):
        assert make.__name__ not in CASES
        CASES[make.__name__] = (make, opset)
        return make
    return add(make) if make else add


def on_map(name, make, opset=17):
    """A case whose operator takes a map of 8 channels and gives one."""
    CASES[name] = (lambda g: g.head(make(g, g.stem())), opset)


# One number at a time.
for op, attributes in {
    "Relu": {}, "LeakyRelu": {"alpha": 0.2}, "Elu": {"alpha": 0.7}, "Selu": {}, "Celu": {"alpha": 1.5}, "Softplus": {},
    "Softsign": {}, "ThresholdedRelu": {"alpha": 0.3}, "HardSigmoid": {"alpha": 0.3, "beta": 0.4}, "HardSwish": {},
    "Sigmoid": {}, "Tanh": {}, "Erf": {}, "Abs": {}, "Neg": {}, "Exp": {}, "Sin": {}, "Cos": {}, "Atan": {}, "Sinh": {},
    "Cosh": {}, "Sign": {}, "Floor": {}, "Ceil": {}, "Round": {},
}.items():
    on_map(op.lower(), lambda g, t, op=op, attributes=attributes: g.n(op, t, **attributes), 18 if op == "HardSwish" else 17)
for op in ["Log", "Sqrt", "Reciprocal"]:
    on_map(op.lower(), lambda g, t, op=op: g.n(op, g.n("Add", g.n("Abs", t), g.f32(0.3))))
on_map("mish", lambda g, t: g.n("Mish", t), 18)
on_map("gelu", lambda g, t: g.n("Gelu", t), 20)
on_map("gelu_tanh", lambda g, t: g.n("Gelu", t, approximate="tanh"), 20)
on_map("prelu", lambda g, t: g.n("PRelu", t, g.w(8, 1, 1)))
on_map("clip", lambda g, t: g.n("Clip", t, g.f32(-0.4), g.f32(0.9)))
on_map("silu", lambda g, t: g.n("Mul", t, g.n("Sigmoid", t)))
on_map("ties", lambda g, t: g.n("Round", g.n("Mul", g.n("Round", g.n("Mul", t, g.f32(4))), g.f32(0.5))))

# Two at a time, with broadcasting.
for op in ["Add", "Sub", "Mul", "Div", "Min", "Max"]:
    on_map(op.lower(), lambda g, t, op=op: g.n(op, t, g.c(np.abs(g.rng.normal(1, 0.2, (8, 1, 1))).astype(np.float32))))
on_map("pow", lambda g, t: g.n("Pow", t, g.f32(3)))
on_map("sum", lambda g, t: g.n("Sum", t, g.w(1, 8, 8, 8), g.n("Neg", g.n("Exp", t))))
on_map("mean", lambda g, t: g.n("Mean", t, g.w(1, 8, 8, 8), g.n("Exp", t)))
on_map("mod", lambda g, t: g.n("Mod", t, g.f32(0.7), fmod=1))
on_map("where_masked", lambda g, t: g.n("Where", g.c(g.rng.random((8, 8)) < 0.4), g.f32(-2), t))
on_map("where_known", lambda g, t: g.n("Add", g.n("Where", g.c(np.zeros((8, 8), bool)), g.f32(-2), t), g.n("Where", g.c(np.ones((8, 1, 1), bool)), g.f32(0.5), t)))
on_map("where", lambda g, t: g.n("Where", g.n("Greater", t, g.f32(0.1)), t, g.n("Mul", t, g.f32(-0.3))))
on_map("compare", lambda g, t: g.n("Mul", t, g.n("Cast", g.n("And", g.n("Less", t, g.f32(0.8)), g.n("Not", g.n("LessOrEqual", t, g.f32(-0.8)))), to=1)))
on_map("is_nan", lambda g, t: g.n("Where", g.n("IsNaN", g.n("Log", t)), g.f32(-0.2), g.n("Max", t, g.f32(0))))

# Windows.
on_map("max_pool", lambda g, t: g.n("MaxPool", t, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]))
on_map("max_pool_ceil", lambda g, t: g.n("MaxPool", t, kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1))
on_map("average_pool", lambda g, t: g.n("AveragePool", t, kernel_shape=[3, 3], strides=[1, 1], pads=[1, 1, 1, 1]))
on_map("average_pool_counting_pads", lambda g, t: g.n("AveragePool", t, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1], count_include_pad=1))
on_map("average_pool_ceil", lambda g, t: g.n("AveragePool", t, kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1), 19)
on_map("global_max_pool", lambda g, t: g.n("Mul", t, g.n("GlobalMaxPool", t)))
on_map("global_average_pool", lambda g, t: g.n("Mul", t, g.n("Sigmoid", g.n("GlobalAveragePool", t))))
on_map("conv_grouped", lambda g, t: g.n("Conv", t, g.w(8, 2, 3, 3), g.w(8), group=4, pads=[1] * 4))
on_map("conv_depthwise", lambda g, t: g.n("Conv", t, g.w(8, 1, 5, 5), g.w(8), group=8, pads=[2] * 4))
on_map("conv_strided", lambda g, t: g.n("Conv", t, g.w(8, 8, 3, 3), strides=[2, 2], pads=[0, 0, 1, 1]))
on_map("conv_dilated", lambda g, t: g.n("Conv", t, g.w(8, 8, 3, 3), dilations=[2, 2], pads=[2] * 4))
on_map("conv_same_upper", lambda g, t: g.n("Conv", t, g.w(8, 8, 3, 3), strides=[2, 2], auto_pad="SAME_UPPER"))
on_map("conv_same_lower", lambda g, t: g.n("Conv", t, g.w(8, 8, 2, 2), strides=[1, 1], auto_pad="SAME_LOWER"))
on_map("conv_winograd", lambda g, t: g.n("Relu", g.n("Conv", t, g.w(8, 8, 3, 3), g.w(8), pads=[1] * 4)))
on_map("conv_transpose", lambda g, t: g.n("ConvTranspose", t, g.w(8, 8, 2, 2), strides=[2, 2]))
on_map("conv_along_one_axis", lambda g, t: g.n("Reshape", g.n("Conv", g.n("Reshape", t, g.i64(1, 8, 64)), g.w(8, 8, 3), pads=[1, 1]), g.i64(1, 8, 8, 8)))
# Several images made of one, as windows and heads make them.
on_map("conv_of_several", lambda g, t: g.n("Reshape", g.n("Conv", g.n("Reshape", t, g.i64(4, 2, 8, 8)), g.w(3, 2, 3, 3), g.w(3), strides=[2, 1], pads=[1, 0, 1, 1]), g.i64(1, 8, 6, 7)))
on_map("conv_of_several_depthwise", lambda g, t: g.n("Reshape", g.n("Conv", g.n("Reshape", t, g.i64(2, 4, 8, 8)), g.w(4, 1, 5, 5), g.w(4), group=4, dilations=[1, 2], pads=[2, 4, 2, 4]), g.i64(1, 8, 8, 8)))
on_map("conv_of_several_sparse", lambda g, t: g.n("Reshape", g.n("Conv", g.n("Reshape", t, g.i64(2, 4, 8, 8)), g.w(4, 4, 2, 1), strides=[3, 1]), g.i64(1, 8, 3, 8)))
on_map("conv_of_several_rows", lambda g, t: g.n("Transpose", g.n("Reshape", g.n("Conv", g.n("Reshape", g.n("Transpose", t, perm=[0, 2, 1, 3]), g.i64(8, 8, 8)), g.w(8, 8, 3), pads=[1, 1]), g.i64(1, 8, 8, 8)), perm=[0, 2, 1, 3]))
on_map("conv_in_rows", lambda g, t: g.n("Resize", g.n("Conv", g.n("Conv", t, g.w(8, 1, 1, 5), group=8, pads=[0, 2, 0, 2]), g.w(8, 1, 5, 1), group=8, pads=[2, 0, 2, 0]), "", g.c(np.array([1, 1, 2, 2], np.float32)), mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor"))
on_map("lrn", lambda g, t: g.n("LRN", t, size=3, alpha=0.1, beta=0.75, bias=1.0))

# Normalisation.
on_map("batch_normalization", lambda g, t: g.n("BatchNormalization", t, g.w(8), g.w(8), g.w(8), g.c(np.abs(g.rng.normal(1, 0.2, 8)).astype(np.float32)), epsilon=1e-3))
on_map("instance_normalization", lambda g, t: g.n("Exp", g.n("InstanceNormalization", t, g.w(8), g.w(8))))
on_map("group_normalization", lambda g, t: g.n("Exp", g.n("GroupNormalization", t, g.w(8), g.w(8), num_groups=2)), 21)


@case
def layer_normalization(g):
    return g.token_head(g.n("LayerNormalization", g.tokens(), g.w(8), g.w(8), axis=-1, epsilon=1e-6))


@case(opset=23)
def rms_normalization(g):
    return g.token_head(g.n("RMSNormalization", g.tokens(), g.w(8), axis=-1, epsilon=1e-6))


@case
def softmax_last(g):
    return g.token_head(g.n("Softmax", g.tokens(), axis=-1))


@case
def softmax_tokens(g):
    return g.token_head(g.n("Mul", g.tokens(), g.n("Softmax", g.tokens(), axis=1)))


@case
def log_softmax(g):
    return g.token_head(g.n("LogSoftmax", g.tokens(), axis=-1))


@case(opset=11)
def softmax_flattening(g):
    t = g.stem()
    return g.head(g.n("Mul", t, g.n("Softmax", t, axis=2)))


@case
def attention(g):
    t = g.tokens()
    q, k, v = (g.n("MatMul", t, g.w(8, 8)) for _ in range(3))
    heads = [g.n("Transpose", g.n("Reshape", p, g.i64(1, 64, 2, 4)), perm=[0, 2, 1, 3]) for p in (q, k, v)]
    scores = g.n("MatMul", g.n("Mul", heads[0], g.f32(0.5)), g.n("Transpose", heads[1], perm=[0, 1, 3, 2]))
    mixed = g.n("MatMul", g.n("Softmax", scores, axis=-1), heads[2])
    return g.token_head(g.n("Add", t, g.n("Reshape", g.n("Transpose", mixed, perm=[0, 2, 1, 3]), g.i64(1, 64, 8))))


@case
def einsum(g):
    return g.token_head(g.n("Einsum", g.tokens(), g.w(4, 8), g.w(4, 8), equation="bnc,dc,de->bne"))


@case
def matmul_of_images(g):
    t = g.stem()
    return g.head(g.n("MatMul", t, g.n("Sigmoid", t)))


@case
def gemm_transposed(g):
    flat = g.n("ReduceMean", g.stem(), axes=[2, 3], keepdims=0)
    return g.n("Gemm", flat, g.w(5, 8), g.w(5), transB=1, alpha=0.7, beta=1.3)


@case
def flatten_gemm(g):
    return g.n("Gemm", g.n("Flatten", g.n("MaxPool", g.stem(), kernel_shape=[2, 2], strides=[2, 2])), g.w(128, 5), g.w(5))


# Reductions.
for op in ["ReduceMax", "ReduceMin", "ReduceL1", "ReduceL2", "ReduceLogSumExp", "ReduceSumSquare", "ReduceProd"]:
    CASES[op.lower()] = (lambda g, op=op: g.n("Gemm", g.n(op, g.n("Add", g.n("Mul", g.n("Tanh", g.stem()), g.f32(0.2)), g.f32(1.02)), axes=[2, 3], keepdims=0), g.w(8, 5)), 17)
on_map("reduce_sum", lambda g, t: g.n("Div", t, g.n("ReduceSum", g.n("Abs", t), g.i64(1))))
on_map("arg_max_twice", lambda g, t: g.n("Mul", t, g.n("Cast", g.n("Add", *(g.n("ArgMax", g.n("Relu", t), axis=2, select_last_index=last) for last in (0, 1))), to=1)))
on_map("arg_max", lambda g, t: g.n("Mul", t, g.n("Cast", g.n("ArgMax", t, axis=1), to=1)))
on_map("cumsum", lambda g, t: g.n("CumSum", t, g.c(np.int64(3))))

# Shape.
on_map("transpose", lambda g, t: g.n("Mul", g.n("Transpose", t, perm=[0, 2, 3, 1]), g.w(8)))
on_map("split_concat", lambda g, t: g.n("Concat", *reversed(g.n("Split", t, g.i64(3, 5), axis=1, outputs=2)), axis=1))
on_map("slice", lambda g, t: g.n("Concat", g.n("Slice", t, g.i64(2), g.i64(2**63 - 1), g.i64(2)), g.n("Slice", t, g.i64(0), g.i64(2), g.i64(2)), axis=2))
on_map("slice_strided", lambda g, t: g.n("Slice", t, g.i64(1, 0), g.i64(2**63 - 1, 2**63 - 1), g.i64(2, 3), g.i64(2, 2)))
on_map("slice_backwards", lambda g, t: g.n("Mul", t, g.n("Slice", t, g.i64(-1), g.i64(-(2**63)), g.i64(3), g.i64(-1))))
on_map("gather", lambda g, t: g.n("Gather", t, g.i64(3, 1, 0, 7, 2, 2, 5, 4), axis=1))
on_map("gather_elements", lambda g, t: g.n("GatherElements", t, g.c(g.rng.integers(0, 8, (1, 8, 8, 8)).astype(np.int64)), axis=3))
on_map("pad", lambda g, t: g.n("Pad", t, g.i64(0, 0, 1, 2, 0, 0, 0, 1), g.f32(0.5)))
on_map("pad_reflect", lambda g, t: g.n("Pad", t, g.i64(0, 0, 1, 2, 0, 0, 2, 1), mode="reflect"))
on_map("pad_edge", lambda g, t: g.n("Pad", t, g.i64(0, 0, 1, 2, 0, 0, 2, 1), mode="edge"))
on_map("expand", lambda g, t: g.n("Mul", t, g.n("Expand", g.w(8, 1, 1), g.i64(1, 8, 8, 8))))
on_map("constant_of_shape", lambda g, t: g.n("Mul", g.n("Add", t, g.n("ConstantOfShape", g.i64(8, 8))), g.w(8, 1, 1)))
on_map("tile", lambda g, t: g.n("Tile", t, g.i64(1, 1, 2, 1)))
on_map("unsqueeze_squeeze", lambda g, t: g.n("Squeeze", g.n("Exp", g.n("Unsqueeze", t, g.i64(2))), g.i64(2)))
on_map("depth_to_space", lambda g, t: g.n("SpaceToDepth", g.n("Exp", g.n("DepthToSpace", t, blocksize=2, mode="CRD")), blocksize=2))
on_map("resize_nearest", lambda g, t: g.n("Resize", t, "", g.c(np.array([1, 1, 2, 2], np.float32)), mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor"))
on_map("resize_linear", lambda g, t: g.n("Resize", t, "", g.c(np.array([1, 1, 2, 2], np.float32)), mode="linear", coordinate_transformation_mode="half_pixel"))
on_map("identity_dropout_cast", lambda g, t: g.n("Cast", g.n("Dropout", g.n("Identity", t), outputs=1), to=1))
on_map("trilu", lambda g, t: g.n("Trilu", t, upper=0))
on_map("top_k", lambda g, t: g.n("TopK", t, g.i64(3), axis=3, outputs=2)[0])

# Values moved, gathered and scattered.
on_map("pad_wrap", lambda g, t: g.n("Pad", t, g.i64(0, 0, 1, 2, 0, 0, 2, 1), mode="wrap"), 19)
on_map("pad_reflect_far", lambda g, t: g.n("Pad", t, g.i64(0, 0, 7, 0, 0, 0, 6, 5), mode="reflect"))
on_map("gather_nd", lambda g, t: g.n("GatherND", t, g.c(np.array([[[0, c, y] for y in (6, 0, 3, 3)] for c in range(8)])[None])))
on_map("scatter_nd", lambda g, t: g.n("ScatterND", t, g.c(np.stack(np.meshgrid([0], range(8), range(2, 5), range(8), indexing="ij"), -1)), g.n("Exp", g.n("Slice", t, g.i64(0), g.i64(3), g.i64(2)))))
on_map("scatter_nd_here_and_there", lambda g, t: g.n("ScatterND", t, g.c(g.rng.permutation(np.stack(np.meshgrid([0], range(8), range(8), range(8), indexing="ij"), -1).reshape(-1, 4))[:150]), g.n("Reshape", g.n("Slice", g.n("Reshape", t, g.i64(512)), g.i64(0), g.i64(150), g.i64(0)), g.i64(150))))
on_map("scatter_nd_added", lambda g, t: g.n("ScatterND", t, g.c(np.array([[0, 1], [0, 4], [0, 1]])), g.n("Exp", g.n("Reshape", g.n("Slice", t, g.i64(0), g.i64(3), g.i64(1)), g.i64(3, 8, 8))), reduction="add"), 18)
on_map("scatter_elements", lambda g, t: g.n("ScatterElements", t, g.c(np.argsort(g.rng.random((1, 8, 8, 8)), -1)[..., :3].copy()), g.n("Exp", g.n("Slice", t, g.i64(0), g.i64(3), g.i64(3))), axis=3))
on_map("gather_of_many", lambda g, t: g.n("Gather", g.n("Reshape", t, g.i64(1, 8, 64)), g.c(g.rng.permutation(64).reshape(8, 8)), axis=2))
on_map("trilu_upper", lambda g, t: g.n("Trilu", t, g.c(np.int64(1)), upper=1))
on_map("depth_to_space_dcr", lambda g, t: g.n("Conv", g.n("DepthToSpace", t, blocksize=2), g.w(8, 2, 1, 1)))
on_map("reverse_sequence", lambda g, t: g.n("Reshape", g.n("ReverseSequence", g.n("Reshape", t, g.i64(8, 1, 64)), g.i64(5), batch_axis=1, time_axis=0), g.i64(1, 8, 8, 8)))
on_map("cumsum_backwards", lambda g, t: g.n("CumSum", t, g.c(np.int64(2)), exclusive=1, reverse=1))

# Resized.
for name, opset, attributes, scales in [
    ("nearest_default", 13, {}, (2, 2)), ("nearest_thrice", 13, {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}, (3, 2)),
    ("nearest_half_pixel", 13, {"nearest_mode": "floor"}, (0.5, 1.5)), ("linear_corners", 13, {"mode": "linear", "coordinate_transformation_mode": "align_corners"}, (2, 1.5)),
    ("linear_smaller", 13, {"mode": "linear", "coordinate_transformation_mode": "pytorch_half_pixel"}, (0.5, 0.75)), ("cubic", 13, {"mode": "cubic"}, (2, 2)),
    ("cubic_of_pillow", 18, {"mode": "cubic", "cubic_coeff_a": -0.5, "exclude_outside": 1}, (2, 2)), ("antialias", 18, {"mode": "linear", "antialias": 1}, (0.5, 0.5)),
]:
    on_map(f"resize_{name}", lambda g, t, a=attributes, s=scales: g.n("Resize", t, "", g.c(np.array([1, 1, *s], np.float32)), **a), opset)
on_map("resize_to_sizes", lambda g, t: g.n("Resize", t, "", "", g.i64(1, 8, 13, 5), mode="linear"))
on_map("resize_axes", lambda g, t: g.n("Resize", t, "", "", g.i64(12, 12), mode="linear", axes=[2, 3]), 18)
on_map("resize_10", lambda g, t: g.n("Resize", t, g.c(np.array([1, 1, 2, 2], np.float32)), mode="nearest"), 10)
on_map("resize_11", lambda g, t: g.n("Resize", t, g.c(np.zeros(0, np.float32)), g.c(np.array([1, 1, 2, 2], np.float32)), mode="linear"), 11)
on_map("upsample_9", lambda g, t: g.n("Upsample", t, g.c(np.array([1, 1, 2, 2], np.float32)), mode="nearest"), 9)
on_map("upsample_9_linear", lambda g, t: g.n("Upsample", t, g.c(np.array([1, 1, 2, 2], np.float32)), mode="linear"), 9)
on_map("grid_sample", lambda g, t: g.n("GridSample", t, g.c(g.rng.uniform(-1, 1, (1, 8, 8, 2)).astype(np.float32))), 16)

# More windows.
on_map("conv_transpose_overlapping", lambda g, t: g.n("ConvTranspose", t, g.w(8, 6, 3, 3), g.w(6), strides=[2, 2], pads=[1] * 4, output_padding=[1, 1]) and g.n("Conv", f"t{len(g.nodes) - 1}", g.w(8, 6, 1, 1)))
on_map("conv_transpose_grouped", lambda g, t: g.n("ConvTranspose", t, g.w(8, 2, 2, 3), g.w(8), group=4, strides=[1, 2], dilations=[2, 1]))
on_map("conv_transpose_depthwise", lambda g, t: g.n("ConvTranspose", t, g.w(8, 1, 4, 4), group=8, strides=[2, 2], pads=[1] * 4))
on_map("conv_transpose_along_one_axis", lambda g, t: g.n("Reshape", g.n("ConvTranspose", g.n("Reshape", t, g.i64(1, 8, 64)), g.w(8, 8, 2), strides=[2]), g.i64(1, 8, 8, 16)))
on_map("col2im", lambda g, t: g.n("Col2Im", g.n("Reshape", g.n("Conv", t, g.w(72, 8, 1, 1)), g.i64(1, 72, 64)), g.i64(8, 8), g.i64(3, 3), pads=[1] * 4, strides=[1, 1]), 18)
on_map("col2im_side_by_side", lambda g, t: g.n("Col2Im", g.n("Reshape", g.n("Conv", t, g.w(32, 8, 1, 1)), g.i64(1, 32, 64)), g.i64(16, 16), g.i64(2, 2), strides=[2, 2]), 18)
on_map("split_of_conv", lambda g, t: g.n("Concat", *reversed(g.n("Split", g.n("HardSwish", g.n("Conv", t, g.w(12, 8, 1, 1), g.w(12))), g.i64(4, 8), axis=1, outputs=2)), axis=1) and g.n("Conv", f"t{len(g.nodes) - 1}", g.w(8, 12, 1, 1)))
on_map("conv_of_slices", lambda g, t: g.n("Conv", g.n("Reshape", g.n("Conv", g.n("Reshape", t, g.i64(1, 1, 8, 8, 8)), g.w(2, 1, 3, 5, 1), g.w(2), pads=[1, 2, 0, 1, 2, 0]), g.i64(1, 16, 8, 8)), g.w(8, 16, 1, 1)))
on_map("conv_of_concat", lambda g, t: g.n("Conv", g.n("Concat", *(g.n("Mul", g.n(op, t), g.w(1, 8, 1, 1)) for op in ("Relu", "Neg", "Tanh", "Sigmoid", "Abs", "Elu")), axis=1), g.w(8, 48, 1, 1)))
on_map("max_pool_along_one_axis", lambda g, t: g.n("Reshape", g.n("MaxPool", g.n("Reshape", t, g.i64(1, 8, 64)), kernel_shape=[2], strides=[2]), g.i64(1, 8, 8, 4)))
on_map("average_pool_along_one_axis", lambda g, t: g.n("Reshape", g.n("AveragePool", g.n("Reshape", t, g.i64(1, 8, 64)), kernel_shape=[3], pads=[1, 1], strides=[1]), g.i64(1, 8, 8, 8)))
on_map("average_pool_same", lambda g, t: g.n("AveragePool", t, kernel_shape=[3, 3], strides=[2, 2], auto_pad="SAME_UPPER"))
on_map("average_pool_of_all", lambda g, t: g.n("Mul", t, g.n("AveragePool", t, kernel_shape=[64, 64], strides=[64, 64], ceil_mode=1)), 19)
on_map("average_pool_ceil_counting_pads", lambda g, t: g.n("AveragePool", t, kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4, ceil_mode=1, count_include_pad=1), 19)
on_map("average_pool_dilated", lambda g, t: g.n("AveragePool", t, kernel_shape=[2, 2], strides=[1, 1], dilations=[2, 2]), 19)
on_map("max_pool_dilated", lambda g, t: g.n("MaxPool", t, kernel_shape=[2, 2], strides=[1, 1], dilations=[2, 2]))
on_map("max_pool_of_several", lambda g, t: g.n("Reshape", g.n("MaxPool", g.n("Reshape", t, g.i64(4, 2, 8, 8)), kernel_shape=[3, 2], strides=[2, 2], pads=[1, 0, 0, 0]), g.i64(1, 8, 4, 4)))
on_map("max_pool_indices", lambda g, t: g.n("Mul", *(lambda y, i: (y, g.n("Cast", g.n("Greater", i, g.c(np.int64(9))), to=1)))(*g.n("MaxPool", t, kernel_shape=[2, 2], strides=[2, 2], outputs=2))))
on_map("lp_pool", lambda g, t: g.n("LpPool", t, kernel_shape=[2, 2], strides=[2, 2], p=2), 18)
on_map("global_lp_pool", lambda g, t: g.n("Mul", t, g.n("GlobalLpPool", t, p=2)))
on_map("lrn_of_many", lambda g, t: g.n("Mul", t, g.n("LRN", t, size=7, alpha=0.5, beta=0.5, bias=2.0)))


@case
def matmul_of_concat(g):
    t = g.tokens()
    beside = g.n("Concat", *(g.n(op, t) for op in ("Relu", "Neg", "Tanh", "Sigmoid", "Abs", "Elu")), axis=2)
    return g.token_head(g.n("MatMul", beside, g.w(48, 8)))


on_map("gather_nd_of_rows", lambda g, t: g.n("Transpose", g.n("Reshape", g.n("GatherND", g.n("Reshape", g.n("Transpose", t, perm=[0, 2, 3, 1]), g.i64(8, 8, 8)), g.c(g.rng.integers(0, 8, (33, 33, 2)))), g.i64(1, 33, 33, 8)), perm=[0, 3, 1, 2]))


# More normalisation: by the statistics of what is given.
@case
def batch_normalization_by_computed(g):
    t = g.stem()
    mean = g.n("ReduceMean", t, axes=[0, 2, 3], keepdims=0)
    spread = g.n("Add", g.n("ReduceMean", g.n("Mul", t, t), axes=[0, 2, 3], keepdims=0), g.f32(0.5))
    return g.head(g.n("Relu", g.n("BatchNormalization", t, g.w(8), g.w(8), mean, spread, epsilon=0.01)))


@case
def batch_normalization_of_weights(g):
    ones = np.ones(8, np.float32)
    t = g.n("Conv", "x", g.w(3, 3, 1, 1))
    flat = g.n("Reshape", g.w(8, 3, 3, 3), g.i64(1, 8, 27))
    kernel = g.n("BatchNormalization", flat, g.w(8), g.w(8), g.c(0 * ones), g.c(ones), outputs=3, training_mode=1, epsilon=1e-6)[0]
    kernel = g.n("Reshape", kernel, g.i64(8, 3, 3, 3))
    return g.head(g.n("Relu", g.n("Conv", t, kernel, pads=[1] * 4)))


on_map("batch_normalization_of_values", lambda g, t: g.n("Exp", g.n("BatchNormalization", t, g.w(8), g.w(8), g.w(8), g.c(np.ones(8, np.float32)), outputs=3, training_mode=1)[0]), 15)
on_map("mean_variance_normalization", lambda g, t: g.n("Exp", g.n("MeanVarianceNormalization", t, axes=[0, 2, 3])))
on_map("lp_normalization", lambda g, t: g.n("LpNormalization", t, axis=1, p=2))
on_map("group_normalization_18", lambda g, t: g.n("Exp", g.n("GroupNormalization", t, g.w(2), g.w(2), num_groups=2)), 18)
on_map("hardmax", lambda g, t: g.n("Mul", t, g.n("Hardmax", t, axis=1)))


# Loops.
def recurrent(op, gates, direction="forward", both=1, initial=False, **attributes):
    def make(g):
        steps = g.n("Transpose", g.n("Reshape", g.n("Conv", "x", g.w(6, 3, 3, 3), pads=[1] * 4, strides=[2, 2]), g.i64(1, 6, 16)), perm=[2, 0, 1])
        inputs = [steps, g.w(both, gates * 4, 6), g.w(both, gates * 4, 4), g.w(both, 2 * gates * 4)]
        if initial:
            inputs += ["", g.w(both, 1, 4)] + ([g.w(both, 1, 4)] if op == "LSTM" else [])
        y = g.n(op, *inputs, outputs=3 if op == "LSTM" else 2, hidden_size=4, direction=direction, **attributes)
        last = g.n("Reshape", y[1], g.i64(1, both * 4))
        all = g.n("ReduceMean", g.n("Reshape", y[0], g.i64(16, both * 4)), axes=[0], keepdims=1)
        return g.n("Gemm", g.n("Concat", last, all, axis=1), g.w(both * 8, 5), g.w(5))
    return make


CASES["lstm"] = (recurrent("LSTM", 4), 14)
CASES["lstm_both_ways"] = (recurrent("LSTM", 4, "bidirectional", 2, initial=True), 14)
CASES["gru"] = (recurrent("GRU", 3), 14)
CASES["gru_backwards"] = (recurrent("GRU", 3, "reverse"), 14)
CASES["gru_linear"] = (recurrent("GRU", 3, linear_before_reset=1), 14)
CASES["rnn"] = (recurrent("RNN", 1), 14)

# More numbers.
for op in ["Tan", "Asin", "Acos", "Atanh", "Asinh"]:
    on_map(op.lower(), lambda g, t, op=op: g.n(op, g.n("Mul", g.n("Tanh", t), g.f32(0.8))))
on_map("acosh", lambda g, t: g.n("Acosh", g.n("Add", g.n("Abs", t), g.f32(1.5))))
on_map("shrink", lambda g, t: g.n("Shrink", t, lambd=0.3, bias=0.1))
on_map("is_inf", lambda g, t: g.n("Where", g.n("IsInf", g.n("Log", g.n("Relu", t))), g.f32(-0.2), t))
on_map("logic", lambda g, t: g.n("Mul", t, g.n("Cast", g.n("Xor", g.n("Greater", t, g.f32(0.4)), g.n("Or", g.n("GreaterOrEqual", t, g.f32(0.9)), g.n("Equal", t, g.f32(0)))), to=1)))
on_map("pow_of_values", lambda g, t: g.n("Pow", g.n("Add", g.n("Abs", t), g.f32(0.5)), g.n("Sigmoid", t)))
on_map("div_of_number", lambda g, t: g.n("Div", g.f32(1), g.n("Add", g.n("Abs", t), g.f32(0.5))))
on_map("cast_like", lambda g, t: g.n("Mul", t, g.n("CastLike", g.n("Greater", t, g.f32(0.1)), t)))
on_map("one_hot", lambda g, t: g.n("Mul", t, g.n("OneHot", g.n("ArgMax", t, axis=1, keepdims=0), g.i64(8), g.c(np.array([0.2, 1.5], np.float32)), axis=1)))
on_map("arg_min", lambda g, t: g.n("Mul", t, g.n("Cast", g.n("ArgMin", t, axis=1), to=1)))
on_map("lengths", lambda g, t: g.n("Add", t, g.n("Reshape", g.n("Cast", g.n("Range", g.c(np.int64(0)), g.n("Size", g.n("Shape", t)), g.c(np.int64(1))), to=1), g.i64(1, 1, 1, 4)) and g.n("Cast", g.n("Size", t), to=1)))
on_map("eye_like", lambda g, t: g.n("MatMul", t, g.n("Mul", g.n("EyeLike", g.w(8, 8)), g.f32(0.7))))
on_map("reduce_log_sum", lambda g, t: g.n("Mul", t, g.n("ReduceLogSum", g.n("Add", g.n("Abs", t), g.f32(0.1)), axes=[1])))
on_map("reduce_mean", lambda g, t: g.n("Mul", t, g.n("ReduceMean", t, axes=[1])))
on_map("einsum_of_values", lambda g, t: g.n("Einsum", t, g.n("Sigmoid", t), equation="bchw,bcwv->bchv"))
on_map("constant", lambda g, t: g.n("Mul", t, g.n("Constant", value_float=0.7)))
on_map("if", lambda g, t: g.n("If", g.c(np.array(True)), then_branch=helper.make_graph([helper.make_node("Exp", [t], ["then"])], "then", [], [helper.make_tensor_value_info("then", 1, None)]), else_branch=helper.make_graph([helper.make_node("Neg", [t], ["else"])], "else", [], [helper.make_tensor_value_info("else", 1, None)])))


@case(opset=23)
def attention_23(g):
    t = g.tokens()
    q, k, v = (g.n("MatMul", t, g.w(8, 8)) for _ in range(3))
    return g.token_head(g.n("Attention", q, k, v, q_num_heads=2, kv_num_heads=2))


@case(opset=23)
def rotary_embedding(g):
    t = g.n("Transpose", g.n("Reshape", g.tokens(), g.i64(1, 64, 2, 4)), perm=[0, 2, 1, 3])
    angles = np.outer(np.arange(64), [1.0, 0.1]).astype(np.float32)[None]
    y = g.n("RotaryEmbedding", t, g.c(np.cos(angles)), g.c(np.sin(angles)))
    return g.token_head(g.n("Reshape", g.n("Transpose", g.n("Exp", y), perm=[0, 2, 1, 3]), g.i64(1, 64, 8)))


# As older opsets write them.
on_map("clip_9", lambda g, t: g.n("Clip", t, min=-0.4, max=0.9), 9)
on_map("pad_9", lambda g, t: g.n("Pad", t, pads=[0, 0, 1, 2, 0, 0, 0, 1], value=0.5), 9)
on_map("pad_edge_9", lambda g, t: g.n("Pad", t, pads=[0, 0, 1, 2, 0, 0, 0, 1], mode="edge"), 9)
on_map("slice_9", lambda g, t: g.n("Slice", t, starts=[1, 2], ends=[7, 1000], axes=[2, 3]), 9)
on_map("split_11", lambda g, t: g.n("Concat", *reversed(g.n("Split", t, axis=1, split=[3, 5], outputs=2)), axis=1), 11)
on_map("split_18", lambda g, t: g.n("Concat", *reversed(g.n("Split", t, axis=1, num_outputs=3, outputs=3)), axis=1), 18)
on_map("squeeze_11", lambda g, t: g.n("Squeeze", g.n("Exp", g.n("Unsqueeze", t, axes=[2])), axes=[2]), 11)
on_map("reduce_sum_11", lambda g, t: g.n("Div", t, g.n("ReduceSum", g.n("Abs", t), axes=[1])), 11)
on_map("reduce_max_18", lambda g, t: g.n("Sub", t, g.n("ReduceMax", t, g.i64(1))), 18)
on_map("dropout_10", lambda g, t: g.n("Dropout", t, ratio=0.5), 10)
on_map("top_k_10", lambda g, t: g.n("TopK", t, g.i64(3), axis=3, outputs=2)[0], 10)
on_map("log_softmax_11", lambda g, t: g.n("LogSoftmax", t, axis=2), 11)
on_map("batch_normalization_9", lambda g, t: g.n("BatchNormalization", t, g.w(8), g.w(8), g.w(8), g.c(np.abs(g.rng.normal(1, 0.2, 8)).astype(np.float32))), 9)
on_map("equal_parts_23", lambda g, t: g.n("Concat", *reversed(g.n("Split", g.n("Flatten", t, axis=2), axis=1, num_outputs=2, outputs=2)), axis=1) and g.n("Reshape", f"t{len(g.nodes) - 1}", g.i64(1, 8, 8, 8)), 23)


@case
def space_to_tokens_and_back(g):
    t = g.tokens()
    return g.head(g.n("Relu", g.n("Reshape", g.n("Transpose", g.n("MatMul", t, g.w(8, 8)), perm=[0, 2, 1]), g.i64(1, 8, 8, 8))))


@case
def unused_initialiser_that_is_an_input(g):
    g.unused.append(g.c(np.zeros(1, np.float32)))
    return g.head(g.stem())


@case
def roll(g):
    t = g.stem()
    rolled = g.n("Concat", g.n("Slice", t, g.i64(3), g.i64(8), g.i64(2)), g.n("Slice", t, g.i64(0), g.i64(3), g.i64(2)), axis=2)
    return g.head(g.n("Add", t, g.n("Conv", rolled, g.w(8, 8, 1, 1))))


# Quantised: in and out. Means of an even number would be ties, which the last bit of a sum decides.
for kind, zero in [(np.uint8, 100), (np.int8, -20), (np.uint16, 30000), (np.int16, 5)]:
    on_map(f"qdq_{np.dtype(kind).name}", lambda g, t, kind=kind, zero=zero: g.qdq(t, 0.03 if np.dtype(kind).itemsize == 1 else 0.0003, zero, kind), 21)
for op, attributes in {"Softmax": {"axis": -1}, "Relu": {}, "Sigmoid": {}, "Erf": {}, "Sqrt": {}, "Transpose": {"perm": [0, 1, 3, 2]}, "MaxPool": {"kernel_shape": [2, 2]}, "AveragePool": {"kernel_shape": [3, 3]}, "LayerNormalization": {}}.items():
    def make(g, t, op=op, attributes=attributes):
        t = g.qdq(g.n("Abs", t) if op == "Sqrt" else t, 0.04, 3, np.int8)
        t = g.n(op, t, g.w(8), g.w(8)) if op == "LayerNormalization" else g.n(op, t, **attributes)
        return g.qdq(t, 1 / 255 if op == "Softmax" else 0.02, -128 if op in ("Softmax", "Relu", "Sigmoid", "Sqrt") else 0, np.int8)
    on_map(f"qdq_{op.lower()}", make)
on_map("qdq_ties", lambda g, t: g.qdq(g.n("AveragePool", g.qdq(t, 0.1, 128), kernel_shape=[1, 2]), 0.1, 127))
on_map("qdq_reduce", lambda g, t: g.n("Mul", t, g.qdq(g.n("ReduceMean", g.qdq(t, 0.03, 128), axes=[2, 3]), 0.01, 128)))
on_map("qdq_add", lambda g, t: g.qdq(g.n("Add", g.qdq(t, 0.03, 128), g.qdq(g.n("Relu", t), 0.02, 0)), 0.05, 120))
on_map("qdq_concat", lambda g, t: g.n("Conv", g.qdq(g.n("Concat", g.qdq(t, 0.03, 128), g.qdq(g.n("Relu", t), 0.02, 0), axis=1), 0.04, 120), g.w(8, 16, 1, 1)))
on_map("quantised_max_pool", lambda g, t: g.dequantise(g.n("MaxPool", g.quantise(t, 0.03, 120), kernel_shape=[2, 2]), 0.03, 120))
on_map("quantised_reshape", lambda g, t: g.dequantise(g.n("Reshape", g.n("Transpose", g.n("Reshape", g.quantise(t, 0.03, 120), g.i64(1, 2, 4, 8, 8)), perm=[0, 2, 1, 3, 4]), g.i64(1, 8, 8, 8)), 0.03, 120))
on_map("quantised_per_channel", lambda g, t: g.dequantise(g.quantise(t, np.linspace(0.02, 0.06, 8), np.arange(8) * 9 + 90, axis=1), np.linspace(0.02, 0.06, 8), np.arange(8) * 9 + 90, axis=1))
on_map("quantised_without_zero_point", lambda g, t: g.n("DequantizeLinear", g.n("QuantizeLinear", g.n("Relu", t), g.f32(0.02)), g.f32(0.02)))


def qdq_weights(g, t, kind, per_channel, low, high, zero):
    scale = np.abs(g.rng.normal(0.01, 0.003, 8 if per_channel else ())).astype(np.float32)
    w = g.c(g.rng.integers(low, high, (8, 8, 3, 3)).astype(kind))
    zeros = g.c(np.full(scale.shape, zero, kind))
    return g.n("Conv", t, g.n("DequantizeLinear", w, g.c(scale), zeros, axis=0), pads=[1] * 4)


on_map("weights_int8", lambda g, t: qdq_weights(g, t, np.int8, False, -127, 128, 0))
on_map("weights_int8_per_channel", lambda g, t: qdq_weights(g, t, np.int8, True, -127, 128, 0))
on_map("weights_uint8_per_channel", lambda g, t: qdq_weights(g, t, np.uint8, True, 0, 256, 128))
on_map("weights_with_bias", lambda g, t: g.n("Conv", g.qdq(t, 0.03, 128), g.n("DequantizeLinear", g.c(g.int8(8, 8, 1, 1)), g.f32(0.01), g.c(np.int8(0))), g.n("DequantizeLinear", g.c(g.rng.integers(-4000, 4000, 8).astype(np.int32)), g.f32(0.0003), g.c(np.int32(0)))))


@case(opset=21)
def weights_int4(g):
    t = g.tokens()
    w = g.c(g.rng.integers(-8, 8, (8, 9)), TensorProto.INT4)
    w = g.n("DequantizeLinear", w, g.c(np.abs(g.rng.normal(0.1, 0.02, 9)).astype(np.float32)), axis=1)
    w = g.n("Slice", w, g.i64(0), g.i64(8), g.i64(1))
    return g.token_head(g.n("MatMul", t, w))


@case(opset=21)
def weights_uint4_in_blocks(g):
    w = g.c(g.rng.integers(0, 16, (8, 8)), TensorProto.UINT4)
    scale = g.c(np.abs(g.rng.normal(0.1, 0.02, (2, 8))).astype(np.float32))
    zero = g.c(g.rng.integers(0, 16, (2, 8)), TensorProto.UINT4)
    return g.token_head(g.n("MatMul", g.tokens(), g.n("DequantizeLinear", w, scale, zero, axis=0, block_size=4)))


# Quantised at run time.
def dynamic(g, t):
    return g.n("DynamicQuantizeLinear", t, outputs=3)


@case
def dynamic_matmul(g, plain=False):
    t, weights = g.tokens(), g.int8(8, 8)
    if plain:
        scaled = g.n("MatMul", t, g.c((weights.astype(np.float32) - 3) * np.float32(0.01)))
    else:
        y, scale, zero = dynamic(g, t)
        product = g.n("MatMulInteger", y, g.c(weights), zero, g.c(np.int8(3)))
        scaled = g.n("Mul", g.n("Cast", product, to=1), g.n("Mul", scale, g.f32(0.01)))
    return g.token_head(g.n("Add", scaled, g.w(8)))


@case
def dynamic_matmul_per_column(g):
    y, scale, zero = dynamic(g, g.tokens())
    product = g.n("MatMulInteger", y, g.c(g.uint8(8, 8)), zero, g.c(g.uint8(8)))
    steps = g.c(np.abs(g.rng.normal(0.01, 0.003, 8)).astype(np.float32))
    return g.token_head(g.n("Mul", g.n("Cast", product, to=1), g.n("Mul", scale, steps)))


@case
def dynamic_conv(g):
    y, scale, zero = dynamic(g, g.stem())
    product = g.n("ConvInteger", y, g.c(g.uint8(8, 8, 3, 3)), zero, g.c(np.uint8(128)), pads=[1] * 4)
    scaled = g.n("Mul", g.n("Cast", product, to=1), g.n("Mul", scale, g.f32(0.01)))
    return g.head(g.n("Relu", g.n("Add", scaled, g.w(8, 1, 1))))


@case
def dynamic_nothing(g):
    """All zero: the step is 1."""
    y, scale, zero = dynamic(g, g.n("Mul", g.stem(), g.f32(0)))
    product = g.n("ConvInteger", y, g.c(g.uint8(8, 8, 1, 1)), zero, g.c(np.uint8(128)))
    return g.head(g.n("Add", g.n("Mul", g.n("Cast", product, to=1), scale), g.w(8, 1, 1)))


@case
def integer_matmul_without_zero_points(g):
    y = g.quantise(g.n("Relu", g.tokens()), 0.02, 0)
    product = g.n("MatMulInteger", y, g.c(g.int8(8, 8)))
    return g.token_head(g.n("Mul", g.n("Cast", product, to=1), g.f32(0.0002)))


@case
def dynamic_quantize_matmul(g):
    scale = g.c(np.abs(g.rng.normal(0.01, 0.003, 8)).astype(np.float32))
    return g.token_head(g.n("DynamicQuantizeMatMul", g.tokens(), g.c(g.int8(8, 8)), scale, g.c(g.int8(8)), g.w(8), domain=MS))


@case
def matmul_integer_to_float(g):
    y, scale, zero = dynamic(g, g.tokens())
    return g.token_head(g.n("MatMulIntegerToFloat", y, g.c(g.int8(8, 8)), scale, g.f32(0.01), zero, g.c(np.int8(-7)), g.w(8), domain=MS))


# Quantised from end to end.
def qconv(g, t, scale=0.03, zero=128, out=(0.05, 110), kind=np.uint8, per_channel=False, bias=True, **attributes):
    wscale = np.abs(g.rng.normal(0.004, 0.001, 8 if per_channel else ())).astype(np.float32)
    wzero = g.c(np.zeros(wscale.shape, np.int8))
    inputs = [t, g.f32(scale), g.c(kind(zero)), g.c(g.int8(*attributes.pop("shape", (8, 8, 3, 3)))), g.c(wscale), wzero, g.f32(out[0]), g.c(kind(out[1]))]
    if bias:
        inputs.append(g.c(g.rng.integers(-3000, 3000, 8).astype(np.int32)))
    return g.n("QLinearConv", *inputs, pads=[1] * 4, **attributes)


on_map("qlinear_conv", lambda g, t: g.dequantise(qconv(g, g.quantise(t, 0.03, 128)), 0.05, 110))
on_map("qlinear_conv_per_channel", lambda g, t: g.dequantise(qconv(g, g.quantise(t, 0.03, 128), per_channel=True), 0.05, 110))
on_map("qlinear_conv_int8", lambda g, t: g.dequantise(qconv(g, g.quantise(t, 0.03, -3, np.int8), 0.03, -3, (0.05, 4), np.int8, bias=False), 0.05, 4, np.int8))
on_map("qlinear_conv_depthwise", lambda g, t: g.dequantise(qconv(g, g.quantise(t, 0.03, 128), shape=(8, 1, 3, 3), group=8), 0.05, 110))
on_map("qlinear_convs", lambda g, t: g.dequantise(qconv(g, g.n("MaxPool", qconv(g, g.quantise(t, 0.03, 128)), kernel_shape=[2, 2]), 0.05, 110, (0.06, 100)), 0.06, 100))


@case
def qlinear_matmul(g, per_column=False):
    y = g.quantise(g.tokens(), 0.03, 128)
    step, zero = (np.abs(g.rng.normal(0.01, 0.003, 8)).astype(np.float32), np.full(8, 120, np.uint8)) if per_column else (np.float32(0.01), np.uint8(120))
    product = g.n("QLinearMatMul", y, g.f32(0.03), g.c(np.uint8(128)), g.c(g.uint8(8, 8)), g.c(step), g.c(zero), g.f32(0.05), g.c(np.uint8(130)))
    return g.token_head(g.dequantise(product, 0.05, 130))


def qlinear(op, *scales, **attributes):
    def make(g, t):
        y = g.quantise(t, 0.03, 128)
        if op in ("QLinearAdd", "QLinearMul"):
            other = g.quantise(g.n("Relu", t), 0.02, 0)
            return g.dequantise(g.n(op, y, g.f32(0.03), g.c(np.uint8(128)), other, g.f32(0.02), g.c(np.uint8(0)), g.f32(0.05), g.c(np.uint8(100)), domain=MS), 0.05, 100)
        if op == "QLinearConcat":
            other = g.quantise(g.n("Relu", t), 0.02, 0)
            both = g.n(op, g.f32(0.05), g.c(np.uint8(100)), y, g.f32(0.03), g.c(np.uint8(128)), other, g.f32(0.02), g.c(np.uint8(0)), domain=MS, axis=1)
            return g.n("Conv", g.dequantise(both, 0.05, 100), g.w(8, 16, 1, 1))
        out = {"QLinearSigmoid": (0.004, 0), "QLinearSoftmax": (1 / 255, 0), "QLinearAveragePool": (0.03, 100)}.get(op, (0.02, 100))
        done = g.dequantise(g.n(op, y, g.f32(0.03), g.c(np.uint8(128)), g.f32(out[0]), g.c(np.uint8(out[1])), domain=MS, **attributes), *out)
        return g.n("Mul", t, done) if op == "QLinearGlobalAveragePool" else done
    return make


for op, attributes in {"QLinearAdd": {}, "QLinearMul": {}, "QLinearConcat": {}, "QLinearSigmoid": {}, "QLinearLeakyRelu": {"alpha": 0.1}, "QLinearGlobalAveragePool": {}, "QLinearAveragePool": {"kernel_shape": [3, 3]}, "QLinearSoftmax": {"axis": -1, "opset": 17}}.items():
    on_map(op.lower(), qlinear(op, **attributes))


@case
def qgemm(g):
    flat = g.quantise(g.n("ReduceMean", g.stem(), axes=[2, 3], keepdims=0), 0.01, 128)
    bias = g.c(g.rng.integers(-3000, 3000, 5).astype(np.int32))
    done = g.n("QGemm", flat, g.f32(0.01), g.c(np.uint8(128)), g.c(g.int8(5, 8)), g.f32(0.01), g.c(np.int8(0)), bias, g.f32(0.02), g.c(np.uint8(110)), domain=MS, transB=1)
    return g.dequantise(done, 0.02, 110)


# Sums half-way between two numbers, where ONNX Runtime's kernels for x86 say which one is taken.
def qlinear_ties(g, t):
    """As a quantised GELU: half of x (erf x + 1)."""
    one, two = [g.c(np.uint8(v)) for v in (1, 255)]
    y = g.quantise(g.n("Erf", t), 2 / 255, 127)
    y = g.n("QLinearAdd", y, g.f32(2 / 255), g.c(np.uint8(127)), two, g.f32(1 / 255), g.c(np.uint8(0)), g.f32(2 / 255), g.c(np.uint8(0)), domain=MS)
    x = g.quantise(t, 0.02, 127)
    half = g.n("QLinearMul", x, g.f32(0.02), g.c(np.uint8(127)), one, g.f32(0.5), g.c(np.uint8(0)), g.f32(0.02), g.c(np.uint8(101)), domain=MS)
    y = g.n("QLinearMul", half, g.f32(0.02), g.c(np.uint8(101)), y, g.f32(2 / 255), g.c(np.uint8(0)), g.f32(0.02), g.c(np.uint8(33)), domain=MS)
    y = g.n("QLinearAdd", y, g.f32(0.02), g.c(np.uint8(33)), x, g.f32(0.02), g.c(np.uint8(127)), g.f32(0.04), g.c(np.uint8(99)), domain=MS)
    return g.dequantise(y, 0.04, 99)


on_map("qlinear_ties", qlinear_ties)


def qlinear_conv_ties(g, t):
    """Half of every sum, but 0.1 · 0.1 / 0.02 is not quite a half."""
    weights = g.c(g.rng.integers(-3, 4, (8, 8, 3, 3)).astype(np.int8))
    inputs = [g.quantise(t, 0.1, 128), g.f32(0.1), g.c(np.uint8(128)), weights, g.f32(0.1), g.c(np.int8(0)), g.f32(0.02), g.c(np.uint8(127))]
    return g.dequantise(g.n("QLinearConv", *inputs, pads=[1] * 4), 0.02, 127)


on_map("qlinear_conv_ties", qlinear_conv_ties)
CASES["qlinear_matmul_per_column"] = (lambda g: qlinear_matmul(g, per_column=True), 17)


@case
def qgemm_of_floats(g):
    """Without the step of an output, the output is not quantised."""
    flat = g.quantise(g.n("ReduceMean", g.stem(), axes=[2, 3], keepdims=0), 0.01, 128)
    scale = np.abs(g.rng.normal(0.01, 0.003, 5)).astype(np.float32)
    bias = g.c(g.rng.integers(-3000, 3000, 5).astype(np.int32))
    return g.n("QGemm", flat, g.f32(0.01), g.c(np.uint8(128)), g.c(g.int8(8, 5)), g.c(scale), g.c(np.zeros(5, np.int8)), bias, domain=MS, alpha=0.5)


# Joined by ONNX Runtime's optimiser.
for activation, params in {"Relu": [], "Sigmoid": [], "Tanh": [], "LeakyRelu": [0.2], "HardSigmoid": [0.3, 0.4], "Clip": [-0.5, 1.5]}.items():
    on_map(f"fused_conv_{activation.lower()}", lambda g, t, activation=activation, params=params: g.n("FusedConv", t, g.w(8, 8, 3, 3), g.w(8), domain=MS, pads=[1] * 4, activation=activation, **({"activation_params": params} if params else {})))
on_map("fused_conv_sum", lambda g, t: g.n("FusedConv", t, g.w(8, 8, 3, 3), g.w(8), t, domain=MS, pads=[1] * 4, activation="Relu"))


@case
def fused_gemm(g):
    flat = g.n("ReduceMean", g.stem(), axes=[2, 3], keepdims=0)
    wide = g.n("FusedGemm", flat, g.w(16, 8), g.w(16), domain=MS, transB=1, activation="LeakyRelu", activation_alpha=0.3)
    return g.n("Gemm", wide, g.w(16, 5), g.w(5))


@case
def fused_mat_mul(g):
    t = g.tokens()
    scores = g.n("FusedMatMul", t, t, domain=MS, alpha=0.3, transB=1)
    mixed = g.n("FusedMatMul", g.n("Softmax", scores, axis=-1), t, domain=MS, transA=1)
    return g.token_head(mixed)


on_map("bias_gelu", lambda g, t: g.n("Transpose", g.n("BiasGelu", g.n("Transpose", t, perm=[0, 2, 3, 1]), g.w(8), domain=MS), perm=[0, 3, 1, 2]))
on_map("fast_gelu", lambda g, t: g.n("Transpose", g.n("FastGelu", g.n("Transpose", t, perm=[0, 2, 3, 1]), g.w(8), domain=MS), perm=[0, 3, 1, 2]))
on_map("quick_gelu", lambda g, t: g.n("QuickGelu", t, domain=MS, alpha=1.3))
on_map("gelu_microsoft", lambda g, t: g.n("Gelu", t, domain=MS))
CASES["skip_layer_normalization"] = (lambda g: g.token_head(g.n("SkipLayerNormalization", g.tokens(), g.n("Relu", g.tokens()), g.w(8), g.w(8), g.w(8), domain=MS, epsilon=1e-3)), 17)
CASES["simplified_layer_normalization"] = (lambda g: g.token_head(g.n("SimplifiedLayerNormalization", g.tokens(), g.w(8), axis=-1, epsilon=1e-3)), 17)
CASES["attention_microsoft"] = (lambda g: g.token_head(g.n("Attention", g.tokens(), g.w(8, 24), g.w(24), domain=MS, num_heads=2)), 17)


# Weights of few bits.
def few_bits(g, bits, block, k, zeros=False, plain=False):
    """`plain`: with the weights that are meant."""
    t = g.tokens(k)
    blocks = -(-k // block)
    packed = g.uint8(8, blocks, block * bits // 8)
    steps = np.abs(g.rng.normal(0.05, 0.01, (8, blocks))).astype(np.float32)
    points = g.uint8(8, -(-blocks * bits // 8)) if zeros else None
    if plain:
        parts = lambda bytes: np.stack([(bytes >> (bits * i)) & (2**bits - 1) for i in range(8 // bits)], -1).reshape(*bytes.shape[:-1], -1)
        zero = parts(points)[:, :blocks, None].astype(np.float32) if zeros else 2.0 ** (bits - 1)
        weights = ((parts(packed) - zero) * steps[..., None]).reshape(8, -1)[:, :k]
        return g.token_head(g.n("MatMul", t, g.c(weights.T.astype(np.float32).copy())))
    inputs = [t, g.c(packed), g.c(steps.ravel())] + ([g.c(points.ravel())] if zeros else [])
    return g.token_head(g.n("MatMulNBits", *inputs, domain=MS, K=k, N=8, bits=bits, block_size=block))


CASES["matmul_4_bits"] = (lambda g: few_bits(g, 4, 32, 32), 17)
CASES["matmul_4_bits_zero_points"] = (lambda g: few_bits(g, 4, 16, 48, zeros=True), 17)
CASES["matmul_4_bits_cut_block"] = (lambda g: few_bits(g, 4, 32, 40, zeros=True), 17)
CASES["matmul_8_bits"] = (lambda g: few_bits(g, 8, 32, 32, zeros=True), 17)
CASES["matmul_2_bits"] = (lambda g: few_bits(g, 2, 32, 32), 17)


# Plain twins: by the straight-through estimator the quantised ones have their gradients.
TWINS = {name: f"{name}_plain" for name in ["dynamic_matmul", "matmul_4_bits", "matmul_4_bits_cut_block", "matmul_8_bits"]}
CASES["dynamic_matmul_plain"] = (lambda g: dynamic_matmul(g, plain=True), 17)
CASES["matmul_4_bits_plain"] = (lambda g: few_bits(g, 4, 32, 32, plain=True), 17)
CASES["matmul_4_bits_cut_block_plain"] = (lambda g: few_bits(g, 4, 32, 40, zeros=True, plain=True), 17)
CASES["matmul_8_bits_plain"] = (lambda g: few_bits(g, 8, 32, 32, zeros=True, plain=True), 17)


# Operators of every stem and head.
SCAFFOLD = {"Conv", "ReduceMean", "Gemm", "Identity", "Transpose", "Reshape", "Mul", "Add", "Cast", "MatMul", "Exp", "Abs", "Sigmoid", "Relu", "Slice"}
ABOUT = {
    "identity_dropout_cast": ["Cast", "Dropout", "Identity"], "unsqueeze_squeeze": ["Squeeze", "Unsqueeze"], "squeeze_11": ["Squeeze", "Unsqueeze"],
    "split_concat": ["Concat", "Split"], "depth_to_space": ["DepthToSpace", "SpaceToDepth"], "attention": ["MatMul", "Softmax"],
    "space_to_tokens_and_back": ["MatMul", "Reshape", "Transpose"], "silu": ["Sigmoid"], "flatten_gemm": ["Flatten", "Gemm"],
}


def about(name):
    """The operators that a case is about: the one that it is named for, those that are quantised, or all but the usual."""
    nodes = onnx.load(HERE / f"{name}.onnx").graph.node
    operators = {node.op_type for node in nodes}
    named = [o for o in operators if name.replace("_", "").startswith(o.lower())]
    quantised = {o for o in operators if any(part in o for part in ("Quantize", "QLinear", "QGemm", "Integer", "NBits"))}
    return ABOUT.get(name) or sorted(quantised or ([max(named, key=len)] if named else operators - SCAFFOLD))


def gradients(x, scores):
    """Case -> the operators that it is about, and torch's gradient of the second score with respect to the stem's map,
    in float64, as its products with sixteen waves; none where torch's twin of the graph is missing or gives other scores.
    That of quantised values is the straight-through one."""
    import torch

    sys.path.append(str(HERE.parent))
    import torchonnx

    cases = {}
    for name in sorted(scores):
        model = onnx.load(HERE / f"{name}.onnx")
        waves = None
        try:
            env = torchonnx.run(model, {"x": x}, ["scores", "t0"], leaf="t0")
            assert np.allclose(env["scores"].detach().numpy().ravel(), scores[name], atol=1e-4 * max(1, np.abs(scores[name]).max())), "other scores"
            gradient, = torch.autograd.grad(env["scores"].flatten()[1], env["t0"], allow_unused=True)
            flat = torch.zeros_like(env["t0"]).flatten() if gradient is None else gradient.flatten()
            at = torch.arange(len(flat), dtype=torch.double)
            waves = [float(flat @ torch.cos(at * (k + 1) * 0.37)) for k in range(16)] if flat.isfinite().all() else None
        except Exception as error:  # noqa: BLE001
            print(f"no gradient of {name}: {type(error).__name__} {error}")
        cases[name] = {"about": about(name), "gradient": waves}
    schemas = [s for s in onnx.defs.get_all_schemas_with_history() if s.domain == "" and s.since_version <= 23]
    versions = {}
    for schema in schemas:
        versions.setdefault(schema.name, []).append(schema.since_version)
    return {"cases": cases, "operators": {name: sorted(found) for name, found in sorted(versions.items())}}


# ONNX Runtime takes its QLinearSoftmax from a table of exponentials: another step here and there.
LOOSE = {"qlinearsoftmax": 0.004}
# Not run here.
REFUSED = ["gru_backwards", "lp_pool", "pad_wrap", "reverse_sequence"]


def main():
    for old in HERE.glob("*.onnx"):
        old.unlink()
    values, failed = {}, []
    for name, (make, opset) in sorted(CASES.items()):
        graph = Graph(name, opset, seed=name.removesuffix("_plain"))
        try:
            values[name] = graph.save(make(graph))
        except Exception as error:  # noqa: BLE001
            failed.append(f"{name}: {error}")
    if failed:
        raise SystemExit("\n".join(failed))
    x = np.random.default_rng(1).normal(0, 1, (1, 3, 8, 8)).astype(np.float32)
    (HERE / "gradients.json").write_text(json.dumps(gradients(x, values), indent=0) + "\n")
    every = sorted({s.name for s in onnx.defs.get_all_schemas_with_history() if s.domain == "" and s.since_version <= 23})
    nodes = [helper.make_node(name, ["x"], [f"y{i}"]) for i, name in enumerate(every)]
    graph = helper.make_graph(nodes, "all", [], [helper.make_tensor_value_info("y0", 1, None)])
    (HERE / "names").write_bytes(helper.make_model(graph, producer_name="whylens-tests").SerializeToString())
    for name, plain in TWINS.items():
        off = np.abs(np.subtract(values[name], values[plain])).max()
        assert off < (0.05 if name == "dynamic_matmul" else 1e-5), (name, off)
    (HERE / "values.json").write_text(json.dumps({"input": [float(v) for v in x.ravel()], "scores": values, "twins": TWINS, "loose": LOOSE, "refused": REFUSED}, indent=0) + "\n")
    print(f"{len(values)} cases, {sum(p.stat().st_size for p in HERE.glob('*.onnx'))} bytes")


if __name__ == "__main__":
    main()
