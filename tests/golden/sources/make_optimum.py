"""A small classifier as `optimum-cli export onnx` writes it, and what optimum's own pipeline answers.

    python -m venv env && env/bin/pip install optimum-onnx "transformers<4.58" torch torchvision pillow onnxscript
    env/bin/python tests/golden/sources/make_optimum.py

A script of its own, since optimum needs an older transformers than the one whose processors `make.py` writes.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
import transformers as hf
from make import HERE, LABELS, folder, photos
from optimum.onnxruntime import ORTModelForImageClassification

torch.manual_seed(3)
path = folder("optimum-cli")
config = hf.ConvNextConfig(
    hidden_sizes=[8, 16], depths=[1, 1], num_stages=2, image_size=64, id2label=dict(enumerate(LABELS)),
    label2id={label: at for at, label in enumerate(LABELS)}, initializer_range=0.5,
)
with tempfile.TemporaryDirectory() as saved:
    hf.ConvNextForImageClassification(config).eval().save_pretrained(saved)
    hf.ConvNextImageProcessor(size={"shortest_edge": 64}, crop_pct=0.875).save_pretrained(saved)
    tool = Path(sys.executable).with_name("optimum-cli")
    subprocess.run([tool, "export", "onnx", "--model", saved, "--task", "image-classification", path], check=True)

model = ORTModelForImageClassification.from_pretrained(path)
processor = hf.AutoImageProcessor.from_pretrained(path, use_fast=False)
classify = hf.pipeline("image-classification", model=model, image_processor=processor, top_k=None)
answers = json.loads((HERE / "answers.json").read_text())
answers["optimum-cli"] = {}
for name, photo in photos():
    scores = {found["label"]: found["score"] for found in classify(photo)}
    answers["optimum-cli"][name] = [round(scores[label], 5) for label in LABELS]
(HERE / "answers.json").write_text(json.dumps(dict(sorted(answers.items())), indent=1) + "\n")
