"""A network of keras.applications → ONNX. A process of its own: TensorFlow and torch do not load into one.

    python keras_net.py NAME SIDE EXPORTER FILE

`tf2onnx`: from a SavedModel, as its command does; `tensorflow` and `torch`: Keras' own export on that backend."""

import os
import subprocess
import sys
import tempfile

name, size, exporter, file = sys.argv[1:]
os.environ["KERAS_BACKEND"] = "torch" if exporter == "torch" else "tensorflow"
os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", CUDA_VISIBLE_DEVICES="")

import keras
import numpy as np
import seeds

CLASSES = 20


def network(name, size):
    """`NAME-ALPHA`: of that width."""
    name, _, alpha = name.partition("-")
    more = {"alpha": float(alpha)} if alpha else {}
    if name.startswith(("EfficientNetV2", "MobileNetV3", "ConvNeXt")):
        more["include_preprocessing"] = False
    keras.utils.set_random_seed(0)
    kind = getattr(keras.applications, name)
    return kind(weights=None, classes=CLASSES, input_shape=(size, size, 3), **more)


def enliven(net, size):
    """Batch norms that know their input, and no layer scale that silences its branch."""
    for layer in net.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
        elif type(layer).__name__ == "LayerScale":
            layer.gamma.assign(layer.gamma * 0 + 0.3)
    net(np.concatenate([seeds.image(size, seed, last=True) for seed in range(2, 6)]), training=True)


net = network(name, int(size))
enliven(net, int(size))
if exporter == "tf2onnx":
    with tempfile.TemporaryDirectory() as folder:
        net.export(folder, verbose=False)
        words = ["--saved-model", folder, "--output", file, "--opset", "17"]
        subprocess.run([sys.executable, "-m", "tf2onnx.convert", *words], check=True, capture_output=True)
else:
    net.export(file, format="onnx", verbose=False)
