"""classifiers as tools export them → NAME.onnx, NAME.npy and cases.json: what ONNX Runtime and torch give for them"""

import copy
import json
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import timm
import torch
from onnx import TensorProto, helper
from torchvision.models import VisionTransformer
from transformers import DeiTConfig, DeiTForImageClassificationWithTeacher

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parent / "heads"))
from make import SIDE, Graph  # noqa: E402

FLOAT, UINT8, FLOAT16, STRING = TensorProto.FLOAT, TensorProto.UINT8, TensorProto.FLOAT16, TensorProto.STRING


def softmax(scores):
    powers = np.exp(scores - scores.max())
    return powers / powers.sum()


def sigmoid(scores):
    return 1 / (1 + np.exp(-np.asarray(scores, np.float64)))


class Export(Graph):
    """A graph of tests/golden/heads with inputs and outputs of its own."""

    def __init__(self, name, shape=(1, 3, SIDE, SIDE), kind=FLOAT, open_axes=(), channels=3):
        self.name, self.given, self.kind, self.open_axes, self.outputs = name, shape, kind, open_axes, []
        super().__init__(name)
        if channels != 3:
            self.nodes, self.constants = [], []
            self.constant("kernel", self.random.normal(0, 0.5, (8, channels, 3, 3)))
            self.features("input")

    def features(self, tensor):
        self.add("Conv", f"{tensor} kernel", "convolved", pads=[1, 1, 1, 1], strides=[2, 2])
        return self.add("Relu", "convolved", "features")

    def out(self, name, shape, kind=FLOAT):
        self.outputs.append(helper.make_tensor_value_info(name, kind, shape))

    def model(self):
        shape = ["?" if axis in self.open_axes else length for axis, length in enumerate(self.given)]
        inputs = [helper.make_tensor_value_info("input", self.kind, shape)]
        graph = helper.make_graph(self.nodes, "export", inputs, self.outputs, self.constants)
        opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=8)

    def values(self, name):
        return onnx.numpy_helper.to_array(next(c for c in self.constants if c.name == name)).copy()


def run(model, image):
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, {session.get_inputs()[0].name: image})))


def maps(graph, image):
    """Grad-CAM of the only score and of its negative, by torch: ReLU of Σ mean(gradient) × features."""
    kernel, dense, bias = (torch.tensor(graph.values(name)) for name in ("kernel", "dense", "bias"))
    features = torch.relu(torch.nn.functional.conv2d(torch.tensor(image), kernel, stride=2, padding=1))
    features.retain_grad() if features.requires_grad else features.requires_grad_()
    score = (features.mean((2, 3)) @ dense + bias).sum()
    (gradient,) = torch.autograd.grad(score, features)
    both = []
    for sign in (1, -1):
        weights = sign * gradient.mean((2, 3), keepdim=True)
        both.append(torch.relu((weights * features).sum(1)).detach().numpy().ravel().tolist())
    return both


def two_sided(graph, image):
    """Whether a head of one score has a map for each side; leaves the graph as it was."""
    twin = Export(graph.name)
    twin.dense(twin.pool("features"), 1)
    return all(max(side) > 0 for side in maps(twin, image))


CASES = []


def case(name, model, image, **said):
    """`image` is what the packed model is given."""
    onnx.save(model, HERE / f"{name}.onnx")
    np.save(HERE / f"{name}.npy", np.asarray(image, "<f4"))
    if "options" in said:
        said["options"]["name"] = name
    CASES.append({"name": name, "shape": list(image.shape), **said})


def image(shape, seed=0):
    return np.random.default_rng(seed).uniform(0, 1, shape).astype("<f4")


def one_score():
    for name, ends, labels in [("logit", None, "sound\nbroken"), ("probability", "Sigmoid", "broken")]:
        # Some random maps have nothing that speaks for one of the sides.
        photo = image((1, 3, SIDE, SIDE), 1)
        graph = next(g for g in (Export(f"{name}-{at}") for at in range(99)) if two_sided(g, photo))
        last = graph.dense(graph.pool("features"), 1)
        last = graph.add(ends, last, "output") if ends else last
        graph.out(last, [1, 1])
        (score,) = run(graph.model(), photo)[last].ravel()
        p = float(score if ends else sigmoid(score))
        case(
            name, graph.model(), photo, labels=labels, kept=labels.split() if not ends else ["not broken", "broken"],
            probabilities=[1 - p, p], maps=maps(graph, photo)[::-1], kind="sigmoid",
        )
    photo = image((1, 3, SIDE, SIDE), 2)
    graph = next(g for g in (Export(f"age-{at}") for at in range(99)) if two_sided(g, photo))
    graph.out(graph.dense(graph.pool("features"), 1), [1, 1])
    (value,) = run(graph.model(), photo)["logits"].ravel()
    case(
        "age", graph.model(), photo, labels="age", kept=["age"], options={"activation": "none", "unit": "years"},
        probabilities=[float(value)], signed=maps(graph, photo), kind="none",
    )


def several():
    # As CoreML's and scikit-learn's converters end: a label, and a dictionary of probabilities.
    graph = Export("dictionary")
    graph.add("Softmax", graph.dense(graph.pool("features"), 3), "scores", axis=1)
    names = ["cat", "dog", "owl"]
    ml = {"domain": "ai.onnx.ml"}
    graph.add("ArgMax", "scores", "best", axis=1, keepdims=0)
    graph.add("LabelEncoder", "best", "classLabel", keys_int64s=[0, 1, 2], values_strings=names, **ml)
    graph.add("ZipMap", "scores", "loss", classlabels_strings=names, **ml)
    graph.out("classLabel", [1], STRING)
    dictionary = helper.make_map_type_proto(STRING, helper.make_tensor_type_proto(FLOAT, []))
    graph.outputs.append(helper.make_value_info("loss", helper.make_sequence_type_proto(dictionary)))
    photo = image((1, 3, SIDE, SIDE), 3)
    (found,) = run(graph.model(), photo)["loss"]
    case(
        "dictionary", graph.model(), photo, labels="", kept=names,
        probabilities=[float(found[name]) for name in names], kind="softmax",
    )

    # Heads that leave the network early, as GoogLeNet's and Inception's, in the order of torchvision's tuple.
    torch.manual_seed(0)
    case_of_torch("auxiliary", Auxiliary(), (1, 3, 32, 32), names=["logits", "aux2", "aux1"], scores="logits")

    # Two heads of a distilled network: it answers with their mean.
    case_of_torch("distilled", Distilled(), (1, 3, 32, 32), names=["head", "head_dist"], scores=("head", "head_dist"))

    config = DeiTConfig(
        image_size=32, patch_size=8, hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=32, num_labels=5,
    )
    teacher = DeiTForImageClassificationWithTeacher(config)
    case_of_torch(
        "teacher", Tuple(teacher), (1, 3, 32, 32), names=["logits", "cls_logits", "distillation_logits"],
        scores="logits",
    )

    # Features beside the scores that are computed from them.
    case_of_torch("features", Features(), (1, 3, 32, 32), names=["pooler_output", "logits"], scores="logits")

    # Two questions: nobody but the owner knows which is meant.
    model, photo = exported(Questions(), (1, 3, 32, 32), names=["gender", "mood"])
    found = run(model, photo)
    case(
        "questions", model, photo, labels="a\nb\nc\nd", kept=list("abcd"),
        probabilities=softmax(found["mood"].ravel()).tolist(), kind="softmax", heads=["gender", "mood"],
    )
    case(
        "alike", exported(Questions(4), (1, 3, 32, 32), names=["left", "right"])[0], photo, labels="a\nb\nc\nd",
        error=["bad-option", "`left` (4 classes), `right` (4 classes); name one with --output"],
    )


class Trunk(torch.nn.Module):
    def __init__(self, depth=8, classes=5):
        super().__init__()
        channels = [3] + [8] * depth
        convolution = lambda a, b, stride: torch.nn.Sequential(  # noqa: E731
            torch.nn.Conv2d(a, b, 3, stride, 1), torch.nn.ReLU()
        )
        pairs = enumerate(zip(channels, channels[1:]))
        self.layers = torch.nn.ModuleList(convolution(a, b, 2 if at < 2 else 1) for at, (a, b) in pairs)
        self.head = torch.nn.Linear(8, classes)

    def at(self, image, depths):
        found = []
        for depth, layer in enumerate(self.layers, 1):
            image = layer(image)
            if depth in depths:
                found.append(image)
        return found


class Auxiliary(Trunk):
    def __init__(self):
        super().__init__()
        self.aux1, self.aux2 = torch.nn.Linear(8, 5), torch.nn.Linear(8, 5)

    def forward(self, image):
        low, middle, high = self.at(image, (3, 5, 8))
        return self.head(high.mean((2, 3))), self.aux2(middle.mean((2, 3))), self.aux1(low.mean((2, 3)))


class Distilled(Trunk):
    def __init__(self):
        super().__init__(4)
        self.head_dist = torch.nn.Linear(8, 5)

    def forward(self, image):
        pooled = self.at(image, (4,))[0].mean((2, 3))
        return self.head(pooled), self.head_dist(pooled)


class Features(Trunk):
    def forward(self, image):
        pooled = self.at(image, (8,))[0].mean((2, 3))
        return pooled, self.head(pooled)


class Questions(Trunk):
    def __init__(self, first=2):
        super().__init__(4, first)
        self.other = torch.nn.Linear(8, 4)

    def forward(self, image):
        pooled = self.at(image, (4,))[0].mean((2, 3))
        return self.head(pooled), self.other(pooled)


class Tuple(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, image):
        found = self.model(pixel_values=image)
        return found.logits, found.cls_logits, found.distillation_logits


class Flattened(Trunk):
    """Shapes that name the batch."""

    def __init__(self):
        super().__init__(4)
        self.dense = torch.nn.Linear(8 * 8 * 8, 5)

    def forward(self, image):
        return self.dense(self.at(image, (4,))[0].reshape(image.shape[0], 8 * 8 * 8))


class Together(Trunk):
    """The images of a batch are one thing."""

    def __init__(self):
        super().__init__(4)
        self.dense = torch.nn.Linear(4 * 8, 5)

    def forward(self, image):
        return self.dense(self.at(image, (4,))[0].mean((2, 3)).reshape(1, 4 * 8))


def exported(module, shape, names, dynamic=None):
    torch.manual_seed(1)
    module = module.eval()
    photo = torch.tensor(image(shape, 4))
    path = HERE / "temporary.onnx"
    torch.onnx.export(
        module, (photo,), path, input_names=["input"], output_names=names, opset_version=17, dynamo=False,
        dynamic_axes=dynamic,
    )
    model = onnx.load(path)
    path.unlink()
    return model, photo.numpy()


def case_of_torch(name, module, shape, names=("logits",), scores="logits", **said):
    model, photo = exported(module, shape, list(names))
    found = run(model, photo)
    values = np.mean([found[each] for each in scores], 0) if isinstance(scores, tuple) else found[scores]
    count = values.shape[-1]
    labels = [f"class {at}" for at in range(count)]
    case(
        name, model, photo[:1], labels="\n".join(labels), kept=labels,
        probabilities=softmax(values[0]).tolist(), kind="softmax", **said,
    )


def batches():
    case_of_torch("batch-8", Flattened(), (8, 3, 32, 32))
    torch.manual_seed(2)
    vit = VisionTransformer(32, 8, 2, 2, 16, 32, num_classes=5)
    torch.nn.init.normal_(vit.heads.head.weight)
    case_of_torch("batch-4-vit", vit, (4, 3, 32, 32))
    swin = timm.create_model(
        "swin_tiny_patch4_window7_224", img_size=32, patch_size=4, window_size=4, embed_dim=8, depths=(2, 2),
        num_heads=(2, 4), num_classes=5,
    )
    case_of_torch("batch-2-swin", swin, (2, 3, 32, 32))
    model, photo = exported(Together(), (4, 3, 32, 32), ["logits"])
    labels = "\n".join("abcde")
    case("batch-of-four", model, photo, labels=labels, error=["unsupported-model", "made for 4 images at once"])


def inputs():
    pixels = np.random.default_rng(5).integers(0, 256, (1, 3, SIDE, SIDE))
    labels = [f"class {at}" for at in range(5)]
    both = {"labels": "\n".join(labels), "kept": labels, "kind": "softmax"}

    def add(name, graph, given, packed, **said):
        graph.out(graph.dense(graph.pool("features")), [1, 5])
        model = said.pop("change", lambda model: model)(graph.model())
        # Half-precision weights in single-precision arithmetic.
        twin = said.pop("twin", lambda model: model)(copy.deepcopy(model))
        (scores,) = run(twin, given.astype(np.float32) if given.dtype == np.float16 else given)["logits"]
        case(name, model, packed, probabilities=softmax(scores.astype(np.float64)).tolist(), **both, **said)

    graph = Export("cast", (1, SIDE, SIDE, 3), UINT8)
    graph.nodes = []
    graph.add("Transpose", "input", "channels", perm=[0, 3, 1, 2])
    graph.add("Cast", "channels", "numbers", to=FLOAT)
    graph.add("Div", f"numbers {graph.constant('full', 255)}", "scaled")
    graph.features("scaled")
    rows = np.ascontiguousarray(pixels.transpose(0, 2, 3, 1))
    add("uint8-cast", graph, rows.astype(np.uint8), rows, pixels=True)

    graph = Export("dequantised", kind=UINT8)
    graph.nodes = []
    step, zero = graph.constant("step", 1 / 255), graph.constant("zero", 7, np.uint8)
    graph.add("DequantizeLinear", f"input {step} {zero}", "scaled")
    graph.features("scaled")
    add("uint8-dequantised", graph, pixels.astype(np.uint8), pixels, pixels=True)

    graph = Export("half")
    half = image((1, 3, SIDE, SIDE), 6).astype(np.float16)

    def converted(model, kind, element):
        for tensor in model.graph.initializer:
            values = onnx.numpy_helper.to_array(tensor).astype(kind)
            tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
        for value in [*model.graph.input, *model.graph.output]:
            value.type.tensor_type.elem_type = element
        return model

    def halve(model):
        return converted(model, np.float16, FLOAT16)

    add("fp16", graph, half, half, change=halve, twin=lambda model: converted(model, np.float32, FLOAT))

    graph = Export("grey", (1, 1, SIDE, SIDE), channels=1)
    grey = image((1, 1, SIDE, SIDE), 7)
    add("grey", graph, grey, grey)

    four = image((1, 4, SIDE, SIDE), 8)
    four[:, 3] = 1
    add("opaque", Export("opaque", (1, 4, SIDE, SIDE), channels=4), four, four[:, :3])
    four[:, 3] = (1 - 0.25) / 0.5
    own = {"scale": 1 / 255, "mean": [0, 0, 0, 0.25], "std": [1, 1, 1, 0.5]}
    add("opaque-own", Export("opaque-own", (1, 4, SIDE, SIDE), channels=4), four, four[:, :3], options=own)

    # Convolutions take any size, position embeddings one.
    wide = image((1, 3, 224, 224), 9)
    add("open", Export("open", (1, 3, 224, 224), open_axes=(0, 2, 3)), wide, wide)
    torch.manual_seed(3)
    vit = VisionTransformer(32, 8, 2, 2, 16, 32, num_classes=5)
    torch.nn.init.normal_(vit.heads.head.weight)
    model, photo = exported(vit, (1, 3, 32, 32), ["logits"], {"input": {0: "batch", 2: "height", 3: "width"}})
    case(
        "open-to-one", model, photo, probabilities=softmax(run(model, photo)["logits"][0]).tolist(), **both,
    )


def main():
    one_score()
    several()
    batches()
    inputs()
    lines = ",\n".join(json.dumps(case) for case in CASES)
    (HERE / "cases.json").write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    main()
