"""models.py → NAME.onnx.br: the exported graph with its weights told as seeds."""

import io
import logging
import os
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import brotli
import numpy as np
import onnx
import reference
import seeds
import torch
import torchonnx
from onnx import numpy_helper
from torch import nn

logging.disable(logging.WARNING)

LIGHT = Path(onnx.__file__).parent / "backend/test/data/light"


def enliven(net, size):
    """Weights as of a network that was trained a little: no scale of zero, no layer that says nothing, and batch norms
    that know their input."""
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in net.parameters():
            flat = parameter.dim() < 2 or parameter.numel() == max(parameter.shape)
            if flat and (parameter == 1).all():
                parameter.add_(0.2 * torch.randn_like(parameter))
            elif flat and parameter.abs().max() < 1e-3:
                parameter.add_(0.1 * torch.randn_like(parameter))
            elif flat and parameter.std(unbiased=False) < 1e-6:  # layer scales, as CaiT's and ConvNeXt's of 1e-5
                parameter.copy_(0.3 + 0.1 * torch.randn_like(parameter))
            elif parameter.std(unbiased=False) < 1e-6:
                parameter.copy_(torch.randn_like(parameter) / parameter[0].numel() ** 0.5)
        norms = [module for module in net.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
        if norms:
            # Only the norms learn: drop-outs stay as they are when the network is used.
            for norm in norms:
                norm.reset_running_stats()
                norm.momentum = None
                norm.train()
            net(torch.from_numpy(np.concatenate([seeds.image(size, seed) for seed in range(2, 6)])))
    return net.eval()


def export(model):
    """The exported graph with the weights of torch."""
    if model.family == "light":
        return light(LIGHT / f"{model.name}.onnx")
    if model.family in ("keras", "ultralytics"):
        with tempfile.TemporaryDirectory() as folder:
            return {"keras": keras, "ultralytics": ultralytics}[model.family](model, Path(folder))
    torch.manual_seed(0)
    net = enliven(model.build().eval(), model.size)
    image = torch.from_numpy(seeds.image(model.size))
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        file = f"{folder}/model.onnx"
        dynamo = model.exporter == "dynamo"
        more = {"verbose": False, "external_data": False} if dynamo else {}
        torch.onnx.export(
            net,
            (image,),
            file,
            opset_version=model.opset,
            dynamo=dynamo,
            input_names=["input"],
            output_names=None if model.family == "heads" else ["output"],
            **more,
        )
        if model.how:
            return quantised(file, model, folder)
        return onnx.load(file)


def keras(model, folder):
    """By a process of its own."""
    words = ["keras_net.py", model.base, str(model.size), model.exporter.split()[1], str(folder / "model.onnx")]
    done = subprocess.run([sys.executable, *words], cwd=Path(__file__).parent, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1])
    return onnx.load(folder / "model.onnx")


def ultralytics(model, folder):
    """The architecture of a YAML file that Ultralytics brings along, by its own exporter."""
    os.environ.update(YOLO_OFFLINE="true", YOLO_AUTOINSTALL="false", YOLO_CONFIG_DIR=str(folder), YOLO_VERBOSE="false")
    from models import CLASSES
    from ultralytics import YOLO
    from ultralytics.nn.tasks import ClassificationModel

    torch.manual_seed(0)
    yolo = YOLO(f"{model.name}.yaml", task="classify")
    net = ClassificationModel(yolo.model.yaml, nc=CLASSES, verbose=False)
    net.args, net.task = yolo.model.args, "classify"
    yolo.model = enliven(net.eval(), model.size)
    yolo.model.pt_path = str(folder / "model.pt")
    return onnx.load(yolo.export(format="onnx", imgsz=model.size, verbose=False))


def light(file):
    """A light model fills its weights with one value each; ours spread as a network's do."""
    model = onnx.load(file)
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    for node in [node for node in model.graph.node if node.op_type == "ConstantOfShape"]:
        shape = constants[node.input[0]]
        count, fan = int(np.prod(shape)), int(np.prod(shape[1:])) if len(shape) > 1 else 100
        name = node.output[0]
        positive = name.endswith(("_riv_0", "_var_0")) or "var" in name
        drawn = (2 / fan) ** 0.5 * seeds.uniform(len(name), count) * seeds.ROOT_3 + (1 if positive else 0)
        model.graph.initializer.append(numpy_helper.from_array(drawn.astype(np.float32).reshape(shape), name))
        model.graph.node.remove(node)
    return model


class Photos:
    """What the static quantisation is calibrated by."""

    def __init__(self, name, size):
        self.left = [{name: seeds.image(size, seed)} for seed in range(2, 6)]

    def get_next(self):
        return self.left.pop() if self.left else None


def quantised(file, model, folder):
    from onnxruntime import quantization as q
    from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer
    from onnxruntime.quantization.shape_inference import quant_pre_process

    # Quantised is the network as it is kept: with the weights of its seeds.
    with torch.no_grad():
        onnx.save(seeds.fill(even(onnx.load(file), seeds.image(model.size))), file)
    ready, out = f"{folder}/ready.onnx", f"{folder}/quantised.onnx"
    if model.how.startswith("nbits"):
        maker = MatMulNBitsQuantizer(onnx.load(file), bits=int(model.how[5:]), block_size=32, is_symmetric=False)
        maker.process()
        return maker.model.model
    quant_pre_process(file, ready, skip_symbolic_shape=True)
    if model.how == "dynamic":
        q.quantize_dynamic(ready, out, weight_type=q.QuantType.QUInt8)
    else:
        form = q.QuantFormat.QOperator if model.how == "qoperator" else q.QuantFormat.QDQ
        per_channel = model.how == "qdq-channel"
        kinds = dict(activation_type=q.QuantType.QUInt8, weight_type=q.QuantType.QInt8)
        if form == q.QuantFormat.QDQ:
            kinds["activation_type"] = q.QuantType.QInt8
        q.quantize_static(ready, out, Photos("input", model.size), quant_format=form, per_channel=per_channel, **kinds)
    return onnx.load(out)


WEIGHTS = {"Conv": 1, "ConvTranspose": 1, "Gemm": 1, "MatMul": 1, "BatchNormalization": 1}


def several(outputs):
    return outputs if isinstance(outputs, tuple) else (outputs,)


def even(exported, image):
    """Strips a graph, and scales the rule of each matrix and kernel so that its product spreads as that of the
    exported weights does. Redrawn weights know no channel from another: values would grow or die away."""
    stripped = onnx.ModelProto()
    stripped.CopyFrom(exported)
    seeds.strip(stripped)
    rules = {t.name: t for t in stripped.graph.initializer if t.data_location == onnx.TensorProto.EXTERNAL}
    given = {reference.taken(exported): torchonnx.from_numpy(image)}
    opset = next(o.version for o in exported.opset_import if o.domain in ("", "ai.onnx"))
    both = []
    for graph in (exported, seeds.fill(stripped)):
        both.append(
            {
                "": None,
                **{t.name: torchonnx.from_numpy(numpy_helper.to_array(t)) for t in graph.graph.initializer},
                **given,
            }
        )
    left = {name: i for i, node in enumerate(exported.graph.node) for name in node.input}
    for i, node in enumerate(exported.graph.node):
        made = []
        for env in both:
            inputs = [env[name] for name in node.input]
            while inputs and inputs[-1] is None:
                inputs.pop()
            made.append(several(torchonnx.one(node, torchonnx.attributes(node), inputs, opset)))
        weight = node.input[WEIGHTS[node.op_type]] if node.op_type in WEIGHTS else None
        if weight in rules and made[0][0].numel() > 1:
            known, new = (outputs[0].std().item() for outputs in made)
            if known > 0 and new > 0 and 1e-4 < known / new < 1e4:
                entry = rules.pop(weight).external_data[0]
                entry.value = seeds.scaled(entry.value, known / new)
                both[1][weight] = torchonnx.from_numpy(seeds.values(entry.value).reshape(both[0][weight].shape))
                inputs = [both[1][name] for name in node.input if name]
                made[1] = several(torchonnx.one(node, torchonnx.attributes(node), inputs, opset))
        for env, outputs in zip(both, made):
            env.update(zip(node.output, outputs))
            for name in node.input:
                if name and left[name] == i:
                    env.pop(name, None)
    return stripped


def make(model, file):
    """Writes the stripped graph."""
    exported = export(model)
    if model.how:
        stripped = seeds.strip(exported)
    else:
        with torch.no_grad():
            stripped = even(exported, seeds.image(model.size, last=model.last))
    for node in stripped.graph.node:
        node.doc_string = ""
        del node.metadata_props[:]
    del stripped.graph.value_info[:]
    del stripped.metadata_props[:]
    del stripped.graph.metadata_props[:]
    file.write_bytes(brotli.compress(stripped.SerializeToString(), quality=11))


def read(file):
    """The stripped graph of a file."""
    return onnx.load(io.BytesIO(brotli.decompress(file.read_bytes())))
