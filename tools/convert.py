#!/usr/bin/python3
"""convert.py - the weights in a PyTorch file (.pth, .pt) as safetensors, for tools/convert.

    tools/convert.py IN OUT [--key NAME]

IN is what torch.save(model.state_dict(), IN) writes, in the zip form or the old one, or a
dictionary that holds such a state under "state_dict", "model_state_dict", "model" or "net", or under --key.
Only weights are loaded: a pickle may run any program, so whatever else it asks for is refused.
Tensors come out in the order of IN, contiguous, with names, shapes and numbers as they are.
Needs PyTorch 1.13 or later and NumPy (Debian: python3-torch has both).
"""

import argparse
import json
import os
import pickle
import struct
import sys

KEYS = ("state_dict", "model_state_dict", "model", "net")
INSTEAD = "in Python, where the model is: torch.save(model.state_dict(), 'weights.pth')"


def stop(sentence):
    sys.exit("convert.py: " + sentence)


try:
    import torch
except ImportError:
    stop("PyTorch is not there; on Debian: apt-get install python3-torch, and /usr/bin/python3")

DTYPES = {
    torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16",
    torch.int64: "I64", torch.int32: "I32", torch.int16: "I16", torch.int8: "I8",
    torch.uint8: "U8", torch.bool: "BOOL",
}
for name, dtype in (("float8_e4m3fn", "F8_E4M3"), ("float8_e5m2", "F8_E5M2")):  # later versions
    if hasattr(torch, name):
        DTYPES[getattr(torch, name)] = dtype


class WeightsUnpickler(pickle.Unpickler):
    """Builds nothing but dictionaries and tensors."""

    def find_class(self, module, name):
        plain = {"collections": ("OrderedDict",), "torch": ("Size", "device"),
                 "torch._utils": ("_rebuild_tensor_v2", "_rebuild_parameter")}
        if name in plain.get(module, ()) or module == "torch" and name.endswith("Storage"):
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"Unsupported class {module}.{name}")


class WeightsPickle:
    """What torch.load wants of a module of pickles."""
    Unpickler = WeightsUnpickler

    @staticmethod
    def load(file, **options):
        return WeightsUnpickler(file, **options).load()


def load_weights(path):
    """PyTorch's own reader of weights; that of 1.13 refuses any number with a point, as a
    checkpoint's accuracy is (pickle's operand 71): such files go through one as strict as it."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if not str(error).rstrip().endswith("operand 71"):
            raise
    return torch.load(path, map_location="cpu", pickle_module=WeightsPickle)


def load(path):
    """What the file holds, if that is weights alone."""
    try:
        with open(path, "rb") as file:
            begin = file.read(16)
    except OSError as error:
        stop(f"cannot read {path}: {error.strerror}")
    if begin[8:9] == b"{":
        stop(f"{path} is safetensors already: give it to tools/convert")
    try:
        return load_weights(path)
    except pickle.UnpicklingError as error:
        reason = str(error).split("WeightsUnpickler error: ")[-1].split("\n")[0].rstrip(". ")
        stop(f"{path} holds more than weights, and is not loaded, for it could run any program "
             f"({reason}); {INSTEAD}")
    except TypeError:
        stop(f"PyTorch {torch.__version__} cannot load weights alone; 1.13 or later can")
    except Exception as error:  # what a damaged file raises has no common type
        reason = str(error).split("\n")[0].rstrip(". ")
        stop(f"{path} is cut, damaged or not of torch.save ({reason}); fetch it again, or, if it "
             f"is TorchScript, {INSTEAD}")


def find_state(loaded, path, key):
    """The dictionary of tensors, and how it was found."""
    if key is not None:
        if not isinstance(loaded, dict) or key not in loaded:
            there = ", ".join(map(str, loaded)) if isinstance(loaded, dict) else "no keys"
            stop(f"{path} has no --key {key}; it has {there[:400]}")
        return loaded[key], f" under {key}"
    if isinstance(loaded, dict) and not any(torch.is_tensor(v) for v in loaded.values()):
        for key in KEYS:
            if isinstance(loaded.get(key), dict):
                return loaded[key], f" under {key}"
    return loaded, ""


def choose(state, path):
    """Its tensors; what else is in it is told and left out."""
    if not isinstance(state, dict) or not any(torch.is_tensor(v) for v in state.values()):
        there = ": " + ", ".join(map(str, state))[:400] if isinstance(state, dict) else ""
        stop(f"{path} holds no dictionary of tensors{there}; see --key, or {INSTEAD}")
    others = [str(name) for name, value in state.items() if not torch.is_tensor(value)]
    if others:
        print(f"left out, for it is no tensor: {', '.join(others)[:400]}")
    tensors = {str(name): value.detach() for name, value in state.items() if torch.is_tensor(value)}
    for name, tensor in tensors.items():
        if tensor.layout != torch.strided or tensor.dtype not in DTYPES:
            kind = tensor.dtype if tensor.layout == torch.strided else tensor.layout
            stop(f"{path}: {name} is {kind}, which is not written; make it one of float32 first: "
                 f"state['{name}'] = state['{name}'].float()")
    return tensors


def raw_bytes(tensor):
    """The numbers as they go to the file, little-endian, without a copy where they lie so."""
    flat = tensor.contiguous().reshape(-1)
    size = flat.element_size()
    if flat.dtype == torch.bool or size == 1:
        array = flat.view(torch.uint8).numpy()
    elif flat.dtype == torch.bfloat16:
        array = flat.view(torch.int16).numpy()
    else:
        array = flat.numpy()
    if sys.byteorder == "big" and size > 1:
        array = array.byteswap()
    return memoryview(array).cast("B") if array.size else b""


def write(tensors, path):
    """Its header, then the tensors one behind the other; under another name until it is whole."""
    header, end = {"__metadata__": {"format": "pt"}}, 0
    for name, tensor in tensors.items():
        begin, end = end, end + tensor.numel() * tensor.element_size()
        header[name] = {"dtype": DTYPES[tensor.dtype], "shape": list(tensor.shape),
                        "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    path = os.path.realpath(path)  # what a link leads to is replaced, and not the link
    if os.path.exists(path) and not os.path.isfile(path):
        stop(f"{path} is no plain file; write elsewhere")
    temporary = path + ".tmp"
    try:
        with open(temporary, "wb") as file:
            file.write(struct.pack("<Q", len(text)))
            file.write(text)
            for tensor in tensors.values():
                file.write(raw_bytes(tensor))
        os.replace(temporary, path)
    except BaseException as error:
        if os.path.exists(temporary):
            os.remove(temporary)
        if not isinstance(error, OSError):
            raise
        stop(f"cannot write {path}: {error.strerror}")
    return 8 + len(text) + end


def main():
    parser = argparse.ArgumentParser(
        prog="convert.py", description=__doc__.split("\n\n", 1)[0],
        epilog="Only weights are loaded, never other objects.")
    parser.add_argument("source", metavar="IN", help="a .pth or .pt file")
    parser.add_argument("target", metavar="OUT", help="the safetensors file to write")
    parser.add_argument("--key", help="where in IN the weights are (%s)" % ", ".join(KEYS))
    words = parser.parse_args()
    if not os.path.isfile(words.source):
        stop(f"{words.source} is not there, or is no file")
    if os.path.exists(words.target) and os.path.samefile(words.source, words.target):
        stop(f"{words.source} and {words.target} are the same file, which would be lost")
    state, where = find_state(load(words.source), words.source, words.key)
    tensors = choose(state, words.source)
    size = write(tensors, words.target)
    print(f"{words.target}: {len(tensors)} tensors{where} of {words.source}, {size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
