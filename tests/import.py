#!/usr/bin/python3
"""import.py - nets of PyTorch with random weights go the whole way: torch.save, tools/convert.py,
tools/convert, and the logits of a picture are compared with PyTorch's.

    tests/import.py [NET...] [--size N]

The nets are torchvision's own, and those of timm's resnetv2, the CIFAR nets and kuangliu's as far
as they are written down here, with their names. Without NET small ones of every form; "all" stands for
all full-size ones, which takes minutes. Skips torchvision's, in words, if it is not installed.
"""

import argparse
import importlib.util
import os
import subprocess
import sys
import tempfile

import torch
from torch import nn

try:
    import torchvision
except ImportError:
    torchvision = None

F = nn.functional
HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
BOUND = 1e-4  # of the largest logit

# A weights file and pixels in, as the net gets them; logits out.
PROGRAM = r"""
#define RESNET_IMPLEMENTATION
#include "resnet.h"
int main(int count, char **words) {
    rn_error error;
    rn_desc desc;
    rn_net *net;
    FILE *in = fopen(words[2], "rb"), *out = fopen(words[3], "wb");
    size_t pixels;
    float *images, *logits;
    if (count != 5 || !in || !out || rn_load_desc(&desc, words[1], NULL, &error)) return 1;
    desc.height = desc.width = atoi(words[4]);
    desc.naive = getenv("NAIVE") != NULL; /* to tell a fault of the fast execution */
    net = rn_create_from(&desc, 1, RN_INFERENCE, words[1], NULL, NULL, &error);
    if (!net) return printf("%s\n", error.text), 1;
    pixels = (size_t)(desc.channels * desc.height * desc.width);
    images = (float *)malloc(pixels * 4);
    logits = (float *)malloc((size_t)net->desc.classes * 4);
    if (fread(images, 4, pixels, in) != pixels) return 1;
    if (rn_predict(net, rn_workspace(net), images, 1, logits, &error))
        return printf("%s\n", error.text), 1;
    fwrite(logits, 4, (size_t)net->desc.classes, out);
    return fclose(out) != 0;
}
"""


# ---- timm's resnetv2 ---------------------------------------------------------------------------

class BatchNormAct(nn.BatchNorm2d):
    def forward(self, x):
        return F.relu(super().forward(x))


class GroupNormAct(nn.GroupNorm):
    def __init__(self, channels):
        super().__init__(min(32, channels), channels)

    def forward(self, x):
        return F.relu(super().forward(x))


class EvoNormS0(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.groups = min(32, channels)
        self.weight, self.bias, self.v = (nn.Parameter(torch.ones(channels)) for _ in range(3))

    def forward(self, x):
        n, c, h, w = x.shape
        var = x.reshape(n, self.groups, -1).var(-1, unbiased=False, keepdim=True)
        deviation = (var + 1e-5).sqrt().expand(-1, -1, c // self.groups).reshape(n, c, 1, 1)
        weight, bias, v = (p.view(1, -1, 1, 1) for p in (self.weight, self.bias, self.v))
        return x * (v * x).sigmoid() / deviation * weight + bias


class StdConv2d(nn.Conv2d):
    def forward(self, x):
        flat = self.weight.flatten(1)
        mean, var = flat.mean(1), flat.var(1, unbiased=False)
        weight = ((flat - mean[:, None]) / (var[:, None] + 1e-8).sqrt()).view_as(self.weight)
        return F.conv2d(x, weight, None, self.stride, self.padding)


NORMS = {"bn": BatchNormAct, "gn": GroupNormAct, "evos": EvoNormS0}


def make_conv(conv, c, k, kernel, stride=1):
    return conv(c, k, kernel, stride, kernel // 2, bias=False)


class Downsample(nn.Module):
    def __init__(self, conv, c, k, stride, average):
        super().__init__()
        self.average = average and stride > 1
        self.conv = make_conv(conv, c, k, 1, 1 if average else stride)

    def forward(self, x):
        if self.average:
            x = F.avg_pool2d(x, 2, 2, ceil_mode=True, count_include_pad=False)
        return self.conv(x)


class PreActUnit(nn.Module):
    def __init__(self, form, c, mid, out, stride, first):
        super().__init__()
        conv, norm = form["conv"], NORMS[form["norm"]]
        bottleneck = form["bottleneck"]
        self.norm1 = norm(c)
        if bottleneck:
            self.conv1 = make_conv(conv, c, mid, 1)
            self.norm2 = norm(mid)
            self.conv2 = make_conv(conv, mid, mid, 3, stride)
            self.norm3 = norm(mid)
            self.conv3 = make_conv(conv, mid, out, 1)
        else:
            self.conv1 = make_conv(conv, c, mid, 3, stride)
            self.norm2 = norm(mid)
            self.conv2 = make_conv(conv, mid, out, 3)
        self.bottleneck = bottleneck
        if first and (bottleneck or stride > 1 or c != out):
            self.downsample = Downsample(conv, c, out, stride, form["stem"] == "deep")

    def forward(self, x):
        p = self.norm1(x)
        shortcut = self.downsample(p) if hasattr(self, "downsample") else x
        y = self.conv2(self.norm2(self.conv1(p)))
        if self.bottleneck:
            y = self.conv3(self.norm3(y))
        return y + shortcut


class Stage(nn.Module):
    def __init__(self, units):
        super().__init__()
        self.blocks = nn.Sequential(*units)

    def forward(self, x):
        return self.blocks(x)


class Stem(nn.Module):
    def __init__(self, form, width):
        super().__init__()
        conv, norm = form["conv"], NORMS[form["norm"]]
        self.form = form
        if form["stem"] == "deep":
            self.conv1 = make_conv(conv, 3, width // 2, 3, 2)
            self.norm1 = norm(width // 2)
            self.conv2 = make_conv(conv, width // 2, width // 2, 3)
            self.norm2 = norm(width // 2)
            self.conv3 = make_conv(conv, width // 2, width, 3)
        else:
            self.conv = make_conv(conv, 3, width, 7, 2)

    def forward(self, x):
        if self.form["stem"] == "deep":
            x = self.conv3(self.norm2(self.conv2(self.norm1(self.conv1(x)))))
        else:
            x = self.conv(x)
        if self.form["stem"] == "fixed":
            return F.max_pool2d(F.pad(x, (1, 1, 1, 1)), 3, 2)
        return F.max_pool2d(x, 3, 2, 1)


class Head(nn.Module):
    def __init__(self, c, classes):
        super().__init__()
        self.fc = nn.Conv2d(c, classes, 1)

    def forward(self, x):
        return self.fc(x.mean((2, 3), keepdim=True)).flatten(1)


class ResNetV2(nn.Module):
    def __init__(self, units, norm="bn", stem="", bottleneck=True, width=64, classes=1000):
        super().__init__()
        conv = StdConv2d if stem == "fixed" else nn.Conv2d
        form = {"norm": norm, "stem": stem, "bottleneck": bottleneck, "conv": conv}
        self.stem = Stem(form, width)
        stages, c = [], width
        for stage, count in enumerate(units):
            mid = width << stage
            out = mid * 4 if bottleneck else mid
            stages.append(Stage([PreActUnit(form, c if i == 0 else out, mid, out,
                                            2 if i == 0 and stage else 1, i == 0)
                                 for i in range(count)]))
            c = out
        self.stages = nn.Sequential(*stages)
        self.norm = NORMS[norm](c)
        self.head = Head(c, classes)

    def forward(self, x):
        return self.head(self.norm(self.stages(self.stem(x))))


# ---- CIFAR nets --------------------------------------------------------------------------------

class CifarUnit(nn.Module):
    """Basic or bottleneck, original or, `pre`, as kuangliu's pre-activation; shortcut A where no
    `project`."""

    def __init__(self, c, mid, stride, expansion, pre, project, bias):
        super().__init__()
        out = mid * expansion
        sizes = [(c, mid, 3), (mid, out, 3)] if expansion == 1 else \
            [(c, mid, 1), (mid, mid, 3), (mid, out, 1)]
        strided = 0 if expansion == 1 else 1
        self.pre, self.count, self.stride, self.added = pre, len(sizes), stride, out - c
        for i, (a, b, kernel) in enumerate(sizes):
            setattr(self, f"bn{i + 1}", nn.BatchNorm2d(a if pre else b))
            setattr(self, f"conv{i + 1}", nn.Conv2d(a, b, kernel, stride if i == strided else 1,
                                                    kernel // 2, bias=bias))
        if project and (stride > 1 or c != out):
            self.shortcut = nn.Sequential(nn.Conv2d(c, out, 1, stride, bias=bias))
            if not pre:
                self.shortcut.append(nn.BatchNorm2d(out))

    def forward(self, x):
        y = x
        for i in range(1, self.count + 1):
            conv, bn = getattr(self, f"conv{i}"), getattr(self, f"bn{i}")
            if self.pre:
                y = F.relu(bn(y))
                if i == 1:
                    activated = y
                y = conv(y)
            else:
                y = bn(conv(y))
                if i < self.count:
                    y = F.relu(y)
        if hasattr(self, "shortcut"):
            x = self.shortcut(activated if self.pre else x)
        elif self.stride > 1:
            x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.added // 2, self.added // 2))
        return y + x if self.pre else F.relu(y + x)


class CifarNet(nn.Module):
    def __init__(self, units, width, expansion=1, pre=False, tail=False, project=True, bias=False,
                 head="linear", classes=10):
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 3, 1, 1, bias=bias)
        self.pre, self.stages, self.head = pre, len(units), head
        if not pre:
            self.bn1 = nn.BatchNorm2d(width)
        c = width
        for stage, count in enumerate(units):
            layer = []
            for i in range(count):
                layer.append(CifarUnit(c, width << stage, 2 if stage and i == 0 else 1, expansion,
                                       pre, project, bias))
                c = (width << stage) * expansion
            setattr(self, f"layer{stage + 1}", nn.Sequential(*layer))
        if tail:
            self.bn = nn.BatchNorm2d(c)
        setattr(self, head, nn.Linear(c, classes))

    def forward(self, x):
        x = self.conv1(x)
        if not self.pre:
            x = F.relu(self.bn1(x))
        for stage in range(self.stages):
            x = getattr(self, f"layer{stage + 1}")(x)
        if hasattr(self, "bn"):
            x = F.relu(self.bn(x))
        return getattr(self, self.head)(x.mean((2, 3)))


# ---- the nets ----------------------------------------------------------------------------------

def of_torchvision(name):
    def make():
        return getattr(torchvision.models, name)(weights=None)
    return make if torchvision else None


def small_of_torchvision(block, units, **more):
    def make():
        resnet = torchvision.models.resnet
        return resnet.ResNet(getattr(resnet, block), units, num_classes=7, **more)
    return make if torchvision else None


def v2(units, **more):
    return lambda: ResNetV2(units, **more)


def cifar(units, width, **more):
    return lambda: CifarNet(units, width, **more)


U18, U50, U101, U152 = [2, 2, 2, 2], [3, 4, 6, 3], [3, 4, 23, 3], [3, 8, 36, 3]
# What tools/convert should call it; how it is made.
FULL = {
    "resnet18": ("torchvision's resnet18", of_torchvision("resnet18")),
    "resnet34": ("torchvision's resnet34", of_torchvision("resnet34")),
    "resnet50": ("torchvision's resnet50", of_torchvision("resnet50")),
    "resnet101": ("torchvision's resnet101", of_torchvision("resnet101")),
    "resnet152": ("torchvision's resnet152", of_torchvision("resnet152")),
    "wide_resnet50_2": ("torchvision's wide_resnet50_2", of_torchvision("wide_resnet50_2")),
    "resnetv2_18": ("timm's resnetv2_18", v2(U18, bottleneck=False)),
    "resnetv2_18d": ("timm's resnetv2_18d", v2(U18, bottleneck=False, stem="deep")),
    "resnetv2_34": ("timm's resnetv2_34", v2(U50, bottleneck=False)),
    "resnetv2_34d": ("timm's resnetv2_34d", v2(U50, bottleneck=False, stem="deep")),
    "resnetv2_50": ("timm's resnetv2_50", v2(U50)),
    "resnetv2_50d": ("timm's resnetv2_50d", v2(U50, stem="deep")),
    "resnetv2_101": ("timm's resnetv2_101", v2(U101)),
    "resnetv2_152": ("timm's resnetv2_152", v2(U152)),
    "resnetv2_50d_gn": ("timm's resnetv2_50d_gn", v2(U50, norm="gn", stem="deep")),
    "resnetv2_50d_evos": ("timm's resnetv2_50d_evos", v2(U50, norm="evos", stem="deep")),
    "resnetv2_50x1_bit": ("timm's resnetv2_50x1_bit", v2(U50, norm="gn", stem="fixed")),
    "resnetv2_50x1_bit_in21k": ("timm's resnetv2_50x1_bit",
                                v2(U50, norm="gn", stem="fixed", classes=21843)),
    "resnetv2_50x3_bit": ("timm's resnetv2_50x3_bit", v2(U50, norm="gn", stem="fixed", width=192)),
    "resnetv2_101x1_bit": ("timm's resnetv2_101x1_bit", v2(U101, norm="gn", stem="fixed")),
    "resnet20_cifar": ("ResNet-20", cifar([3, 3, 3], 16, project=False)),
    "resnet18_kuangliu": ("kuangliu's ResNet18", cifar(U18, 64)),
    "resnet50_kuangliu": ("kuangliu's ResNet50", cifar(U50, 64, expansion=4)),
    "preact18_kuangliu": ("kuangliu's PreActResNet18", cifar(U18, 64, pre=True)),
    "preact50_kuangliu": ("kuangliu's PreActResNet50", cifar(U50, 64, expansion=4, pre=True)),
}
# Of every form, but small.
SMALL = {
    "torchvision_basic": ("names of torchvision", small_of_torchvision("BasicBlock", [1, 1, 1, 1])),
    "torchvision_wide": ("names of torchvision",
                         small_of_torchvision("Bottleneck", [1, 1, 1, 1], width_per_group=8)),
    "torchvision_gn": ("names of torchvision",
                       small_of_torchvision("BasicBlock", [1, 1, 1, 1],
                                            norm_layer=lambda c: nn.GroupNorm(32, c))),
    "v2_basic": ("timm's resnetv2", v2([1, 2, 1], bottleneck=False, width=16, classes=7)),
    "v2_basic_deep": ("timm's resnetv2",
                      v2([1, 1, 2], bottleneck=False, width=16, stem="deep", classes=7)),
    "v2_bn": ("timm's resnetv2", v2([1, 2, 1, 1], width=16, classes=7)),
    "v2_gn_deep": ("timm's resnetv2", v2([2, 1, 1], norm="gn", stem="deep", width=64, classes=7)),
    "v2_evos_deep": ("timm's resnetv2",
                     v2([1, 1, 2], norm="evos", stem="deep", width=64, classes=7)),
    "v2_bit": ("timm's resnetv2", v2([1, 1, 1, 1], norm="gn", stem="fixed", width=32, classes=9)),
    "cifar_a": ("usual CIFAR", cifar([1, 2, 1], 8, project=False)),
    "cifar_bias": ("usual CIFAR", cifar([1, 2, 1], 8, bias=True, head="fc")),
    "cifar_pre_bias": ("pre-activation", cifar([1, 2, 1], 8, pre=True, bias=True)),
    "cifar_pre_tail": ("pre-activation", cifar([1, 1, 1, 1], 8, pre=True, tail=True)),
    "cifar_pre_bottleneck": ("pre-activation", cifar([2, 1, 1], 8, pre=True, expansion=4)),
    "cifar_bottleneck": ("usual CIFAR", cifar([2, 1, 1], 8, expansion=4, head="fc")),
}


def randomise(net, x):
    """Weights and biases of norms other than 1 and 0, running statistics those of a batch. Units
    add less than they get, as those of trained nets do: where they add as much, rounding grows
    from unit to unit until PyTorch's own float misses the bound in deep nets."""
    for module in net.modules():
        if isinstance(module, (nn.BatchNorm2d, nn.GroupNorm, EvoNormS0)):
            for p in module.parameters():
                nn.init.normal_(p, 1 if p is not module.bias else 0, 0.2)
            module.momentum = 1.0
        if isinstance(module, (nn.Conv2d, nn.Linear)) and module.bias is not None:
            nn.init.normal_(module.bias, 0, 0.1)
    for module in net.modules():
        norms = [n for n in ("bn3", "norm3", "bn2", "norm2") if hasattr(module, n)]
        if norms and hasattr(module, "conv2") and not isinstance(module, Stem):
            last = getattr(module, norms[0])
            last.weight.mul_(0.3)
            last.bias.mul_(0.3)
    net.train()
    net(x)
    net.eval()


def run(*words):
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise RuntimeError(done.stdout.strip()[-2000:])
    return done.stdout


def load_converter():
    """tools/convert.py as a module: PyTorch takes seconds to begin."""
    spec = importlib.util.spec_from_file_location("convert", os.path.join(ROOT, "tools/convert.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def import_net(name, called, make, size, work, converter):
    """The largest difference of the logits from those of double precision, of the largest logit:
    ours, and PyTorch's in float."""
    torch.manual_seed(sum(map(ord, name)))
    weights, safe, ours = (os.path.join(work, f) for f in ("net.pth", "net.safetensors", "net.rn"))
    pixels, logits = os.path.join(work, "pixels"), os.path.join(work, "logits")
    with torch.no_grad():
        net = make()
        randomise(net, torch.randn(4, 3, size, size))
        image = torch.rand(1, 3, size, size) * 2 - 1
        single, state = net(image)[0], {k: v.clone() for k, v in net.state_dict().items()}
        expected = net.double()(image.double())[0]
    zipped = sum(map(ord, name)) % 2 == 0  # both forms of files, both ways to hold a state
    torch.save(state if zipped else {"net": state, "epoch": 3}, weights,
               _use_new_zipfile_serialization=zipped)
    del net, state
    image.numpy().tofile(pixels)
    found, _ = converter.find_state(converter.load(weights), weights, None)
    converter.write(converter.choose(found, weights), safe)
    del found
    os.remove(weights)
    said = run(os.path.join(work, "convert"), safe, ours)
    os.remove(safe)
    if called not in said.split("\n")[0]:
        raise RuntimeError(f"tools/convert takes it for another net: {said}")
    run(os.path.join(work, "predict"), ours, pixels, logits, str(size))
    os.remove(ours)
    found = torch.frombuffer(bytearray(open(logits, "rb").read()), dtype=torch.float32)
    return [float((logits - expected).abs().max() / expected.abs().max())
            for logits in (found, single)]


def main():
    parser = argparse.ArgumentParser(prog="import.py")
    parser.add_argument("nets", nargs="*", metavar="NET", help=", ".join(FULL))
    parser.add_argument("--size", type=int, default=64, help="side of the picture (64)")
    words = parser.parse_args()
    nets = {"all": list(FULL)}.get("".join(words.nets[:1]), words.nets) or list(SMALL)
    compiler = os.environ.get("CC", "cc").split()
    torch.set_num_threads(1)
    converter = load_converter()
    failed = skipped = 0
    with tempfile.TemporaryDirectory() as work:
        with open(os.path.join(work, "predict.c"), "w") as file:
            file.write(PROGRAM)
        for program, source in (("convert", ROOT + "/tools/convert.c"),
                                ("predict", work + "/predict.c")):
            run(*compiler, "-O1", "-I", ROOT, "-o", os.path.join(work, program), source, "-lm")
        for name in nets:
            called, make = {**FULL, **SMALL}[name]
            if not make:
                skipped += 1
                continue
            try:
                ours, torchs = import_net(name, called, make, words.size, work, converter)
                good, text = ours <= BOUND, f"{ours:.1e} (PyTorch's float: {torchs:.1e})"
            except RuntimeError as trouble:
                good, text = False, str(trouble)
            failed += not good
            if words.nets or not good:
                print(f"import: {name}: {text}", flush=True)
    if skipped:
        print(f"import: skipped {skipped} nets, for there is no torchvision "
              "(Debian: python3-torchvision)")
    print(f"import: {len(nets) - skipped} nets, {failed} failed")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
