"""Small models as their exporters write them, and what the exporter's own Python code answers on four photos.

    python -m venv env && env/bin/pip install -r tests/golden/sources/requirements.txt
    env/bin/python tests/golden/sources/make.py

transformers, timm and Ultralytics write their files themselves. Teachable Machine, Custom Vision and Lobe are
services and programs: their files are as their exports have them, and photos are read by the code that comes with
these, or by Lobe's package. Its pins are old: `pip install --no-deps lobe==0.6.2`. Weights are random.
"""

import io
import json
import shutil
import sys
import zipfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import quantize_dynamic
from PIL import Image, ImageOps
from torch import nn

HERE = Path(__file__).parent
PHOTOS = HERE.parent.parent / "photos"
NAMES = ["astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg"]
LABELS = ["tench, a fish", "gold fish", "jack-o'-lantern", "été", "espresso"]

answers = {}


def folder(name):
    path = HERE / name
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    return path


def photos():
    for name in NAMES:
        yield name, Image.open(PHOTOS / name).convert("RGB")


def note(kind, answer):
    """`answer`: photo → probabilities, by the exporter's own code."""
    answers[kind] = {name: [round(float(p), 5) for p in answer(photo)] for name, photo in photos()}


def run(model, values):
    session = onnxruntime.InferenceSession(model if isinstance(model, bytes) else str(model))
    return session.run(None, {session.get_inputs()[0].name: np.asarray(values, np.float32)})[0][0]


def softmax(scores):
    exp = np.exp(scores - scores.max())
    return exp / exp.sum()


class Small(nn.Module):
    """Looks at colours and edges at every place, so that another resize, crop or range gives another answer."""

    def __init__(self, ranges=1.0):
        super().__init__()
        torch.manual_seed(7)
        self.conv = nn.Conv2d(3, 8, 8, 8)
        self.more = nn.Conv2d(8, 8, 3, 2, 1)
        self.head = nn.Linear(8, len(LABELS))
        with torch.no_grad():
            self.conv.weight *= 2 * ranges
            self.more.weight *= 3
            self.head.weight *= 3

    def forward(self, pixel_values):
        features = torch.relu(self.more(torch.relu(self.conv(pixel_values))))
        return self.head(features.mean((2, 3)))


def settle(model, head, side):
    """Gives the statistics of photos to normalisations, so that random weights tell photos apart."""
    nn.init.normal_(head.weight, std=1.5 / head.in_features**0.5)
    values = [np.asarray(photo.resize((side, side))) / 255 for _, photo in photos()]
    batch = torch.tensor(np.array(values, np.float32).transpose(0, 3, 1, 2)) * 2 - 1
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
            module.momentum = None
    model.train()(batch)
    model.eval()


def export(model, path, side, open_sides=False, name="pixel_values"):
    axes = {0: "batch", 2: "height", 3: "width"} if open_sides else {0: "batch"}
    torch.onnx.export(
        model.eval(), (torch.zeros(1, 3, side, side),), str(path), input_names=[name], output_names=["logits"],
        dynamic_axes={name: axes}, dynamo=False, opset_version=17,
    )


def transformers_folders():
    import transformers as hf

    # Each image processor of a classifier that does something of its own; sizes as their checkpoints have them.
    processors = {
        "beit": hf.BeitImageProcessor(size={"height": 256, "width": 256}, do_center_crop=True),
        "bit": hf.BitImageProcessor(size={"shortest_edge": 256}),
        "clip": hf.CLIPImageProcessor(),
        "convnext": hf.ConvNextImageProcessor(size={"shortest_edge": 224}, crop_pct=0.875),
        "convnext-384": hf.ConvNextImageProcessor(),
        "deit": hf.DeiTImageProcessor(),
        "efficientnet": hf.EfficientNetImageProcessor(size={"height": 224, "width": 224}, resample=0),
        "efficientnet-offset": hf.EfficientNetImageProcessor(
            size={"height": 224, "width": 224}, rescale_factor=1 / 127.5, rescale_offset=True, include_top=False
        ),
        "levit": hf.LevitImageProcessor(),
        "mobilenet-v2": hf.MobileNetV2ImageProcessor(),
        "mobilevit": hf.MobileViTImageProcessor(size={"shortest_edge": 288}),
        "perceiver": hf.PerceiverImageProcessor(),
        "pp-lcnet": hf.PPLCNetImageProcessor(),
        "dinov3": hf.DINOv3ViTImageProcessor(),
        "poolformer": hf.PoolFormerImageProcessor(),
        "pvt": hf.PvtImageProcessor(),
        "siglip": hf.SiglipImageProcessor(),
    }
    (HERE / "processors").mkdir(exist_ok=True)
    shutil.rmtree(HERE / "processors")
    (HERE / "processors").mkdir()
    small = Small()
    export(small, HERE / "processors/model.onnx", 224, open_sides=True)
    for name, processor in processors.items():
        scratch = folder("scratch")
        processor.save_pretrained(scratch)
        (file,) = scratch.glob("*.json")
        shutil.copy(file, HERE / "processors" / f"{name}.json")
        shutil.rmtree(scratch)
        note(
            f"processors/{name}",
            lambda photo: small(processor(photo, return_tensors="pt")["pixel_values"]).softmax(1)[0].detach(),
        )

    # As optimum writes it.
    torch.manual_seed(3)
    path = folder("optimum")
    config = hf.ViTConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, image_size=64, patch_size=16,
        id2label=dict(enumerate(LABELS)), label2id={label: at for at, label in enumerate(LABELS)},
        initializer_range=0.3,
    )
    model = hf.ViTForImageClassification(config).eval()
    processor = hf.ViTImageProcessor(size={"height": 64, "width": 64})
    model.config.save_pretrained(path)
    processor.save_pretrained(path)
    (path / "onnx").mkdir()

    class Logits(nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, pixel_values):
            return self.model(pixel_values).logits

    export(Logits(), path / "onnx/model.onnx", 64)
    quantize_dynamic(path / "onnx/model.onnx", path / "onnx/model_quantized.onnx")
    classify = hf.pipeline("image-classification", model=model, image_processor=processor, top_k=None)

    def answer(photo):
        scores = {found["label"]: found["score"] for found in classify(photo)}
        return [scores[label] for label in LABELS]

    note("optimum", answer)

    # The same model for several classes a photo.
    path = folder("multi-label")
    config.problem_type = "multi_label_classification"
    config.save_pretrained(path)
    note(
        "multi-label",
        lambda photo: torch.sigmoid(model(processor(photo, return_tensors="pt")["pixel_values"]).logits)[0].detach(),
    )


def timm_folder():
    import timm

    torch.manual_seed(5)
    path = folder("timm")
    model = timm.create_model("test_efficientnet", pretrained=False, num_classes=len(LABELS))
    data = timm.data.resolve_data_config({}, model=model)
    settle(model, model.get_classifier(), data["input_size"][1])
    scratch = folder("scratch")
    timm.models.save_for_hf(model, scratch, model_config={"label_names": LABELS})
    shutil.copy(scratch / "config.json", path)
    shutil.rmtree(scratch)
    export(model, path / "model.onnx", data["input_size"][1])
    transform = timm.data.create_transform(**data, is_training=False)
    note("timm", lambda photo: model(transform(photo)[None]).softmax(1)[0].detach())


def ultralytics_file():
    from ultralytics import YOLO
    from ultralytics.nn.tasks import ClassificationModel

    torch.manual_seed(11)
    path = folder("ultralytics")
    # yolo11-cls.yaml, cut in width and depth.
    layers = {
        "nc": len(LABELS),
        "backbone": [[-1, 1, "Conv", [8, 3, 2]], [-1, 1, "Conv", [16, 3, 2]], [-1, 1, "C3k2", [16, False, 0.5]]],
        "head": [[-1, 1, "Classify", [len(LABELS)]]],
    }
    inner = ClassificationModel(layers, nc=len(LABELS), verbose=False)
    inner.names = dict(enumerate(LABELS))
    settle(inner, inner.model[-1].linear, 64)
    yolo = YOLO(model="yolo11n-cls.yaml", task="classify")
    yolo.model = inner
    inner.args = {**yolo.overrides, "task": "classify", "imgsz": 64, "data": ""}
    inner.task = "classify"
    inner.pt_path = str(path / "birds.pt")
    made = yolo.export(format="onnx", imgsz=64, simplify=False, dynamic=False)
    made = Path(made)
    if made.resolve() != (path / "birds.onnx").resolve():
        shutil.move(made, path / "birds.onnx")
    note("ultralytics", lambda photo: YOLO(path / "birds.onnx", task="classify").predict(photo, imgsz=64, verbose=False)[0].probs.data)


def channels_last(model, side, before=()):
    """The graph of `Small` behind a transpose, as tf2onnx writes it, with `before` in front."""
    buffer = io.BytesIO()
    export(model, HERE / "scratch.onnx", side, name="nchw")
    graph = onnx.load(HERE / "scratch.onnx")
    (HERE / "scratch.onnx").unlink()
    inner = graph.graph
    nodes, name = [], "input_1"
    for at, (operator, value) in enumerate(before):
        constant = numpy_helper.from_array(np.asarray(value, np.float32), f"before_{at}")
        inner.initializer.append(constant)
        nodes.append(helper.make_node(operator, [name, constant.name], [f"scaled_{at}"]))
        name = f"scaled_{at}"
    nodes.append(helper.make_node("Transpose", [name], ["nchw"], perm=[0, 3, 1, 2]))
    for at, node in enumerate(nodes):
        inner.node.insert(at, node)
    inner.node.append(helper.make_node("Softmax", ["logits"], ["probabilities"], axis=-1))
    del inner.input[:]
    inner.input.append(helper.make_tensor_value_info("input_1", TensorProto.FLOAT, ["batch", side, side, 3]))
    del inner.output[:]
    inner.output.append(helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", len(LABELS)]))
    onnx.checker.check_model(graph)
    onnx.save(graph, buffer)
    return buffer.getvalue()


def archive(name, files):
    """A zip with fixed dates, so that it is the same at each run."""
    (HERE / name).unlink(missing_ok=True)
    with zipfile.ZipFile(HERE / name, "w", zipfile.ZIP_DEFLATED) as out:
        for path, content in files.items():
            out.writestr(zipfile.ZipInfo(path, (2026, 1, 1, 0, 0, 0)), content, zipfile.ZIP_DEFLATED)


def teachable_machine():
    # `converted_keras.zip` holds keras_model.h5, here converted by tf2onnx, and labels.txt;
    # metadata.json is that of the TensorFlow.js export.
    model = channels_last(Small(), 96)
    metadata = {
        "tfjsVersion": "1.7.4", "tmVersion": "2.4.10", "packageVersion": "0.8.4-alpha2",
        "packageName": "@teachablemachine/image", "timeStamp": "2025-11-20T05:27:06.107Z", "userMetadata": {},
        "modelName": "tm-my-image-model", "labels": LABELS, "imageSize": 96,
    }
    labels = "".join(f"{at} {label}\n" for at, label in enumerate(LABELS))
    archive("teachable-machine.zip", {
        "my model/model.onnx": model, "my model/labels.txt": labels, "my model/metadata.json": json.dumps(metadata),
        "__MACOSX/my model/._model.onnx": b"\0\5\26\7",
    })

    def answer(photo):
        image = ImageOps.fit(photo, (96, 96), Image.Resampling.LANCZOS)
        return run(model, (np.asarray(image).astype(np.float32) / 127.5 - 1)[None])

    note("teachable-machine.zip", answer)


def custom_vision():
    export(Small(1 / 64), HERE / "scratch.onnx", 96, name="data")
    graph = onnx.load(HERE / "scratch.onnx")
    (HERE / "scratch.onnx").unlink()
    helper.set_model_props(graph, {
        "Image.BitmapPixelFormat": "Bgr8", "Image.ColorSpaceGamma": "SRGB",
        "Image.NominalPixelRange": "NominalRange_0_255",
    })
    properties = {
        "CustomVision.Metadata.AdditionalModelInfo": "", "CustomVision.Metadata.Version": "1.2",
        "CustomVision.Postprocess.Method": "ClassificationMultiClass",
        "CustomVision.Preprocess.CropHeight": "0", "CustomVision.Preprocess.CropMethod": "FullImageShorterSide",
        "CustomVision.Preprocess.CropWidth": "0", "CustomVision.Preprocess.NormalizeMean": "[0.0, 0.0, 0.0]",
        "CustomVision.Preprocess.NormalizeStd": "[1.0, 1.0, 1.0]",
        "CustomVision.Preprocess.ResizeMethod": "Stretch", "CustomVision.Preprocess.TargetHeight": "96",
        "CustomVision.Preprocess.TargetWidth": "96", "Image.BitmapPixelFormat": "Bgr8",
        "Image.ColorSpaceGamma": "SRGB", "Image.NominalPixelRange": "NominalRange_0_255",
    }
    model = graph.SerializeToString()
    archive("custom-vision.zip", {
        "model.onnx": model, "labels.txt": "\ufeff" + "\r\n".join(LABELS) + "\r\n",
        "metadata_properties.json": json.dumps(properties, indent=2), "cvexport.manifest": "{}", "LICENSE": "",
    })

    # python/onnx/predict.py of Azure-Samples/customvision-export-samples does these steps.
    def answer(photo):
        values = np.array(photo.resize((96, 96)), dtype=np.float32)[None].transpose(0, 3, 1, 2)
        return softmax(run(model, values[:, (2, 1, 0)]))

    note("custom-vision.zip", answer)


def lobe():
    path = folder("lobe")
    model = channels_last(Small(), 96)
    (path / "model.onnx").write_bytes(model)
    (path / "labels.txt").write_text("\n".join(LABELS) + "\n")
    (path / "signature.json").write_text(json.dumps({
        "doc_id": "5d1c9b1e", "doc_name": "Lobe birds", "doc_version": "4f0b", "format": "onnx", "version": 30,
        "inputs": {"Image": {"dtype": "float32", "shape": [None, 96, 96, 3], "name": "input_1"}},
        "outputs": {"Confidences": {"dtype": "float32", "shape": [None, 5], "name": "probabilities"}},
        "tags": ["serve"], "classes": {"Label": LABELS}, "filename": "model.onnx", "export_model_version": 1,
    }))

    from lobe import ImageModel

    image_model = ImageModel.load(str(path))

    def answer(photo):
        found = dict(image_model.predict(photo).labels)
        return [found[label] for label in LABELS]

    note("lobe", answer)


def keras():
    # `Rescaling` and `Normalization` in front, as `keras.applications.EfficientNetB0` has them.
    path = folder("keras")
    before = [("Mul", 1 / 255), ("Sub", [0.485, 0.456, 0.406]), ("Mul", 1 / np.array([0.229, 0.224, 0.225]))]
    model = channels_last(Small(), 96, before)
    (path / "efficientnet.onnx").write_bytes(model)
    ids = ["n01440764", "n01443537", "n03590841", "n15163979", "n07920052"]
    index = {str(at): [wordnet, label] for at, (wordnet, label) in enumerate(zip(ids, LABELS))}
    (path / "imagenet_class_index.json").write_text(json.dumps(index))

    # No file says how photos are brought to size: 8/7 of the input, bilinear, is what is taken then.
    def answer(photo):
        from torchvision.transforms import v2

        values = v2.CenterCrop(96)(v2.Resize(110)(photo))
        return run(model, np.asarray(values)[None])

    note("keras", answer)


if __name__ == "__main__":
    makers = [transformers_folders, timm_folder, ultralytics_file, teachable_machine, custom_vision, lobe, keras]
    wanted = sys.argv[1:]
    file = HERE / "answers.json"
    answers.update(json.loads(file.read_text()) if file.exists() else {})
    with torch.no_grad():
        for maker in makers:
            if not wanted or maker.__name__ in wanted:
                maker()
    file.write_text(json.dumps(dict(sorted(answers.items())), indent=1) + "\n")
