#!/usr/bin/python3
"""convert_tflite.py - the weights in a TFLite file of a residual net as safetensors, for tools/convert.

    tools/convert_tflite.py IN OUT

IN is a .tflite in float, or in int8 with scales per channel, of a ResNet of the original order, whose
norms the TFLite converter has folded into the convolutions, as in MLPerf Tiny's image classification.
OUT gets the tensors under the names of the usual PyTorch nets, K,C,R,S, numbers as they are: conv1,
layer1.0.conv1, layer2.0.downsample.0, fc. Units are found by the ADDs. Of int8 come besides
NAME.weight_scale, and of every operator's output NAME.scale and NAME.zero_point.
Needs nothing but Python.
"""

import argparse
import json
import os
import struct
import sys


def stop(sentence):
    sys.exit("convert_tflite.py: " + sentence)


# ---- the file, a FlatBuffer -------------------------------------------------------------------

# Fields of a table that are read: number in TFLite's schema, and what lies there: a number (a letter
# of struct), an array of them ("[" in front), a table (a dictionary), tables (in a list), or something
# whose place is to be told.
QUANTIZATION = {"scale": (2, "[f"), "zero_point": (3, "[q"), "dimension": (6, "i")}
TENSOR = {"shape": (0, "[i"), "type": (1, "b"), "buffer": (2, "I"), "quantization": (4, QUANTIZATION)}
OPERATOR = {"code": (0, "I"), "inputs": (1, "[i"), "outputs": (2, "[i"), "options": (4, "place")}
CONV_OPTIONS = {"padding": (0, "b"), "stride": (1, "i"), "dilation_w": (4, "i"), "dilation_h": (5, "i")}
CODE = {"old": (0, "b"), "new": (3, "i")}
GRAPH = {"tensors": (0, [TENSOR]), "inputs": (1, "[i"), "operators": (3, [OPERATOR])}
MODEL = {"codes": (1, [CODE]), "graphs": (2, [GRAPH]), "buffers": (4, [{"data": (0, "[B")}])}

CONV, ADD, LINEAR = 3, 0, 9
KNOWN = {ADD: "add", 1: "avgpool", CONV: "conv", LINEAR: "fc", 17: "maxpool", 19: "relu", 22: "flatten",
         25: "softmax", 34: "pad", 40: "avgpool", 60: "pad"}
OTHERS = {4: "DEPTHWISE_CONV_2D", 6: "DEQUANTIZE", 18: "MUL", 41: "SUB", 114: "QUANTIZE"}
TYPES = {0: ("F32", "f"), 2: ("I32", "i"), 9: ("I8", "b")}


class Flat:
    """Reads what schemas like these say. Numbers are little-endian, offsets count from where they
    stand."""

    def __init__(self, data):
        self.data = data

    def number(self, at, letter):
        return struct.unpack_from("<" + letter, self.data, at)[0]

    def table(self, at, schema):
        """A dictionary of the fields that are there; a table begins with where the list is that tells
        how far behind its begin each field lies, 0 for one that is not there."""
        places = at - self.number(at, "i")
        count = self.number(places, "H") // 2 - 2
        found = {}
        for name, (slot, kind) in schema.items():
            where = self.number(places + 4 + 2 * slot, "H") if slot < count else 0
            if where:
                found[name] = self.value(at + where, kind)
        return found

    def value(self, at, kind):
        if isinstance(kind, str) and len(kind) == 1:
            return self.number(at, kind)
        at += self.number(at, "I")
        if kind == "place":
            return at
        if isinstance(kind, dict):
            return self.table(at, kind)
        count, at = self.number(at, "I"), at + 4
        if isinstance(kind, list):
            return [self.value(at + 4 * i, kind[0]) for i in range(count)]
        if at + count > len(self.data):
            raise struct.error("an array beyond the end")
        if kind == "[B":
            return self.data[at:at + count]
        return struct.unpack_from(f"<{count}{kind[1:]}", self.data, at)


def read_graph(path):
    """Tensors, operators with their kind, and the net's input."""
    with open(path, "rb") as file:
        data = file.read()
    if data[4:8] != b"TFL3":
        stop(f"{path} is no TFLite file")
    flat = Flat(data)
    model = flat.table(flat.number(0, "I"), MODEL)
    if len(model["graphs"]) != 1:
        stop(f"{path} has {len(model['graphs'])} graphs, and one is read")
    graph = model["graphs"][0]
    for tensor in graph["tensors"]:
        tensor["data"] = model["buffers"][tensor.get("buffer", 0)].get("data", b"")
    for operator in graph["operators"]:
        code = model["codes"][operator.get("code", 0)]
        operator["kind"] = max(code.get("old", 0), code.get("new", 0))  # old files have only one
        if operator["kind"] == CONV:
            operator["options"] = flat.table(operator["options"], CONV_OPTIONS)
    return graph


# ---- names ------------------------------------------------------------------------------------

class Net:
    """The operators of a graph by the names that they have in PyTorch's nets."""

    def __init__(self, graph):
        self.tensors, self.operators = graph["tensors"], graph["operators"]
        self.maker = {}
        for operator in self.operators:
            kind = operator["kind"]
            if kind not in KNOWN:
                stop(f"it holds {OTHERS.get(kind, 'operators of kind %d' % kind)}, which a ResNet with "
                     "folded norms has not")
            self.maker[operator["outputs"][0]] = operator
            operator["name"] = KNOWN[kind] if kind != CONV else None
        self.stage = self.unit = self.width = 0
        for operator in self.operators:
            if operator["kind"] == ADD:
                self.name_unit(operator)
        if not self.stage:
            stop("there is no ADD, and so no residual unit")
        for operator in self.operators:
            if not operator["name"]:
                stop("a convolution belongs to no residual unit")
            if operator["kind"] == CONV and max(operator["options"].get("dilation_w", 1),
                                                operator["options"].get("dilation_h", 1)) > 1:
                stop(f"{operator['name']} is dilated, which resnet.h's convolutions are not")

    def path(self, tensor):
        """The convolutions from the unit in front to a tensor."""
        found = []
        for _ in self.operators:  # not for ever, should a damaged file lead round and round
            operator = self.maker.get(tensor)
            if not operator or operator["kind"] == ADD:
                break
            if operator["kind"] == CONV:
                found.append(operator)
            tensor = operator["inputs"][0]
        return found[::-1]

    def name_unit(self, add):
        """Where the two paths to an ADD part, the shorter is the shortcut; what they share is the
        stem."""
        shortcut, branch = sorted((self.path(tensor) for tensor in add["inputs"]), key=len)
        shared = 0
        while shared < len(shortcut) and shortcut[shared] is branch[shared]:
            shared += 1
        if shared and self.stage or len(shortcut) - shared > 1 or len(branch) == shared:
            stop("what an ADD adds is no residual unit of convolutions and its shortcut")
        for i, operator in enumerate(branch[:shared]):
            operator["name"] = f"conv{i + 1}"
        width = self.tensors[branch[-1]["inputs"][1]]["shape"][0]
        if width != self.width:
            self.stage, self.unit, self.width = self.stage + 1, 0, width
        place = f"layer{self.stage}.{self.unit}."
        self.unit += 1
        for i, operator in enumerate(branch[shared:]):
            operator["name"] = f"{place}conv{i + 1}"
        for operator in shortcut[shared:]:
            operator["name"] = place + "downsample.0"
        add["name"] = place + "add"

    def is_same(self):
        """Does a convolution of a larger kernel and stride pad as SAME, more behind than in front?"""
        convs = [operator for operator in self.operators if operator["kind"] == CONV]
        return any(self.tensors[conv["inputs"][1]]["shape"][1] > 1 and
                   conv["options"].get("stride", 1) > 1 and not conv["options"].get("padding")
                   for conv in convs)

    def weights(self):
        """Name, type, shape and numbers of each tensor, in the order of the operators."""
        for operator in self.operators:
            if operator["kind"] not in (CONV, LINEAR):
                continue
            for index, part in zip(operator["inputs"][1:3], ("weight", "bias")):
                if index >= 0:
                    yield operator["name"] + "." + part, *numbers(self.tensors[index], operator["name"])
            of = self.tensors[operator["inputs"][1]].get("quantization", {})
            scales = of.get("scale", ())
            if len(scales) > 1 and of.get("dimension"):
                stop(f"{operator['name']} has scales along dimension {of['dimension']}, not its filters")
            if scales:
                yield operator["name"] + ".weight_scale", "F32", [len(scales)], scales

    def scales(self, graph):
        """Those of an int8 net's input and outputs."""
        names = {graph["inputs"][0]: "input"}
        names.update((operator["outputs"][0], operator["name"]) for operator in self.operators)
        for index, name in names.items():
            of = self.tensors[index].get("quantization", {})
            if of.get("scale"):
                yield name + ".scale", "F32", [1], of["scale"][:1]
                yield name + ".zero_point", "I32", [1], of["zero_point"][:1]


def numbers(tensor, name):
    """Type, shape and numbers of a constant; those of convolutions lie K,R,S,C, and become K,C,R,S."""
    dtype, letter = TYPES.get(tensor.get("type", 0), (None, None))
    shape = list(tensor["shape"])
    if not dtype:
        stop(f"the weights of {name} are of another type than float32, int32 and int8")
    count = 1
    for size in shape:
        count *= size
    if count != len(tensor["data"]) // struct.calcsize(letter):
        stop(f"{name} has {len(tensor['data'])} bytes of weights, which are not {shape}")
    values = struct.unpack(f"<{count}{letter}", tensor["data"])
    if len(shape) != 4:
        return dtype, shape, values
    k, r, s, c = shape
    size = r * s * c
    return dtype, [k, c, r, s], [value for at in range(0, k * size, size) for channel in range(c)
                                 for value in values[at + channel:at + size:c]]


# ---- files ------------------------------------------------------------------------------------

LETTERS = {dtype: letter for dtype, letter in TYPES.values()}


def write(tensors, path):
    """Under another name until it is whole."""
    header, parts, end = {"__metadata__": {"format": "tflite"}}, [], 0
    for name, dtype, shape, values in tensors:
        if name in header:
            stop(f"two operators are {name}")
        parts.append(struct.pack(f"<{len(values)}{LETTERS[dtype]}", *values))
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [end, end + len(parts[-1])]}
        end += len(parts[-1])
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path = os.path.realpath(path)  # what a link leads to is replaced, and not the link
    if os.path.exists(path) and not os.path.isfile(path):
        stop(f"{path} is no plain file; write elsewhere")
    temporary = path + ".tmp"
    try:
        with open(temporary, "wb") as file:
            file.write(struct.pack("<Q", len(text)) + text + b"".join(parts))
        os.replace(temporary, path)
    except OSError as error:
        if os.path.exists(temporary):
            os.remove(temporary)
        stop(f"cannot write {path}: {error.strerror}")


def convert(path):
    graph = read_graph(path)
    net = Net(graph)
    return list(net.weights()) + list(net.scales(graph)), net


def main():
    parser = argparse.ArgumentParser(
        prog="convert_tflite.py", description=__doc__.split("\n\n", 1)[0],
        epilog="In float for tools/convert; of int8 scales and zero points come, too.")
    parser.add_argument("source", metavar="IN", help="a .tflite of a ResNet")
    parser.add_argument("target", metavar="OUT", help="the safetensors file to write")
    words = parser.parse_args()
    if not os.path.isfile(words.source):
        stop(f"{words.source} is not there, or is no file")
    if os.path.exists(words.target) and os.path.samefile(words.source, words.target):
        stop(f"{words.source} and {words.target} are the same file, which would be lost")
    try:
        tensors, net = convert(words.source)
    except OSError as error:
        stop(f"cannot read {words.source}: {error.strerror}")
    except (struct.error, LookupError, ValueError, OverflowError, RecursionError):
        stop(f"{words.source} is cut, damaged or of another form than TFLite's schema 3")
    write(tensors, words.target)
    for_float = "; padded as SAME: tools/convert --padding same" if net.is_same() else ""
    print(f"{words.target}: {len(tensors)} tensors of {words.source}, {net.stage} stages"
          + ("" if any(tensor[1] == "I8" for tensor in tensors) else for_float))


if __name__ == "__main__":
    main()
