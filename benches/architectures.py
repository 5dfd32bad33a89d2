"""Classifiers of timm and torchvision → ONNX and folders of ours: python architectures.py CACHE WHYLENS [NAME…]

The weights are random: speed does not depend on them. All take 224 × 224 pixels. One that cannot be exported or packed is
named in CACHE/failed.json, and the others follow.
"""

import json
import subprocess
import sys
import warnings
from pathlib import Path

import timm
import torch
import torchvision

from pack import CLASSES, pack

SIDE = 224
TORCHVISION = ["alexnet", "googlenet", "shufflenet_v2_x1_0", "squeezenet1_1"]
TIMM = [
    "cait_xxs24_224", "coat_lite_tiny", "convnext_atto", "convnextv2_atto", "cspresnet50", "densenet121", "dla34",
    "edgenext_xx_small", "efficientformerv2_s0", "efficientnet_b0", "efficientnet_lite1", "efficientvit_b0", "fastvit_t8",
    "ghostnet_100", "hgnetv2_b0", "inception_next_atto", "levit_128s", "mixnet_s", "mnasnet_100", "mobilenetv3_large_100",
    "mobilenetv4_conv_small", "mobileone_s0", "mobilevit_xxs", "pit_ti_224", "poolformer_s12", "pvt_v2_b0", "regnety_004",
    "repvgg_a0", "res2net50_26w_4s", "resmlp_12_224", "resnet50", "resnext50_32x4d", "rexnet_100", "starnet_s1",
    "swin_tiny_patch4_window7_224", "visformer_tiny", "vit_tiny_patch16_224",
]


def network(name):
    torch.manual_seed(0)
    if name in TORCHVISION:
        more = {"init_weights": True, "aux_logits": False} if name == "googlenet" else {}
        model = getattr(torchvision.models, name)(weights=None, **more)
    else:
        model = timm.create_model(name, pretrained=False, exportable=True, num_classes=CLASSES)
    for parameter in model.parameters():
        # Some heads begin as zeros, and then no scores could be compared.
        if parameter.dim() > 1 and not parameter.any():
            torch.nn.init.normal_(parameter, std=0.02)
    for module in model.modules():
        # As trained ones have them, so that they are not folded away as ones and zeros.
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    return model.eval()


def export(name, file):
    part = file.with_suffix(".part")
    torch.onnx.export(network(name), torch.randn(1, 3, SIDE, SIDE), part, opset_version=17, dynamo=False,
                      input_names=["input"], output_names=["logits"])
    part.rename(file)


def told(error):
    """What went wrong, in one line."""
    if isinstance(error, subprocess.CalledProcessError):
        return f"whylens pack: {error.stderr.strip().splitlines()[-1]}"
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0]}"


def main(cache, whylens, names):
    warnings.filterwarnings("ignore")
    list_of_failed = cache / "failed.json"
    failed = json.loads(list_of_failed.read_text()) if list_of_failed.exists() else {}
    for name in names or sorted([*TORCHVISION, *TIMM]):
        target = cache / name
        target.mkdir(parents=True, exist_ok=True)
        original = target / "original.onnx"
        failed.pop(name, None)
        try:
            if not original.exists():
                export(name, original)
            pack(target, name, whylens)
            print(f"{name}: {original.stat().st_size / 1e6:.1f} MB", flush=True)
        except Exception as error:  # the others do not depend on it
            failed[name] = told(error)
            print(f"{name} fails: {failed[name]}", flush=True)
    list_of_failed.write_text(json.dumps(failed, indent=2))


main(Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve(), sys.argv[3:])
