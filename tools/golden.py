#!/usr/bin/python3
"""Make and check golden files: small nets computed by PyTorch in double precision.

    tools/golden.py --order full_preact --width 6 net.safetensors    make one
    tools/golden.py --family timm_resnetv2 --norm gn net.safetensors likewise, of timm's family
    tools/golden.py --all tests/golden_files                         make those of the tests again
    tools/golden.py --check tests/golden_files/*.safetensors         recompute and compare

It needs Debian's python3-torch and python3-numpy. The net is written here with PyTorch's own layers
and by the paper's figures, not translated from resnet.h, so that the two can check each other.

A golden file is a safetensors file. Its __metadata__ holds the description of the net, a string for
each field of class Description; its tensors, F32 but for the labels, are

    x [N,C,H,W], labels [N] (I32)    the batch
    init/NAME                        parameters and running statistics before the first step
    logits0, loss0                   training mode with init; loss is the mean cross-entropy
    grad0/NAME                       gradient of loss0 by every parameter, without weight decay
    loss1                            loss of the second step, on the same batch
    step2/NAME                       parameters and running statistics after two steps of SGD
                                     (v = momentum v + gradient + decay w; w = w - lr v)
    eval_logits                      inference mode after the two steps

Files of --family timm_resnetv2 are pre-activation nets with timm's names for the tensors and
metadata of their own (--family timm_resnetv2 --help lists them). They also have eval_logits0
(inference mode with init), step1/NAME (the state after the first step), and for batch norms
NAME.num_batches_tracked (I64); images are within -1 and 1, and tensors lie as the safetensors
library puts them. timm rounds widths to multiples of 8, which this program does not: take channels
that are multiples of 32 for nets that timm has, too.

A ReLU has a kink at zero and max-pooling one where two values tie: a rounding error there changes
the gradient. So the seed is drawn again until every input of a ReLU in both steps, and every lead of
a winner of max-pooling, keeps a margin, and until noise of 1e-6 of the largest output of each
convolution (1x1 excepted) moves no result by more than a tenth of the bound that a float
implementation has to meet.
"""
import argparse
import dataclasses
import json
import os
import struct
import sys
import types

try:
    import numpy as np
    import torch
    from torch import nn
    from torch.nn import functional
    MISSING = None
except ImportError as error:  # --help does without
    MISSING, nn = error, types.SimpleNamespace(Module=object, Conv2d=object)

PRE_ACTIVATION = ("relu_preact", "full_preact")
CHOICES = {
    "block": ("basic", "bottleneck", "single"),
    "order": ("original", "bn_after_add", "relu_before_add") + PRE_ACTIVATION,
    "shortcut": ("identity", "scale", "exclusive_gate", "shortcut_gate", "highway", "conv1x1"),
    "resize": ("A", "B", "D"),
    "pad": ("end", "centre"),
    "stride_on": ("first", "3x3"),
    "shortcut_bn": (0, 1),
    "padding": ("symmetric", "same"),
    "stem": ("cifar", "imagenet"),
}

TIMM = "timm_resnetv2"
TIMM_CHOICES = {
    "norm": ("bn", "gn", "evonorm_s0"),
    "conv": ("plain", "ws"),  # ws: weight standardisation
    "stem": ("plain", "deep", "fixed"),  # fixed: zeros take part in the max-pool
    "down": ("conv", "avg"),
    "block": ("bottleneck", "basic"),
}

BN_EPS = 1e-5
BN_MOMENTUM = 0.1  # weight of the new value
MARGINS = {"imagenet": 1.5e-5}  # by stem; of any other 6e-5; in standard deviations of the tensor
NOISE = 1e-6  # of the largest output of a convolution
NOISE_TRIES = 4
NOISE_SHARE = 0.1  # what the noise may use up of a bound
CHECK_SHARE = 0.01  # what --check allows of a bound: 1e-6 of logits and parameters, 1e-5 of gradients

# How far a float implementation may be off, relative to a tensor's largest magnitude. For gradients
# a thousandth of the net's largest gradient is the least magnitude: some are zero by analysis.
BOUNDS = {"logits0": 1e-4, "loss0": 1e-4, "grad0": 1e-3, "loss1": 2e-4, "step2": 1e-4, "eval_logits": 2e-4,
          "eval_logits0": 1e-4, "step1": 1e-4}
GRADIENT_FLOOR = 1e-3


def check_fields(desc, choices, positive):
    """Turn strings into the fields' types and refuse what makes no net; the image's height and width
    and the units of the stages as numbers."""
    for field in dataclasses.fields(desc):
        value = getattr(desc, field.name)
        try:
            setattr(desc, field.name, field.type(value))
        except ValueError:
            raise ValueError(f"{field.name} is {value!r}, not a number") from None
    for name, words in choices.items():
        if getattr(desc, name) not in words:
            raise ValueError(f"{name} is {getattr(desc, name)!r}, not one of " + ", ".join(map(str, words)))
    for name in positive:
        if getattr(desc, name) < 1:
            raise ValueError(f"{name} is {getattr(desc, name)}, but has to be 1 at least")
    try:
        sides = [int(side) for side in desc.size.split("x")]
    except ValueError:
        sides = [0]
    if min(sides) < 1 or len(sides) > 2:
        raise ValueError(f"size is {desc.size!r}, not a number or two such as 13x11")
    desc.image = (sides[0], sides[-1])  # height and width
    desc.stages = numbers("units", desc.units)


def numbers(name, text):
    """Return a list of positive numbers that is written with commas."""
    try:
        values = [int(value) for value in text.split(",")]
    except ValueError:
        values = [0]
    if min(values) < 1:
        raise ValueError(f"{name} is {text!r}, not a list such as 2,2,2")
    return values


def fields_of_metadata(cls, metadata, optional=()):
    """Return the fields that a file's metadata hold; other keys are ignored."""
    values = {}
    for field in dataclasses.fields(cls):
        if field.name in metadata:
            values[field.name] = metadata[field.name]
        elif field.name not in optional:
            raise ValueError(f"the metadata do not say {field.name}")
    return values


@dataclasses.dataclass
class Description:
    """A net, its batch and its optimiser; the fields are the keys of the file's metadata."""
    block: str = "basic"
    order: str = "full_preact"
    shortcut: str = "identity"
    resize: str = "A"  # where the shape changes: A pads with zeros, B projects, D averages and projects
    pad: str = "end"  # where A puts the zero channels
    stride_on: str = "first"  # the convolution of a bottleneck that strides
    shortcut_bn: int = 0  # BN after the projection where the shape changes
    padding: str = "symmetric"  # of convolutions; same: as TensorFlow's SAME
    stem: str = "cifar"
    width: int = 4  # base width; 16 is the paper's for CIFAR, 64 for ImageNet
    units: str = "2,1,1"  # of each stage
    classes: int = 5
    cin: int = 3
    size: str = "8"  # height and width of the images, or such as 13x11
    batch: int = 3
    short_scale: float = 0.5  # for shortcut scale: of the shortcut
    res_scale: float = 0.5  # for shortcut scale: of the residual
    gate_bias: float = -6.0  # first bias of a gate; of the transform gate of a highway
    carry_bias: float = 0.0  # first bias of the carry gate of a highway
    lr: float = 0.05
    momentum: float = 0.9
    decay: float = 1e-4

    def __post_init__(self):
        check_fields(self, CHOICES, ("width", "classes", "cin", "batch"))
        last = self.image
        for _ in range(len(self.stages) - 1 + (2 if self.stem == "imagenet" else 0)):
            last = [(side + 1) // 2 for side in last]
        if self.batch * last[0] * last[1] == 1:
            raise ValueError("the last stage has one value a channel: BN cannot train on that, "
                             "enlarge size or batch")

    def metadata(self):
        """Return the description as strings; the carry bias only where there is a carry gate, the
        padding only where it is not symmetric."""
        fields = {name: str(value) for name, value in dataclasses.asdict(self).items()}
        if self.shortcut != "highway":
            del fields["carry_bias"]
        if self.padding == "symmetric":
            del fields["padding"]
        return fields

    @classmethod
    def from_metadata(cls, metadata):
        """Return the description that a file's metadata hold."""
        return cls(**fields_of_metadata(cls, metadata, ("carry_bias", "padding")))

    def net(self):
        return Net(self)

    choices, with_first = CHOICES, False


@dataclasses.dataclass
class TimmDescription:
    """A net of timm's resnetv2 family, likewise."""
    norm: str = "bn"
    norm_eps: float = 1e-5
    groups: int = 0  # of channels, for gn and evonorm_s0
    conv: str = "plain"
    ws_eps: float = 0.0
    stem: str = "plain"
    down: str = "conv"  # of a shortcut that strides: a 1x1 convolution, or an average pool and one
    block: str = "bottleneck"
    units: str = "1,1,1,1"
    channels: str = "32,32,32,64"  # between the units of a stage
    stem_chs: int = 16
    width_factor: int = 1  # multiplies channels and stem_chs
    classes: int = 5
    cin: int = 3
    size: str = "41x33"
    batch: int = 2
    lr: float = 0.05
    momentum: float = 0.9
    decay: float = 1e-4

    def __post_init__(self):
        check_fields(self, TIMM_CHOICES, ("stem_chs", "width_factor", "classes", "cin", "batch"))
        self.widths = [self.width_factor * width for width in numbers("channels", self.channels)]
        self.stem_width = self.width_factor * self.stem_chs
        if len(self.widths) != len(self.stages):
            raise ValueError(f"channels is {self.channels!r}, but there are {len(self.stages)} stages")
        if (self.groups > 0) != (self.norm != "bn"):
            raise ValueError(f"groups is {self.groups}, which norm {self.norm} cannot have")
        if (self.ws_eps > 0) != (self.conv == "ws"):
            raise ValueError(f"ws_eps is {self.ws_eps}, which conv {self.conv} cannot have")
        for width in self.widths:
            if self.block == "bottleneck" and width % 4:
                raise ValueError(f"channels {width} cannot be those of a bottleneck: no multiple of 4")

    def metadata(self):
        """Return the description as strings."""
        fields = {name: str(value) for name, value in dataclasses.asdict(self).items()}
        return {"family": TIMM, **fields}

    @classmethod
    def from_metadata(cls, metadata):
        """Return the description that a file's metadata hold."""
        return cls(**fields_of_metadata(cls, metadata))

    def net(self):
        return TimmNet(self)

    choices, with_first = TIMM_CHOICES, True


FAMILIES = {"resnet.h": Description, TIMM: TimmDescription}


# ---------------------------------------------------------------------------------------- the net

class SameConvolution(nn.Conv2d):
    """A convolution padded as TensorFlow's SAME: size / stride pixels, rounded up, come out, and an odd
    row or column of zeros goes to the bottom or right."""

    def forward(self, x):
        sides = []  # left, right, top, bottom
        for k in (1, 0):
            size, kernel, stride = x.shape[2 + k], self.kernel_size[k], self.stride[k]
            total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
            sides += [total // 2, total - total // 2]
        return super().forward(functional.pad(x, sides))


def convolution(desc, cin, cout, kernel, stride=1, bias=False):
    if desc.padding == "same":
        return SameConvolution(cin, cout, kernel, stride, bias=bias)
    return nn.Conv2d(cin, cout, kernel, stride, padding=kernel // 2, bias=bias)


def batch_norm(channels):
    return nn.BatchNorm2d(channels, eps=BN_EPS, momentum=BN_MOMENTUM)


class Unit(nn.Module):
    """One residual unit; the names of its layers are those of the parameters.

    first: it is the first one of its stage, so pre-activation stands before the split.
    activated: its input comes activated from the stem, so it has no first activation.
    """

    def __init__(self, desc, cin, inner, cout, stride, first, activated, relu):
        super().__init__()
        self.desc, self.first, self.activated, self.relu = desc, first, activated, relu
        if desc.block == "bottleneck":
            at = 1 if desc.stride_on == "first" else 2
            shapes = [(cin, inner, 1), (inner, inner, 3), (inner, cout, 1)]
        else:
            at = 1
            shapes = [(cin, cout, 3), (cout, cout, 3)][:1 if desc.block == "single" else 2]
        self.count = len(shapes)
        for k, (c_from, c_to, kernel) in enumerate(shapes, 1):
            self.add_module(f"conv{k}", convolution(desc, c_from, c_to, kernel, stride if k == at else 1))
        for k, (c_from, c_to, _) in enumerate(shapes, 1):
            if desc.order != "full_preact":
                self.add_module(f"bn{k}", batch_norm(c_to))
            elif k > 1 or not activated:
                self.add_module(f"bn{k}", batch_norm(c_from))

        self.stride = stride
        self.new_channels = cout - cin
        self.keeps_shape = stride == 1 and cin == cout
        self.projects = desc.shortcut == "conv1x1" or (desc.resize != "A" and not self.keeps_shape)
        self.averages = desc.resize == "D" and stride > 1
        if self.averages:
            self.shortcut_pool = nn.AvgPool2d(2, 2, ceil_mode=True, count_include_pad=False)
        if self.projects:
            self.shortcut = convolution(desc, cin, cout, 1, 1 if self.averages else stride)
            if desc.shortcut_bn and not self.keeps_shape:
                self.shortcut_bn = batch_norm(cout)
        self.gated = self.keeps_shape and desc.shortcut in ("exclusive_gate", "shortcut_gate", "highway")
        if self.gated:
            self.gate = convolution(desc, cin, cout, 1, bias=True)
            if desc.shortcut == "highway":
                self.carry = convolution(desc, cin, cout, 1, bias=True)

    def bn(self, k, x):
        return getattr(self, f"bn{k}")(x)

    def before(self, k, x):
        """What stands in front of convolution k: something in the pre-activation orders."""
        if self.desc.order not in PRE_ACTIVATION or (k == 1 and self.activated):
            return x
        return self.relu(self.bn(k, x) if self.desc.order == "full_preact" else x)

    def after(self, k, x):
        """What stands between convolution k and the next one or the addition."""
        order, last = self.desc.order, k == self.count
        if order == "full_preact" or (order == "bn_after_add" and last):
            return x
        x = self.bn(k, x)
        if order == "relu_preact" or (order == "original" and last):
            return x
        return self.relu(x)

    def shortcut_path(self, x):
        """h(x) before any scale or gate."""
        if self.projects:
            x = self.shortcut(self.shortcut_pool(x) if self.averages else x)
            return self.shortcut_bn(x) if hasattr(self, "shortcut_bn") else x
        if self.keeps_shape:
            return x
        front = self.new_channels // 2 if self.desc.pad == "centre" else 0
        x = x[:, :, ::self.stride, ::self.stride]
        return functional.pad(x, (0, 0, 0, 0, front, self.new_channels - front))

    def add(self, x, residual):
        """The two paths together; the gates read what the shortcut reads."""
        shortcut = self.shortcut_path(x)
        if self.desc.shortcut == "scale":
            return self.desc.short_scale * shortcut + self.desc.res_scale * residual
        if not self.gated:
            return shortcut + residual
        gate = torch.sigmoid(self.gate(x))
        if self.desc.shortcut == "exclusive_gate":
            return (1 - gate) * shortcut + gate * residual
        if self.desc.shortcut == "shortcut_gate":
            return (1 - gate) * shortcut + residual
        return torch.sigmoid(self.carry(x)) * shortcut + gate * residual

    def forward(self, x):
        if self.first:
            x = self.before(1, x)
        y = x
        for k in range(1, self.count + 1):
            if k > 1 or not self.first:
                y = self.before(k, y)
            y = self.after(k, getattr(self, f"conv{k}")(y))
        y = self.add(x, y)
        if self.desc.order == "bn_after_add":
            y = self.bn(self.count, y)
        return self.relu(y) if self.desc.order in ("original", "bn_after_add") else y


class Net(nn.Module):
    """The whole net: stem, stages of units, tail."""

    def __init__(self, desc):
        super().__init__()
        self.desc = desc
        self.relu = nn.ReLU()
        imagenet = desc.stem == "imagenet"
        self.conv1 = convolution(desc, desc.cin, desc.width, 7 if imagenet else 3, 2 if imagenet else 1)
        if imagenet or desc.order != "full_preact":
            self.bn1 = batch_norm(desc.width)
        if imagenet:
            self.pool = nn.MaxPool2d(3, 2, padding=1)
            self.pool_sees = "activated"
        channels = desc.width
        self.stage_names = []
        for stage, count in enumerate(desc.stages):
            inner = desc.width << stage
            cout = inner * (4 if desc.block == "bottleneck" else 1)
            units = nn.ModuleList()
            for j in range(count):
                stride = 2 if stage > 0 and j == 0 else 1
                activated = imagenet and stage == 0 and j == 0
                units.append(Unit(desc, channels, inner, cout, stride, j == 0, activated, self.relu))
                channels = cout
            self.stage_names.append(f"layer{stage + 1}")
            self.add_module(self.stage_names[-1], units)
        if desc.order == "full_preact":
            self.bn = batch_norm(channels)
        self.fc = nn.Linear(channels, desc.classes)

    def forward(self, x):
        x = self.conv1(x)
        if self.desc.stem == "imagenet":
            x = self.pool(self.relu(self.bn1(x)))
        elif self.desc.order == "relu_preact":
            x = self.bn1(x)  # the first unit brings the ReLU
        elif self.desc.order != "full_preact":
            x = self.relu(self.bn1(x))
        for name in self.stage_names:
            for unit in getattr(self, name):
                x = unit(x)
        if self.desc.order == "full_preact":
            x = self.bn(x)
        if self.desc.order in PRE_ACTIVATION:
            x = self.relu(x)
        return self.fc(x.mean((2, 3)))

    def state(self):
        """Return {name: tensor} of the parameters and running statistics, not copied."""
        return {name: tensor for name, tensor in self.state_dict(keep_vars=True).items()
                if not name.endswith("num_batches_tracked")}


# --------------------------------------------------------------------------------- timm's family

class StandardisedConvolution(nn.Conv2d):
    """A convolution by filters without their mean, of deviation 1."""

    def __init__(self, *shape, eps, **options):
        super().__init__(*shape, **options)
        self.weight_eps = eps

    def forward(self, x):
        filters = self.weight.flatten(1)
        filters = filters - filters.mean(1, keepdim=True)
        deviation = (filters.square().mean(1, keepdim=True) + self.weight_eps).sqrt()
        return functional.conv2d(x, (filters / deviation).view_as(self.weight), None, self.stride,
                                 self.padding)


class EvoNorm(nn.Module):
    """EvoNorm-S0 by its formula: x sigmoid(v x) / deviation, of an image and a group of channels."""

    def __init__(self, channels, groups, eps):
        super().__init__()
        self.groups, self.eps = groups, eps
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.v = nn.Parameter(torch.ones(channels))

    def forward(self, x):
        weight, bias, v = (p.view(1, -1, 1, 1) for p in (self.weight, self.bias, self.v))
        groups = x.reshape(x.shape[0], self.groups, -1)
        centred = groups - groups.mean(2, keepdim=True)
        deviation = (centred.square().mean(2, keepdim=True) + self.eps).sqrt()
        deviation = deviation.expand_as(groups).reshape(x.shape)
        return x * torch.sigmoid(v * x) / deviation * weight + bias


def timm_convolution(desc, cin, cout, kernel, stride=1):
    options = dict(padding=kernel // 2, bias=False)
    if desc.conv == "ws":
        return StandardisedConvolution(cin, cout, kernel, stride, eps=desc.ws_eps, **options)
    return nn.Conv2d(cin, cout, kernel, stride, **options)


def timm_norm(desc, channels):
    """A norm alone; who uses it activates behind it, see activate."""
    if desc.norm == "bn":
        return nn.BatchNorm2d(channels, eps=desc.norm_eps, momentum=BN_MOMENTUM)
    if desc.norm == "gn":
        return nn.GroupNorm(desc.groups, channels, eps=desc.norm_eps)
    return EvoNorm(channels, desc.groups, desc.norm_eps)


def activate(norm, relu, x):
    return norm(x) if isinstance(norm, EvoNorm) else relu(norm(x))


class Downsample(nn.Module):
    """The shortcut of a unit that changes the shape, and of every bottleneck stage's first."""

    def __init__(self, desc, cin, cout, stride):
        super().__init__()
        averages = desc.down == "avg" and stride > 1
        self.pool = nn.AvgPool2d(2, 2, ceil_mode=True, count_include_pad=False) if averages else None
        self.conv = timm_convolution(desc, cin, cout, 1, 1 if averages else stride)

    def forward(self, x):
        return self.conv(self.pool(x) if self.pool else x)


class TimmUnit(nn.Module):
    """norm1 conv1 norm2 conv2 (norm3 conv3) and a shortcut: projections read norm1's output, an
    identity what norm1 reads."""

    def __init__(self, desc, cin, cout, stride, first, relu):
        super().__init__()
        self.relu = relu
        mid = cout // 4
        shapes = [(cin, mid, 1), (mid, mid, 3), (mid, cout, 1)]
        if desc.block == "basic":
            shapes = [(cin, cout, 3), (cout, cout, 3)]
        strided = 2 if desc.block == "bottleneck" else 1  # the convolution that strides
        for k, (c_from, c_to, kernel) in enumerate(shapes, 1):
            self.add_module(f"norm{k}", timm_norm(desc, c_from))
            self.add_module(f"conv{k}", timm_convolution(desc, c_from, c_to, kernel,
                                                         stride if k == strided else 1))
        self.count = len(shapes)
        self.downsample = None
        if stride > 1 or cin != cout or (first and desc.block == "bottleneck"):
            self.downsample = Downsample(desc, cin, cout, stride)

    def forward(self, x):
        y = activated = activate(self.norm1, self.relu, x)
        for k in range(1, self.count + 1):
            if k > 1:
                y = activate(getattr(self, f"norm{k}"), self.relu, y)
            y = getattr(self, f"conv{k}")(y)
        return y + (self.downsample(activated) if self.downsample else x)


class TimmStem(nn.Module):
    """One convolution of 7x7, or three of 3x3 with norms between; no norm at the end."""

    def __init__(self, desc, relu):
        super().__init__()
        self.relu, self.deep = relu, desc.stem == "deep"
        if not self.deep:
            self.conv = timm_convolution(desc, desc.cin, desc.stem_width, 7, 2)
            return
        half = desc.stem_width // 2
        self.conv1 = timm_convolution(desc, desc.cin, half, 3, 2)
        self.norm1 = timm_norm(desc, half)
        self.conv2 = timm_convolution(desc, half, half, 3)
        self.norm2 = timm_norm(desc, half)
        self.conv3 = timm_convolution(desc, half, desc.stem_width, 3)

    def forward(self, x):
        if not self.deep:
            return self.conv(x)
        x = activate(self.norm1, self.relu, self.conv1(x))
        return self.conv3(activate(self.norm2, self.relu, self.conv2(x)))


class ZeroPaddedPool(nn.Module):
    """3x3/2 maximum over the image and zeros around it."""

    def forward(self, x):
        return functional.max_pool2d(functional.pad(x, (1, 1, 1, 1)), 3, 2)


class TimmNet(nn.Module):
    """The whole net: stem and pool, stages of units, norm, pooled mean, classifier."""

    def __init__(self, desc):
        super().__init__()
        self.relu = nn.ReLU()
        self.stem = TimmStem(desc, self.relu)
        self.pool_sees = "zeros" if desc.stem == "fixed" else "raw"
        self.pool = ZeroPaddedPool() if desc.stem == "fixed" else nn.MaxPool2d(3, 2, padding=1)
        self.stages = nn.ModuleList()
        cin = desc.stem_width
        for stage, (count, width) in enumerate(zip(desc.stages, desc.widths)):
            blocks = nn.ModuleList()
            for j in range(count):
                stride = 2 if stage > 0 and j == 0 else 1
                blocks.append(TimmUnit(desc, cin, width, stride, j == 0, self.relu))
                cin = width
            self.stages.append(nn.ModuleDict({"blocks": blocks}))
        self.norm = timm_norm(desc, cin)
        self.head = nn.ModuleDict({"fc": nn.Conv2d(cin, desc.classes, 1)})

    def forward(self, x):
        x = self.pool(self.stem(x))
        for stage in self.stages:
            for unit in stage["blocks"]:
                x = unit(x)
        x = activate(self.norm, self.relu, x)
        return self.head["fc"](x.mean((2, 3), keepdim=True)).flatten(1)

    def state(self):
        """Return {name: tensor} of parameters and buffers, not copied."""
        return self.state_dict(keep_vars=True)


# ------------------------------------------------------------------------------- one run of a net

class Margins:
    """Watches a net for values that come close to a kink, in standard deviations of their tensor."""

    def __init__(self, net):
        self.least = float("inf")
        self.net = net
        net.relu.register_forward_pre_hook(self.relu_input)
        if hasattr(net, "pool"):
            net.pool.register_forward_pre_hook(self.pool_input)

    def relu_input(self, module, inputs):
        z = inputs[0].detach()
        if module.training:
            self.least = min(self.least, float(z.abs().min() / z.std()))

    def pool_input(self, module, inputs):
        """Windows whose maximum is 0 do not count behind a ReLU, which stops the gradient. Where zeros
        around the image take part, windows over the edge have one more number, 0."""
        z = inputs[0].detach()
        if module.training:
            padded = functional.pad(z, (1, 1, 1, 1), value=float("-inf"))
            windows = padded.unfold(2, 3, 2).unfold(3, 3, 2).flatten(4)
            if self.net.pool_sees == "zeros":
                over = windows.isinf().any(4, keepdim=True)
                zero = torch.where(over, torch.zeros_like(windows[..., :1]), windows.min())
                windows = torch.cat((windows, zero), 4)
            best = windows.topk(2, dim=4).values
            lead = best[..., 0] - best[..., 1]
            if self.net.pool_sees == "activated":
                lead = lead[best[..., 0] > 0]
            if lead.numel():
                self.least = min(self.least, float(lead.min() / z.std()))


def add_noise(net, seed):
    """Make every convolution of more than one pixel add noise to its output, as Winograd's do."""
    generator = torch.Generator().manual_seed(seed)

    def noisy(_module, _inputs, output):
        noise = torch.rand(output.shape, generator=generator, dtype=output.dtype) * 2 - 1
        return output + noise * NOISE * output.detach().abs().max()

    for module in net.modules():
        if isinstance(module, nn.Conv2d) and module.kernel_size != (1, 1):
            module.register_forward_hook(noisy)


def load(net, init):
    """Set the net's parameters and running statistics; the names have to be the same."""
    state = net.state()
    unknown, missing = sorted(set(init) - set(state)), sorted(set(state) - set(init))
    if unknown or missing:
        raise ValueError("the tensors init/* are not those of the described net: "
                         + "; ".join(f"{what} {', '.join(names[:5])}"
                                     for what, names in (("unknown", unknown), ("missing", missing))
                                     if names))
    with torch.no_grad():
        for name, tensor in state.items():
            if tuple(tensor.shape) != init[name].shape:
                raise ValueError(f"init/{name} has shape {list(init[name].shape)}, "
                                 f"the described net wants {list(tensor.shape)}")
            tensor.copy_(torch.from_numpy(init[name].copy()))


def run(desc, inputs, noise_seed=None):
    """Do two steps and an inference; return the results by name and the least margin.

    inputs: x, labels and init/* as arrays, already rounded to float.
    """
    net = desc.net().double()
    load(net, {name[5:]: array for name, array in inputs.items() if name.startswith("init/")})
    margins = Margins(net)
    if noise_seed is not None:
        add_noise(net, noise_seed)
    x = torch.from_numpy(inputs["x"].astype(np.float64))
    labels = torch.from_numpy(inputs["labels"].astype(np.int64))
    optimiser = torch.optim.SGD(net.parameters(), lr=desc.lr, momentum=desc.momentum,
                                weight_decay=desc.decay)
    results = {}
    if desc.with_first:
        net.eval()
        with torch.no_grad():
            results["eval_logits0"] = net(x).numpy()
    net.train()
    for step in range(2):
        optimiser.zero_grad()
        logits = net(x)
        loss = functional.cross_entropy(logits, labels)
        loss.backward()
        results[f"loss{step}"] = loss.detach().reshape(1).numpy()
        if step == 0:
            results["logits0"] = logits.detach().numpy()
            for name, parameter in net.named_parameters():
                results[f"grad0/{name}"] = parameter.grad.numpy().copy()
        optimiser.step()
        if step == 1 or desc.with_first:
            for name, tensor in net.state().items():
                results[f"step{step + 1}/{name}"] = tensor.detach().numpy().copy()
    net.eval()
    with torch.no_grad():
        results["eval_logits"] = net(x).numpy()
    return results, margins.least


def worst(results, reference):
    """Return the largest deviation, as a share of its bound, and the name of its tensor."""
    if set(results) != set(reference):
        odd = sorted(set(results) ^ set(reference))
        raise ValueError(f"some tensors are missing or too many: {', '.join(odd[:5])}")
    floor = GRADIENT_FLOOR * max(np.abs(array).max() for name, array in reference.items()
                                 if name.startswith("grad0/"))
    most, where = 0.0, "none"
    for name, array in reference.items():
        if array.shape != results[name].shape:
            raise ValueError(f"{name} has shape {list(array.shape)}, not {list(results[name].shape)}")
        kind = name.split("/")[0]
        scale = max(np.abs(array).max(), floor if kind == "grad0" else 1e-30)
        share = np.abs(results[name] - array).max() / (scale * BOUNDS[kind])
        if not share <= most:
            most, where = float(share), name
        if np.isnan(most):
            break
    return most, where


# ---------------------------------------------------------------------------------------- drawing

def draw(desc, seed):
    """Return a random batch and random parameters, rounded to float.

    Convolutions by He with the fan-out; BN scales, shifts and running statistics are off their usual
    first values, so that a test sees them; gate biases are as described.
    """
    rng = np.random.default_rng(seed)
    images = (desc.batch, desc.cin, *desc.image)
    arrays = {"x": rng.uniform(-1, 1, images) if desc.with_first else rng.standard_normal(images),
              "labels": rng.integers(0, desc.classes, desc.batch)}
    for name, tensor in desc.net().state().items():
        shape = tuple(tensor.shape)
        normal = rng.standard_normal(shape)
        layer, _, kind = name.rpartition(".")
        if kind == "num_batches_tracked":
            array = np.zeros(shape)
        elif layer == "head.fc":
            array = rng.uniform(-1, 1, shape) / np.sqrt(desc.widths[-1])
        elif layer == "fc":
            array = rng.uniform(-1, 1, shape) / np.sqrt(desc.width << (len(desc.stages) - 1))
        elif len(shape) == 4:
            array = normal * np.sqrt(2 / (shape[0] * shape[2] * shape[3]))
        elif layer.endswith(".gate"):
            array = np.full(shape, desc.gate_bias)
        elif layer.endswith(".carry"):
            array = np.full(shape, desc.carry_bias)
        elif kind in ("weight", "running_var", "v"):
            array = 1 + 0.1 * normal.clip(-5, 5)
        else:
            array = 0.1 * normal
        arrays[f"init/{name}"] = array
    return as_stored(arrays)


def as_stored(arrays):
    """Return the arrays in the types that files have them in."""
    def dtype(name):
        return np.int32 if name == "labels" else np.int64 if name.endswith("tracked") else np.float32

    return {name: array.astype(dtype(name)) for name, array in arrays.items()}


def make(desc, path, seed, margin, tries):
    """Write a golden file with the first seed, from SEED on, whose draw is steady."""
    if margin is None:
        margin = MARGINS.get(desc.stem, 6e-5)
    noisy = 0
    for used in range(seed, seed + tries):
        inputs = draw(desc, used)
        results, least = run(desc, inputs)
        if not least >= margin:
            continue
        share = max(worst(run(desc, inputs, noise)[0], results)[0] for noise in range(NOISE_TRIES))
        if share <= NOISE_SHARE:
            break
        noisy += 1
    else:
        raise ValueError(f"none of {tries} seeds is steady: {tries - noisy} came too close to a kink (make "
                         f"the net, the images or the margin smaller, or gates less closed), {noisy} were "
                         "too sensitive to noise (make the images or the batch larger)")
    arrays = {**inputs, **as_stored(results)}
    if desc.with_first:  # as the safetensors library has it: wide numbers first, then by name
        arrays = dict(sorted(arrays.items(),
                             key=lambda item: (ORDER.index(item[1].dtype.name), item[0].encode())))
    write_safetensors(path, arrays, {**desc.metadata(), "seed": str(used)})
    print(f"{path}: {os.path.getsize(path)} bytes, seed {used}, margin {least:.1e}, "
          f"noise takes {share:.3f} of the bounds")


def check(path):
    """Recompute a golden file from its description and its init/*; return whether it agrees."""
    arrays, metadata = read_safetensors(path)
    family = metadata.get("family", "resnet.h")
    if family not in FAMILIES:
        raise ValueError(f"family is {family!r}, not one of {', '.join(FAMILIES)}")
    desc = FAMILIES[family].from_metadata(metadata)
    inputs = {name: array for name, array in arrays.items()
              if name in ("x", "labels") or name.startswith("init/")}
    want = {name: array for name, array in arrays.items() if name not in inputs}
    shape = (desc.batch, desc.cin, *desc.image)
    if "x" not in inputs or inputs["x"].shape != shape:
        raise ValueError(f"there is no tensor x of shape {list(shape)}")
    if "labels" not in inputs or inputs["labels"].shape != shape[:1]:
        raise ValueError(f"there is no tensor labels of shape {list(shape[:1])}")
    if inputs["labels"].min() < 0 or inputs["labels"].max() >= desc.classes:
        raise ValueError(f"a label is not in 0 .. {desc.classes - 1}")
    results, least = run(desc, inputs)
    share, where = worst(results, want)
    good = share <= CHECK_SHARE
    print(f"{path}: {'agrees' if good else 'DIFFERS'}, worst {where} at {share:.1e} of its bound; "
          f"margin {least:.1e}")
    return good


def check_or_say_why(path):
    """Like check, but a file that cannot be checked counts as one that does not agree."""
    try:
        return check(path)
    except (OSError, ValueError) as error:
        print(f"golden.py: {error if isinstance(error, OSError) else f'{path}: {error}'}", file=sys.stderr)
        return False


# ------------------------------------------------------------------------------ safetensors files

DTYPES = {"F32": "<f4", "I32": "<i4", "I64": "<i8"}
NAMES = {"float32": "F32", "int32": "I32", "int64": "I64"}
ORDER = ("int64", "float32", "int32")  # of the tensors in files of timm's family


def write_safetensors(path, arrays, metadata):
    """Write {name: array} and a dictionary of strings, to a temporary name first."""
    header, offset = {"__metadata__": metadata}, 0
    for name, array in arrays.items():
        header[name] = {"dtype": NAMES[array.dtype.name], "shape": list(array.shape),
                        "data_offsets": [offset, offset + array.nbytes]}
        offset += array.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path + ".tmp", "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        for name, array in arrays.items():
            f.write(array.astype(DTYPES[header[name]["dtype"]]).tobytes())
    os.replace(path + ".tmp", path)


def read_safetensors(path):
    """Return ({name: array}, metadata) of a file."""
    with open(path, "rb") as f:
        data = f.read()
    try:
        length, = struct.unpack("<Q", data[:8])
        header = json.loads(data[8:8 + length])
        metadata = header.pop("__metadata__", {})
        body, arrays = data[8 + length:], {}
        for name, entry in header.items():
            begin, end = entry["data_offsets"]
            array = np.frombuffer(body[begin:end], DTYPES[entry["dtype"]])
            arrays[name] = array.reshape(entry["shape"])
    except (struct.error, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a safetensors file of F32, I32 and I64 tensors ({error})") from None
    return arrays, metadata


# ----------------------------------------------------------------------------------- command line

# The files of the tests: together they have every order, block, shortcut, resize shortcut, place of
# the stride, padding and stem, odd sizes, and channel counts that are no multiple of a vector.
ALL = {
    "basic_original_a_centre": dict(order="original", pad="centre", size=9, cin=1),
    "basic_original_scale": dict(order="original", shortcut="scale", res_scale=0.75, size=8, batch=4),
    "basic_bn_after_add_b_bn": dict(order="bn_after_add", resize="B", shortcut_bn=1, units="1,1,1",
                                    size=7, batch=4),
    "basic_relu_before_add": dict(order="relu_before_add", units="1,1,1", size=11, cin=2),
    "basic_relu_before_add_shortcut_gate": dict(order="relu_before_add", shortcut="shortcut_gate",
                                                gate_bias=-2, pad="centre", size=6, batch=4),
    "basic_relu_preact_b": dict(order="relu_preact", resize="B", size=9),
    "basic_full_preact_conv1x1": dict(shortcut="conv1x1", size=9),
    "basic_full_preact_exclusive_gate": dict(shortcut="exclusive_gate", gate_bias=-1, size=7, cin=2),
    "basic_full_preact_highway": dict(shortcut="highway", gate_bias=-1, carry_bias=1, size=10, cin=1),
    "single_original_conv1x1": dict(block="single", order="original", shortcut="conv1x1", width=6,
                                    units="1,1,1", size=8, cin=2),
    "single_full_preact": dict(block="single", width=5, size=12, cin=1),
    "bottleneck_original_b_bn": dict(block="bottleneck", order="original", resize="B", shortcut_bn=1,
                                     stride_on="3x3", units="1,1,1", size=9, batch=4, cin=2),
    "bottleneck_relu_preact_a_centre": dict(block="bottleneck", order="relu_preact", pad="centre",
                                            units="1,1,1", size=12, batch=4, cin=1),
    "imagenet_original_b_bn": dict(order="original", stem="imagenet", resize="B", shortcut_bn=1,
                                   width=2, units="1,1,1,1", size=33, cin=1, batch=4, lr=0.01),
    "imagenet_relu_preact_single": dict(block="single", order="relu_preact", stem="imagenet", resize="B",
                                        width=3, units="1,2,1,1", size=33, cin=1, batch=4, lr=0.01),
    "basic_original_d_bn": dict(order="original", resize="D", shortcut_bn=1, units="1,1,1", size="13x11"),
    "bottleneck_full_preact_d": dict(block="bottleneck", resize="D", stride_on="3x3", units="1,1,1",
                                     size=9, batch=4, cin=2),
    "basic_original_b_bn_same": dict(order="original", resize="B", shortcut_bn=1, padding="same",
                                     units="1,1,1", size=16),
    "imagenet_original_d_same": dict(order="original", stem="imagenet", resize="D", padding="same",
                                     width=3, units="1,1,1", size="48x32", cin=1, lr=0.01),
}

# Those of timm's family: together they have every norm, kind of convolution, stem, projection and
# block, stages that project though the width stays and such that do not, one channel a group and
# one group, and images of one channel.
ALL_TIMM = {
    "timm_bn_bottleneck": dict(units="2,1", channels="12,16", stem_chs=7, cin=1, size="27x21", batch=3),
    "timm_bn_basic_deep_avg": dict(stem="deep", down="avg", block="basic", units="1,1", channels="4,4",
                                   stem_chs=4, cin=1, size="36x30", batch=3),
    "timm_gn_basic_deep": dict(norm="gn", groups=1, stem="deep", block="basic", units="1,1",
                               channels="5,4", stem_chs=6, size="25x34"),
    "timm_evos_deep_avg": dict(norm="evonorm_s0", groups=3, stem="deep", down="avg", units="1,1",
                               channels="12,12", stem_chs=6, size="41x26"),
    "timm_bit_ws_gn_fixed": dict(norm="gn", groups=2, conv="ws", ws_eps=1e-8, stem="fixed",
                                 units="1,2", channels="8,8", stem_chs=3, width_factor=2, cin=1,
                                 size="33x33", lr=0.002),
    "timm_evos_basic_ws_fixed_avg": dict(norm="evonorm_s0", groups=3, conv="ws", ws_eps=1e-6,
                                         stem="fixed", down="avg", block="basic", units="1,1",
                                         channels="6,6", stem_chs=3, cin=1, size="30x39", lr=0.002),
}


def arguments():
    """Return the parsed command line. The family comes first: it decides what else there is."""
    family = argparse.ArgumentParser(add_help=False)
    family.add_argument("--family", choices=tuple(FAMILIES), default="resnet.h",
                        help="whose nets (default %(default)s)")
    cls = FAMILIES[family.parse_known_args()[0].family]
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, parents=[family])
    parser.add_argument("output", nargs="?", help="the file to make")
    parser.add_argument("--all", metavar="DIR", help="make the files of the tests in DIR, of all families")
    parser.add_argument("--check", nargs="+", metavar="FILE", help="recompute these files and compare")
    parser.add_argument("--seed", type=int, default=1, help="first seed to try (default %(default)s)")
    parser.add_argument("--tries", type=int, default=2000, metavar="N",
                        help="number of seeds to try (default %(default)s)")
    parser.add_argument("--margin", type=float,
                        help="least distance from zero of a ReLU's input, in standard deviations "
                             "(default 6e-5, with the stem imagenet 1.5e-5)")
    group = parser.add_argument_group("description of the net")
    for field in dataclasses.fields(cls):
        group.add_argument("--" + field.name.replace("_", "-"), type=field.type, default=field.default,
                           choices=cls.choices.get(field.name),
                           metavar=None if field.name in cls.choices else field.type.__name__.upper(),
                           help="default %(default)s")
    args = parser.parse_args()
    if sum(mode is not None for mode in (args.output, args.all, args.check)) != 1:
        parser.error("name one file to make, or give --all DIR or --check FILE...")
    return args


def main():
    args = arguments()
    if MISSING:
        sys.exit(f"golden.py: {MISSING}: install python3-torch and python3-numpy")
    torch.set_num_threads(1)
    try:
        if args.check:
            bad = sum(not check_or_say_why(path) for path in args.check)
            sys.exit(1 if bad else 0)
        if args.all:
            os.makedirs(args.all, exist_ok=True)
            jobs = [(os.path.join(args.all, name + ".safetensors"), cls(**fields))
                    for cls, nets in ((Description, ALL), (TimmDescription, ALL_TIMM))
                    for name, fields in nets.items()]
        else:
            cls = FAMILIES[args.family]
            jobs = [(args.output, cls(**{field.name: getattr(args, field.name)
                                         for field in dataclasses.fields(cls)}))]
        for path, desc in jobs:
            make(desc, path, args.seed, args.margin, args.tries)
    except (OSError, ValueError) as error:
        sys.exit(f"golden.py: {error}")


if __name__ == "__main__":
    main()
