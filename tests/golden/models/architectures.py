"""Seeds → small networks with random weights, one for each family of classifiers, and how each becomes an ONNX file."""

from dataclasses import dataclass
from functools import partial
from typing import Callable

import torch
from timm.models.cait import Cait
from timm.models.edgenext import EdgeNeXt
from timm.models.gcvit import GlobalContextVit
from timm.models.hiera import Hiera
from timm.models.pvt_v2 import PyramidVisionTransformerV2
from timm.models.twins import Twins
from timm.models.vision_transformer import VisionTransformer as TimmViT
from torch import nn
from torch.nn import functional as F
from torchvision.models import (ConvNeXt, DenseNet, EfficientNet, MobileNetV2, MobileNetV3, ShuffleNetV2,
                                VisionTransformer)
from torchvision.models.convnext import CNBlockConfig
from torchvision.models.efficientnet import FusedMBConvConfig, MBConvConfig
from torchvision.models.mobilenetv3 import InvertedResidualConfig
from torchvision.ops import Conv2dNormActivation
from transformers import (SegformerConfig, SegformerForImageClassification, SwinConfig,
                          SwinForImageClassification)

CLASSES = 10


@dataclass
class Case:
    """What one golden model is made of. `layers` picks the middle and the last feature map of the network."""

    name: str
    about: str
    network: Callable[[], nn.Module]
    layers: Callable[[nn.Module], list]
    size: int
    opset: int
    exporter: str = "torchscript"  # torchscript | dynamo | helper | tf2onnx
    layout: str = "nchw"
    colours: int = 3
    activation: str = "none"  # what the graph itself ends in
    symbolic: bool = False
    bytes_in: bool = False  # the graph takes 0..255
    fp16: bool = False
    fold: bool = True  # the exporter folds batch norms
    prefix: int = 0  # class tokens before the patches


def norm_act(channels, act):
    return nn.Sequential(nn.BatchNorm2d(channels), act)


class Residual(nn.Module):
    """The basic block of a ResNet."""

    def __init__(self, inputs, outputs, stride=1):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.skip = nn.Identity() if inputs == outputs else nn.Sequential(
            nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x):
        y = F.relu(self.norm1(self.conv1(x)))
        return F.relu(self.norm2(self.conv2(y)) + self.skip(x))


def resnet(width=8):
    return nn.Sequential(
        nn.Conv2d(3, width, 7, 2, 3, bias=False), norm_act(width, nn.ReLU()), nn.MaxPool2d(3, 2, 1),
        Residual(width, width), Residual(width, 2 * width, 2), Residual(2 * width, 4 * width), nn.AdaptiveAvgPool2d(1),
        nn.Flatten(), nn.Linear(4 * width, CLASSES))


class Mean(nn.Module):
    """Global average pooling written as a mean over both axes."""

    def forward(self, x):
        return x.mean([2, 3])


def mobilenet_v2():
    net = MobileNetV2(CLASSES, inverted_residual_setting=[[1, 32, 1, 1], [4, 48, 2, 2], [4, 64, 2, 2]], width_mult=0.25,
                      round_nearest=4)
    net.features[-1] = Conv2dNormActivation(16, 40, 1, activation_layer=nn.ReLU6)
    return nn.Sequential(net.features, Mean(), nn.Dropout(), nn.Linear(40, CLASSES))


def densenet():
    net = DenseNet(growth_rate=6, block_config=(2, 3), num_init_features=12, bn_size=2)
    return nn.Sequential(net.features, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                         nn.Linear(net.classifier.in_features, CLASSES))


def vgg():
    def stage(inputs, outputs):
        return [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]

    return nn.Sequential(
        nn.Sequential(*stage(3, 8), *stage(8, 16)), nn.Sequential(*stage(16, 16)[:2]), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(16 * 4 * 4, 48), nn.ReLU(), nn.Dropout(), nn.Linear(48, 24), nn.ReLU(), nn.Dropout(),
        nn.Linear(24, CLASSES))


def shufflenet():
    return ShuffleNetV2([2, 2, 2], [8, 16, 24, 32, 48], CLASSES)


def mobilenet_v3():
    row = partial(InvertedResidualConfig, dilation=1, width_mult=1.0)
    return MobileNetV3([row(8, 3, 8, 8, True, "RE", 2), row(8, 3, 24, 8, False, "HS", 1),
                        row(8, 5, 32, 16, True, "HS", 2)], 64, CLASSES)


def efficientnet():
    return EfficientNet([FusedMBConvConfig(1, 3, 1, 8, 8, 1), MBConvConfig(4, 3, 2, 8, 8, 2),
                         MBConvConfig(4, 5, 2, 8, 16, 1)], 0.2, last_channel=48, num_classes=CLASSES)


def convnext():
    return ConvNeXt([CNBlockConfig(12, 20, 2), CNBlockConfig(20, None, 2)], layer_scale=0.5, num_classes=CLASSES)


def vit():
    return VisionTransformer(image_size=32, patch_size=8, num_layers=3, num_heads=2, hidden_dim=24, mlp_dim=48,
                             num_classes=CLASSES)


def vit_mean():
    return TimmViT(img_size=48, patch_size=8, embed_dim=24, depth=2, num_heads=3, mlp_ratio=2, num_classes=CLASSES,
                   class_token=False, global_pool="avg")


def grey_norms():
    return nn.Sequential(
        nn.Conv2d(1, 8, 5, 2, 2), nn.InstanceNorm2d(8, affine=True), nn.LeakyReLU(0.1),
        nn.Conv2d(8, 16, 3, 2, 1), nn.GroupNorm(4, 16), nn.ELU(),
        nn.Conv2d(16, 24, 3, 1, 1), nn.GroupNorm(1, 24), nn.PReLU(24),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(24, CLASSES))


class Normalise(nn.Module):
    """0..255 → what the network was trained on, inside the graph."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1))

    def forward(self, x):
        return (x / 255 - self.mean) / self.std


class Fire(nn.Module):
    """SqueezeNet's block: squeeze, then two kernels side by side."""

    def __init__(self, inputs, squeezed, outputs):
        super().__init__()
        self.squeeze = nn.Conv2d(inputs, squeezed, 1)
        self.one = nn.Conv2d(squeezed, outputs, 1)
        self.three = nn.Conv2d(squeezed, outputs, 3, padding=1)

    def forward(self, x):
        x = F.relu(self.squeeze(x))
        return torch.cat([F.relu(self.one(x)), F.relu(self.three(x))], 1)


def squeezenet():
    return nn.Sequential(
        Normalise(), nn.Conv2d(3, 12, 3, 2), nn.ReLU(), nn.MaxPool2d(3, 2, ceil_mode=True), Fire(12, 6, 12),
        Fire(24, 8, 16), nn.Dropout(), nn.Conv2d(32, CLASSES, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())


def strided():
    return nn.Sequential(
        nn.Conv2d(3, 12, (3, 5), (1, 2), (1, 2)), nn.Tanh(), nn.AvgPool2d(3, 2, 1, count_include_pad=False),
        nn.Conv2d(12, 24, 3, 1, 2, dilation=2, groups=3), nn.PReLU(), nn.AvgPool2d((2, 1)),
        nn.Conv2d(24, 32, 3, (2, 1), 1, groups=4), nn.Softplus(), nn.ZeroPad2d((0, 1, 1, 1)), nn.AvgPool2d(3, 3),
        nn.Flatten(), nn.Linear(192, CLASSES))


def keras_like():
    return nn.Sequential(
        nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(3, 8, 3, 2), nn.ReLU6(), nn.Conv2d(8, 8, 3, 1, 1, groups=8), nn.ReLU6(),
        nn.Conv2d(8, 16, 1), nn.ReLU6(), nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(16, 24, 3, 2), nn.ReLU6(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(24, CLASSES))


class Logits(nn.Module):
    """A classifier of Hugging Face that gives its scores alone."""

    def __init__(self, config, network):
        super().__init__()
        self.net = network(config(num_labels=CLASSES, attn_implementation="eager", **self.sizes()))

    def forward(self, x):
        return self.net(pixel_values=x).logits


class Swin(Logits):
    def __init__(self):
        super().__init__(SwinConfig, SwinForImageClassification)

    def sizes(self):
        return {"image_size": 32, "patch_size": 2, "embed_dim": 8, "depths": [2, 1], "num_heads": [1, 2],
                "window_size": 4, "mlp_ratio": 2}


class Segformer(Logits):
    def __init__(self):
        super().__init__(SegformerConfig, SegformerForImageClassification)

    def sizes(self):
        return {"num_encoder_blocks": 2, "depths": [1, 1], "sr_ratios": [2, 1], "hidden_sizes": [8, 16],
                "patch_sizes": [7, 3], "strides": [4, 2], "num_attention_heads": [1, 2], "mlp_ratios": [2, 2]}


def hiera():
    return Hiera((64, 64), embed_dim=8, stages=(1, 1, 1), q_pool=2, mask_unit_size=(4, 4), mask_unit_attn=(True, True, False),
                 mlp_ratio=2.0, num_classes=CLASSES)


def pvt_v2():
    return PyramidVisionTransformerV2(depths=(1, 1), embed_dims=(8, 16), num_heads=(1, 2), sr_ratios=(2, 1),
                                      mlp_ratios=(2, 2), num_classes=CLASSES)


def twins():
    return Twins(32, 2, embed_dims=(8, 16), num_heads=(1, 2), mlp_ratios=(2, 2), depths=(2, 1), sr_ratios=(2, 1),
                 wss=(4, 4), num_classes=CLASSES)


def edgenext():
    return EdgeNeXt(dims=(8, 16, 24, 32), depths=(1, 1, 1, 2), heads=(2, 2, 2, 2), kernel_sizes=(3, 3, 3, 3),
                    global_block_counts=(0, 1, 0, 1), d2_scales=(2, 2, 2, 2), ls_init_value=0.5, expand_ratio=2,
                    num_classes=CLASSES)


def gcvit():
    return GlobalContextVit(img_size=32, window_ratio=(8, 8), embed_dim=8, depths=(2, 2), num_heads=(1, 2), mlp_ratio=2,
                            num_classes=CLASSES)


def cait():
    return Cait(32, 8, embed_dim=16, depth=1, num_heads=2, mlp_ratio=2, init_values=0.5, mlp_ratio_token_only=2,
                num_classes=CLASSES)


CASES = [
    Case("resnet", "residual blocks, batch norms left in the graph, global average pool", resnet,
         lambda n: [n[3], n[5]], 64, 9, fold=False),
    Case("mobilenet-v2", "depthwise convolutions, relu6, mean head, symbolic batch", mobilenet_v2,
         lambda n: [n[0][3], n[0][-1]], 64, 13, symbolic=True),
    Case("mobilenet-v3", "squeeze and excite, hard swish, hard sigmoid", mobilenet_v3,
         lambda n: [n.features[2], n.features[-1]], 64, 17),
    Case("densenet", "concatenations, batch norm before convolution, average pool", densenet,
         lambda n: [n[0].transition1, n[1]], 64, 18, "dynamo"),
    Case("vgg", "flattened map, three linear layers, dropout", vgg, lambda n: [n[0], n[1]], 32, 11),
    Case("efficientnet", "silu, squeeze and excite", efficientnet, lambda n: [n.features[2], n.features[-1]], 64, 18,
         "dynamo"),
    Case("shufflenet-v2", "channel shuffle and split", shufflenet, lambda n: [n.stage2, n.conv5], 96, 17),
    Case("convnext", "layer norm over channels taken apart, gelu by erf, layer scale", convnext,
         lambda n: [n.features[1][0], n.features[-1]], 48, 16),
    Case("convnext-dynamo", "the same with LayerNormalization and Gelu operators", convnext,
         lambda n: [n.features[1][0], n.features[-1]], 48, 20, "dynamo", symbolic=True),
    Case("vit", "attention, class token", vit,
         lambda n: [n.encoder.layers[0], n.encoder.layers[2].ln_1], 32, 17, prefix=1),
    Case("vit-mean", "attention, mean of the tokens", vit_mean, lambda n: [n.blocks[0], n.blocks[1]], 48, 21, "dynamo"),
    Case("grey-multilabel", "one channel, instance and group norm, leaky relu, elu, prelu, sigmoid inside", grey_norms,
         lambda n: [n[5], n[8]], 32, 13, colours=1, activation="sigmoid"),
    Case("squeezenet-softmax", "0..255 in, normalisation and softmax inside, head by a 1x1 convolution", squeezenet,
         lambda n: [n[4], n[5]], 48, 11, activation="softmax", symbolic=True, bytes_in=True),
    Case("strided", "dilated, strided, grouped, uneven kernels, tanh, softplus, average pools, padding", strided,
         lambda n: [n[4], n[7]], 32, 18, "dynamo"),
    Case("resnet-fp16", "FP16 throughout, input and output and batch norms too", partial(resnet, 6),
         lambda n: [n[3], n[5]], 64, 17, fp16=True, fold=False),
    Case("keras-like", "NHWC in, transposed inside, MatMul + Add, softmax inside", keras_like,
         lambda n: [n[4], n[9]], 48, 13, "helper", layout="nhwc", activation="softmax", symbolic=True),
    Case("swin", "windows, rolls and merged patches between tokens", Swin,
         lambda n: [n.net.swin.encoder.layers[0].downsample, n.net.swin.layernorm], 32, 17),
    Case("hiera", "tokens in the order of their pooling, in that of rows only at last", hiera,
         lambda n: [n.patch_embed, n.blocks[-1]], 64, 17),
    Case("segformer", "tokens that are maps inside an MLP and between stages", Segformer,
         lambda n: [n.net.segformer.stages[0], n.net.segformer.stages[1].layer_norm], 32, 18, "dynamo"),
    Case("pvt-v2", "the same by timm", pvt_v2, lambda n: [n.stages[0], n.stages[1]], 32, 17),
    Case("twins", "windows of tokens, positions by a convolution, mean of the tokens", twins,
         lambda n: [n.pos_block[0], n.norm], 32, 17),
    Case("edgenext", "attention over channels beside the map", edgenext, lambda n: [n.stages[1], n.stages[3]], 64, 17),
    Case("gcvit", "windows of an NHWC map, keys of all windows from a map beside it", gcvit,
         lambda n: [n.stages[1].downsample.reduction, n.stages[1]], 32, 17),
    Case("cait", "a class token that attends to the patches at last only", cait, lambda n: [n.patch_embed, n.blocks], 32,
         17),
]

KERAS = Case("keras-mobilenet-v2", "Keras by tf2onnx: NHWC in, same padding, softmax inside", None, None, 96, 15,
             "tf2onnx", layout="nhwc", activation="softmax", symbolic=True)
