"""The shipped model as transformers.js and LiteRT.js take it, in FP16: python cold.py FOLDER, which models.py made."""

import json
import shutil
import sys
from pathlib import Path

import onnx

SHIPPED = Path(__file__).resolve().parent.parent / "models" / "efficientnet-lite0"


def transformers(target):
    (target / "onnx").mkdir(parents=True, exist_ok=True)
    model = onnx.load(SHIPPED / "model.onnx")
    del model.metadata_props[:]
    given = model.graph.input[0].name
    for node in model.graph.node:
        node.input[:] = ["pixel_values" if name == given else name for name in node.input]
    model.graph.input[0].name = "pixel_values"
    onnx.save(model, target / "onnx" / "model_fp16.onnx")
    labels = (SHIPPED / "labels.txt").read_text().splitlines()
    names = {str(index): label for index, label in enumerate(labels)}
    write = lambda name, value: (target / name).write_text(json.dumps(value))
    write("config.json", {"model_type": "efficientnet", "architectures": ["EfficientNetForImageClassification"],
                          "id2label": names, "label2id": {label: int(index) for index, label in names.items()}})
    write("preprocessor_config.json", {
        "image_processor_type": "EfficientNetImageProcessor", "do_resize": True, "resample": 3,
        "size": {"height": 224, "width": 224}, "do_rescale": True, "rescale_factor": 1 / 255, "do_normalize": True,
        "image_mean": [0.5] * 3, "image_std": [0.5] * 3, "do_center_crop": False})


def main(folder):
    transformers(folder / "transformers")
    # The converter writes both precisions.
    shutil.copy(next((folder / "convert" / "tf").glob("*_float16.tflite")), folder / "model_float16.tflite")


main(Path(sys.argv[1]).resolve())
