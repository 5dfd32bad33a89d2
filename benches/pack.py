"""An ONNX file of a classifier → a folder of ours beside it, with the weights as they are."""

import subprocess

CLASSES = 1000


def pack(target, name, whylens):
    """target/original.onnx → target/packed, by the native tool `whylens`."""
    (target / "labels.txt").write_text("".join(f"class {i}\n" for i in range(CLASSES)))
    subprocess.run([whylens, "pack", target / "original.onnx", "--labels", target / "labels.txt", "--out", target / "packed",
                    "--name", name, "--precision", "fp32", "--resize", "exact", "--scale", "1/255", "--mean", "0.5",
                    "--std", "0.5", "--activation", "softmax", "--channels", "rgb"], check=True, capture_output=True, text=True)
