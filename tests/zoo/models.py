"""The list: name → a torch module with random weights, the side of its input, exporter and opset. `*` marks what
is part of the cut; `NAME:SIDE` another side of the input than 128."""

from dataclasses import dataclass
from functools import partial
from typing import Callable

from torch import nn

CLASSES = 20


@dataclass
class Model:
    name: str
    family: str
    size: int
    cut: bool
    build: Callable[[], nn.Module] | None = None
    exporter: str = "script"  # torch's older exporter; "dynamo": the newer one; of others see make.py
    opset: int = 17
    last: bool = False  # the input has its channels last
    mean: bool = False  # the scores are the mean of the outputs
    base: str | None = None  # the model that this one is a quantised variant of, and how
    how: str | None = None


TORCHVISION = """
    resnet18* resnet50 mobilenet_v2* mobilenet_v3_small* mobilenet_v3_large shufflenet_v2_x0_5* squeezenet1_1*
    mnasnet0_5* googlenet* inception_v3:299 densenet121* efficientnet_b0* efficientnet_v2_s regnet_x_400mf*
    regnet_y_400mf* convnext_tiny:96 swin_t swin_v2_t vit_b_16:224 maxvit_t:224 alexnet:224
    resnext50_32x4d:96
"""

TIMM = """
    resnet10t* resnet26d:96 seresnet18 skresnet18* resnest14d* res2net50_14w_8s:96 ecaresnet26t:96 cspresnet50:96
    darknet17 cs3darknet_s* gernet_s* seresnext26d_32x4d:96 resnet33ts:96 gcresnet33ts:96 resnetv2_18
    resnetv2_50x1_bit:96 regnetx_002* regnety_002* regnetz_b16:96 regnetv_040:96 mobilenetv1_100* mobilenetv2_035
    mobilenetv3_small_050* tf_mobilenetv3_small_minimal_100* mobilenetv3_large_100 mobilenetv4_conv_small_035*
    mobilenetv4_conv_small mobilenetv4_hybrid_medium mobilenet_edgetpu_v2_xs efficientnet_b0 tf_efficientnet_b0
    efficientnet_lite0* tf_efficientnet_lite0 efficientnet_es:96 tf_efficientnetv2_b0* gc_efficientnetv2_rw_t:96
    tinynet_e* mnasnet_small* semnasnet_050 spnasnet_100 fbnetc_100* fbnetv3_b:96 lcnet_035* lcnet_050 ghostnet_050*
    ghostnetv2_100 ghostnetv3_050* mixnet_s* tf_mixnet_s hardcorenas_a* rexnet_100* rexnetr_100 densenetblur121d:96
    convnext_atto* convnext_zepto_rms* convnextv2_atto* convnext_atto_ols inception_next_atto* poolformer_s12*
    poolformerv2_s12 convformer_s18:96 caformer_s18:96 edgenext_xx_small* efficientformer_l1:224
    efficientformerv2_s0* efficientvit_b0* efficientvit_m0:224* mobilevit_xxs* mobilevitv2_050* mobileone_s0*
    fastvit_t8* repvit_m0_9* repghostnet_050* repvgg_a0* levit_128s:224 levit_conv_128s:224* vit_tiny_patch16_224*
    vit_tiny_r_s16_p8_224 deit_tiny_patch16_224 deit_tiny_distilled_patch16_224 cait_xxs24_224 xcit_nano_12_p16_224*
    pit_ti_224* pit_ti_distilled_224 pvt_v2_b0* swin_tiny_patch4_window7_224:224 swin_s3_tiny_224:224
    swinv2_tiny_window8_256 swinv2_cr_tiny_ns_224:224 twins_pcpvt_small twins_svt_small coat_tiny:64 coat_lite_tiny*
    convit_tiny:224* crossvit_tiny_240:240 crossvit_9_240:240 nest_tiny:224 gcvit_xxtiny:224 maxvit_pico_rw_256:256
    coatnet_pico_rw_224:224 coatnext_nano_rw_224:224 maxxvit_rmlp_nano_rw_256:256 tnt_s_patch16_224
    tnt_s_legacy_patch16_224 mixer_s32_224:224 gmixer_12_224:224 gmlp_ti16_224* resmlp_12_224:224
    convmixer_768_32:64 hgnet_tiny:96 hgnetv2_b0* hrnet_w18_small:96 dla46_c* dla34:96 dpn48b:96
    ese_vovnet19b_slim_dw* ese_vovnet19b_dw selecsls42:96 nf_regnet_b0* eca_nfnet_l0:96 nf_resnet26:96
    focalnet_tiny_srf:224 hiera_tiny_224 mambaout_femto* starnet_s050* sequencer2d_s:224 visformer_tiny
    tiny_vit_5m_224:224 eca_botnext26ts_256:256 botnet26t_256:256
    lambda_resnet26t lambda_resnet26rpt_256:256 davit_tiny mvitv2_tiny xception41:96
    vitamin_small_224:224 rdnet_tiny:96 shvit_s1* swiftformer_xs* fasternet_t0* nextvit_small:96
    vit_pwee_patch16_reg1_gap_256 vit_relpos_small_patch16_224 flexivit_small:240 vit_xsmall_patch16_clip_224
    test_vit* test_byobnet* test_nfnet* test_maxvit test_coatnet test_efficientnet_evos*
    test_efficientnet_gn* test_efficientnet_ln test_convnext3 test_mambaout
"""

# By the newer exporter.
DYNAMO = """
    tv_resnet18* tv_mobilenet_v3_small* tv_squeezenet1_1* tv_shufflenet_v2_x0_5 tv_swin_t:224 vit_tiny_patch16_224*
    convnext_atto mobilevit_xxs efficientvit_m0:224 levit_128s:224 regnety_002 mixnet_s test_vit* hf_vit
    hf_convnext hf_mobilevitv2 hf_dinov2_registers tv_vgg11_bn:64 eva02_tiny_patch14_224:112 csatv2 hieradet_small
    eca_nfnet_l0:96 volo_d1_224:224 halonet26t:256
"""

# keras.applications: NAME-WIDTH:SIDE.
KERAS = {
    "tf2onnx": """
        MobileNet-0.25* MobileNetV2-0.35 MobileNetV3Small* EfficientNetB0:64 ResNet50:64 DenseNet121:64 Xception:96
        NASNetMobile:224
    """,
    "tensorflow": """
        MobileNetV2-0.35 MobileNetV3Large:96 EfficientNetV2B0:64 ResNet50V2:64 ConvNeXtTiny:64 InceptionV3:96 VGG16:32
    """,
    "torch": """
        MobileNet-0.25 MobileNetV2-0.35* MobileNetV3Small EfficientNetB0:64 ResNet50V2:64 DenseNet121:64 ConvNeXtTiny:64
        Xception:96
    """,
}

# Ultralytics' own exporter on the architectures of its YAML files.
ULTRALYTICS = "yolov8n-cls* yolo11n-cls* yolo26n-cls yolov8s-cls:64"

# Networks as they are in training: with the heads that only serve there. NAME.EXPORTER.
HEADS = """
    tv_googlenet.script tv_inception_v3.script:299 deit_tiny_distilled_patch16_224.script*
    deit_tiny_distilled_patch16_224.dynamo hf_deit_teacher.script hf_deit_teacher.dynamo
"""

QUANTISED = {
    "tv_resnet18:64": "qdq qdq-channel qoperator dynamic",
    "tv_mobilenet_v2:64": "qdq* qdq-channel* qoperator* dynamic*",
    "mobilenetv3_small_050:96": "qdq-channel qoperator",
    "efficientnet_lite0:96": "qdq-channel qoperator",
    "regnetx_002:64": "qdq qoperator* dynamic*",
    "vit_tiny_patch16_224": "qdq* qdq-channel dynamic* nbits4* nbits8",
    "mixer_s32_224:224": "qdq dynamic nbits4",
    "test_vit:160": "qoperator dynamic nbits4* nbits8*",
    "convnext_atto:96": "qdq-channel dynamic nbits4 nbits8",
    "tv_shufflenet_v2_x0_5:96": "qdq qoperator",
    "hf_vit": "qdq dynamic nbits4 nbits8",
}

# What the package `onnx` brings along, of networks that are not too large.
LIGHT = """
    light_squeezenet light_shufflenet light_inception_v1 light_inception_v2 light_densenet121 light_resnet50
    light_zfnet512 light_bvlc_alexnet
"""


def words(text, usual=128):
    for word in text.split():
        name, _, size = word.rstrip("*").partition(":")
        yield name, int(size or usual), word.endswith("*")


def torchvision_net(name, size):
    import torchvision

    more = {"init_weights": True} if name in ("googlenet", "inception_v3") else {}
    return torchvision.models.get_model(name, weights=None, num_classes=CLASSES, **more)


def timm_net(name, size):
    import timm

    try:
        return timm.create_model(name, pretrained=False, num_classes=CLASSES, img_size=size)
    except TypeError:
        return timm.create_model(name, pretrained=False, num_classes=CLASSES)


class Logits(nn.Module):
    """A network of transformers: pixels → logits alone."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, pixel_values):
        return self.net(pixel_values=pixel_values).logits


class Heads(nn.Module):
    """A network with all of its heads, and else as in use."""

    def __init__(self, net):
        super().__init__()
        self.net = net
        if hasattr(net, "set_distilled_training"):
            net.set_distilled_training()

    def forward(self, x):
        self.net.training = True  # of the whole alone, not of its parts
        return tuple(self.net(x))


class Teacher(nn.Module):
    """DeiT of transformers: the mean of its heads, and both of them."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, pixel_values):
        made = self.net(pixel_values=pixel_values)
        return made.logits, made.cls_logits, made.distillation_logits


def heads_net(name, size):
    net = builder(name, size)()
    return net if isinstance(net, Teacher) else Heads(net)


def deep(kind, **more):
    """Networks of four stages."""
    return Logits(kind(kind.config_class(num_labels=CLASSES, **more)))


def hf_net(name, size):
    import transformers as t

    plain = dict(hidden_size=64, num_hidden_layers=3, num_attention_heads=4, intermediate_size=128, image_size=size)
    stages = dict(depths=[1, 1, 2, 1], hidden_sizes=[16, 24, 32, 48])
    vision = dict(plain, patch_size=16, num_labels=CLASSES)
    nets = {
        "vit": lambda: deep(t.ViTForImageClassification, **plain),
        "deit": lambda: deep(t.DeiTForImageClassification, **plain),
        "deit_teacher": lambda: Teacher(
            t.DeiTForImageClassificationWithTeacher(t.DeiTConfig(num_labels=CLASSES, **plain))
        ),
        "swin": lambda: deep(
            t.SwinForImageClassification,
            image_size=size,
            embed_dim=24,
            depths=[1, 2, 1, 1],
            num_heads=[2, 2, 4, 4],
            window_size=4,
        ),
        "swinv2": lambda: deep(
            t.Swinv2ForImageClassification,
            image_size=size,
            embed_dim=24,
            depths=[1, 2, 1, 1],
            num_heads=[2, 2, 4, 4],
            window_size=4,
        ),
        "convnext": lambda: deep(t.ConvNextForImageClassification, **stages),
        "convnextv2": lambda: deep(t.ConvNextV2ForImageClassification, **stages),
        "mobilevit": lambda: deep(
            t.MobileViTForImageClassification,
            image_size=size,
            hidden_sizes=[32, 48, 64],
            neck_hidden_sizes=[8, 16, 24, 32, 48, 64, 96],
        ),
        "mobilevitv2": lambda: deep(t.MobileViTV2ForImageClassification, image_size=size, width_multiplier=0.5),
        "mobilenet_v1": lambda: deep(t.MobileNetV1ForImageClassification, image_size=size, depth_multiplier=0.5),
        "mobilenet_v2": lambda: deep(t.MobileNetV2ForImageClassification, image_size=size, depth_multiplier=0.5),
        "resnet": lambda: deep(
            t.ResNetForImageClassification, embedding_size=16, hidden_sizes=[16, 32, 48, 64], depths=[1, 1, 2, 1]
        ),
        "regnet": lambda: deep(
            t.RegNetForImageClassification,
            embedding_size=16,
            hidden_sizes=[16, 32, 48, 64],
            depths=[1, 1, 2, 1],
            groups_width=8,
        ),
        "efficientnet": lambda: deep(
            t.EfficientNetForImageClassification,
            image_size=size,
            width_coefficient=0.5,
            depth_coefficient=0.5,
            hidden_dim=640,
        ),
        "poolformer": lambda: deep(
            t.PoolFormerForImageClassification, depths=[1, 1, 2, 1], hidden_sizes=[16, 32, 48, 64]
        ),
        "pvt": lambda: deep(
            t.PvtForImageClassification, image_size=size, hidden_sizes=[16, 32, 80, 64], depths=[1, 1, 2, 1]
        ),
        "pvt_v2": lambda: deep(
            t.PvtV2ForImageClassification, image_size=size, hidden_sizes=[16, 32, 80, 64], depths=[1, 1, 2, 1]
        ),
        "segformer": lambda: deep(
            t.SegformerForImageClassification,
            hidden_sizes=[16, 32, 48, 64],
            depths=[1, 1, 2, 1],
            num_attention_heads=[1, 2, 3, 4],
        ),
        "levit": lambda: deep(
            t.LevitForImageClassification,
            image_size=size,
            hidden_sizes=[64, 96, 128],
            num_attention_heads=[2, 3, 4],
            depths=[1, 1, 1],
            key_dim=[16, 16, 16],
        ),
        "bit": lambda: deep(
            t.BitForImageClassification,
            embedding_size=32,
            hidden_sizes=[64, 96, 128, 160],
            depths=[1, 1, 1, 1],
            num_groups=8,
        ),
        "beit": lambda: deep(t.BeitForImageClassification, **plain, use_relative_position_bias=True),
        "data2vec": lambda: deep(
            t.Data2VecVisionForImageClassification, **plain, use_shared_relative_position_bias=True
        ),
        "focalnet": lambda: deep(
            t.FocalNetForImageClassification,
            image_size=size,
            embed_dim=24,
            depths=[1, 1, 1, 1],
            hidden_sizes=[24, 48, 96, 192],
        ),
        "dinov2": lambda: deep(
            t.Dinov2ForImageClassification,
            image_size=size,
            patch_size=16,
            hidden_size=64,
            num_hidden_layers=3,
            num_attention_heads=4,
        ),
        "dinov2_registers": lambda: deep(
            t.Dinov2WithRegistersForImageClassification,
            image_size=size,
            patch_size=16,
            hidden_size=64,
            num_hidden_layers=3,
            num_attention_heads=4,
        ),
        "hiera": lambda: deep(
            t.HieraForImageClassification,
            image_size=[224, 224],
            embed_dim=32,
            depths=[1, 1, 2, 1],
            num_heads=[1, 2, 4, 8],
        ),
        "cvt": lambda: deep(t.CvtForImageClassification, embed_dim=[16, 32, 64], num_heads=[1, 2, 4], depth=[1, 2, 3]),
        "swiftformer": lambda: deep(
            t.SwiftFormerForImageClassification, depths=[1, 1, 2, 1], embed_dims=[16, 32, 48, 64]
        ),
        "vit_msn": lambda: deep(t.ViTMSNForImageClassification, **plain),
        "clip": lambda: Logits(t.CLIPForImageClassification(t.CLIPConfig(vision_config=vision, num_labels=CLASSES))),
        "siglip": lambda: Logits(
            t.SiglipForImageClassification(t.SiglipConfig(vision_config=vision, num_labels=CLASSES))
        ),
        "ijepa": lambda: deep(t.IJepaForImageClassification, **plain),
    }
    return nets[name]()


TRANSFORMERS = """
    vit* deit* swin swinv2 convnext* convnextv2* mobilevit* mobilenet_v1* mobilenet_v2* resnet* regnet*
    efficientnet poolformer* pvt:224 pvt_v2* segformer* levit:224 bit* beit* data2vec focalnet* dinov2*
    hiera:224 cvt swiftformer* vit_msn* clip* siglip ijepa*
"""

BUILDERS = {"tv_": torchvision_net, "hf_": hf_net}


def builder(name, size):
    for prefix, net in BUILDERS.items():
        if name.startswith(prefix):
            return partial(net, name.removeprefix(prefix), size)
    return partial(timm_net, name, size)


def all_models():
    found = []
    lists = [("torchvision", "tv_", TORCHVISION), ("timm", "", TIMM), ("transformers", "hf_", TRANSFORMERS)]
    for family, prefix, text in lists:
        for name, size, cut in words(text):
            found.append(Model(prefix + name, family, size, cut, builder(prefix + name, size)))
    for name, size, cut in words(DYNAMO):
        found.append(Model(f"{name}.dynamo", "dynamo", size, cut, builder(name, size), "dynamo", 18))
    for base, variants in QUANTISED.items():
        ((name, size, _),) = words(base)
        for how, _, cut in words(variants):
            found.append(Model(f"{name}.{how}", "quantised", size, cut, builder(name, size), base=name, how=how))
    for name, size, cut in words(HEADS):
        base, exporter = name.split(".")
        net = partial(heads_net, base, size)
        opset = 18 if exporter == "dynamo" else 17
        mean = base.startswith("deit")
        found.append(Model(f"{base}.heads-{exporter}", "heads", size, cut, net, exporter, opset, mean=mean))
    for exporter, text in KERAS.items():
        for name, size, cut in words(text):
            last = {"exporter": f"keras {exporter}", "last": True, "base": name}
            found.append(Model(f"{name}.{exporter}", "keras", size, cut, **last))
    for name, size, cut in words(ULTRALYTICS):
        found.append(Model(name, "ultralytics", size, cut, exporter="ultralytics"))
    for name in LIGHT.split():
        found.append(Model(name, "light", 224, False, exporter="Caffe2"))
    return found
