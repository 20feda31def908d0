#!/usr/bin/python3
"""Make files of pictures scaled by Pillow, and prepared for a net by torchvision, for tests/pictures;
and the pictures that tests/images.sh reads.

    tools/pillow.py tests/pillow.safetensors                 make those of the tests again
    tools/pillow.py --seed 7 --count 60 out.safetensors      others: then tests/pictures out.safetensors
    tools/pillow.py --pictures tests/picture_files           one picture in many forms

It needs Debian's python3-pil and python3-numpy; with python3-torchvision, what a square net sees is
made by torchvision's own transforms, else by the same steps here.

The file is a safetensors file. Case N has the tensors N.picture, U8 [h,w] or [h,w,3], RGB, and
N.expected; and in __metadata__ under N a line:

    resample INTERPOLATION TOP LEFT HEIGHT WIDTH       a window of it, scaled in floats: F32 [c,h,w]
    bytes INTERPOLATION TOP LEFT HEIGHT WIDTH          the same, rounded to bytes: U8 [h,w,c]
    crop INTERPOLATION HEIGHT WIDTH TOP LEFT           scaled whole, then cropped: U8 [h,w,c]
    net INTERPOLATION FRACTION ORDER M M M D D D       resized, cropped, normalised: F32 [c,h,w]
"""
import argparse
import io
import json
import math
import struct
import sys
import zlib

try:
    import numpy as np
    from PIL import Image
    MISSING = None
except ImportError as error:  # --help does without
    MISSING = error
try:
    from torchvision import transforms
except ImportError:
    transforms = None

FILTERS = {"bilinear": 2, "bicubic": 3}  # Pillow's numbers


def draw_picture(rng, height, width, channels):
    """Smooth shapes, edges and noise: what interpolation overshoots at, and what it averages."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    planes = []
    for _ in range(channels):
        a, b, c = rng.uniform(0.02, 0.9, 3)
        plane = 127 + 90 * np.sin(a * x + b * y + 6 * c) + 120 * ((x * c + y * a) % 9 < 3)
        planes.append(plane + rng.normal(0, 25, plane.shape))
    picture = np.clip(np.stack(planes, -1), 0, 255).astype(np.uint8)
    return picture if channels > 1 else picture[..., 0]


def in_floats(picture, size, method, box):
    """[c,h,w] of Pillow's floats, 255 becoming 1."""
    planes = np.atleast_3d(picture).transpose(2, 0, 1).astype(np.float32)
    scaled = [Image.fromarray(p, "F").resize(size, FILTERS[method], box) for p in planes]
    return np.stack([np.asarray(p) for p in scaled]) / np.float32(255)


def draw_window(rng, height, width):
    """Sides in eighths of a pixel, which the floats of Pillow's box hold."""
    top, left = (int(rng.integers(0, 4 * n)) / 8 for n in (height, width))
    sides = (max(1, int(rng.integers(1, 8 * (n - at) + 1))) / 8
             for n, at in ((height, top), (width, left)))
    return (top, left, *sides)


def resample_case(rng, picture, method, rounded):
    height, width = picture.shape[:2]
    window = draw_window(rng, height, width) if rng.random() < 0.7 else (0, 0, height, width)
    size = [max(int(rng.integers(1, 24)), math.ceil(side / 24)) for side in window[2:]]
    box = (window[1], window[0], window[1] + window[3], window[0] + window[2])
    words = " ".join(f"{number:g}" for number in window)
    if rounded:
        result = np.asarray(Image.fromarray(picture).resize(size[::-1], FILTERS[method], box))
        return f"bytes {method} {words}", result
    return f"resample {method} {words}", in_floats(picture, size[::-1], method, box)


def crop_case(rng, picture, method):
    height, width = (int(n) for n in rng.integers(1, 60, 2))
    top, left = int(rng.integers(0, height)), int(rng.integers(0, width))
    bottom, right = int(rng.integers(top, height)) + 1, int(rng.integers(left, width)) + 1
    scaled = np.asarray(Image.fromarray(picture).resize((width, height), FILTERS[method]))
    return f"crop {method} {height} {width} {top} {left}", scaled[top:bottom, left:right]


def resize_and_crop(image, size, fraction, method):
    """timm's evaluation: the shorter side to size / fraction, then the centre; for a net that is not
    square, what covers both sides."""
    scale = [math.floor(side / fraction) for side in size]
    width, height = image.size
    if scale[0] == scale[1] and transforms:
        mode = transforms.InterpolationMode(method)
        steps = [transforms.Resize(scale[0], mode), transforms.CenterCrop(size)]
        return transforms.Compose(steps)(image)
    if scale[0] == scale[1]:
        shorter = min(width, height)
        scaled = [int(scale[0] * side / shorter) for side in (height, width)]
    else:
        ratio = min(height / scale[0], width / scale[1])
        scaled = [round(side / ratio) for side in (height, width)]
    image = image.resize(scaled[::-1], FILTERS[method])
    top, left = (int(round((a - b) / 2.0)) for a, b in zip(scaled, size))
    return image.crop((left, top, left + size[1], top + size[0]))


def net_case(rng, picture, method):
    size = [int(n) for n in rng.integers(8, 20, 2)]
    if rng.random() < 0.6:
        size[1] = size[0]
    fraction = float(rng.choice([0.875, 0.9, 0.95, 1.0, 0.8, 0.7, size[0] / (size[0] + 4)]))
    order = "bgr" if picture.ndim == 3 and rng.random() < 0.4 else "rgb"
    means = [round(float(m), 3) for m in rng.uniform(0.3, 0.6, 3)]
    deviations = [round(float(d), 3) for d in rng.uniform(0.2, 0.5, 3)]
    image = np.atleast_3d(resize_and_crop(Image.fromarray(picture), size, fraction, method))
    numbers = image.astype(np.float64) / 255
    channels = numbers.shape[2]
    numbers = (numbers - means[:channels]) / deviations[:channels]
    if order == "bgr":
        numbers = numbers[..., ::-1]
    words = " ".join(f"{number:g}" for number in means + deviations)
    return f"net {method} {fraction!r} {order} {words}", numbers.transpose(2, 0, 1)


def make_case(rng, number):
    """One of each kind in turn, every other one with the other interpolation."""
    method = "bicubic" if number // 4 % 2 else "bilinear"
    height, width = (int(n) for n in rng.integers(3, 60, 2))
    picture = draw_picture(rng, height, width, 1 if rng.random() < 0.25 else 3)
    kind = number % 4
    if kind == 2:
        return picture, *crop_case(rng, picture, method)
    if kind == 3:
        return picture, *net_case(rng, picture, method)
    return picture, *resample_case(rng, picture, method, kind == 1)


def write(path, cases):
    header, data = {"__metadata__": {}}, b""
    for number, (picture, words, expected) in enumerate(cases):
        header["__metadata__"][str(number)] = words
        for name, array in ("picture", picture), ("expected", expected):
            kind = "U8" if array.dtype == np.uint8 else "F32"
            chunk = array.astype("u1" if kind == "U8" else "<f4").tobytes()
            header[f"{number}.{name}"] = {"dtype": kind, "shape": array.shape,
                                          "data_offsets": [len(data), len(data) + len(chunk)]}
            data += chunk
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + data)


def deepen(picture):
    """16 bits of which 8 rounded are the picture, but the upper 8 are not."""
    return picture.astype(np.uint16) * 257 - 100


def write_deep_png(path, picture):
    """A PNG of 16 bits a colour, which Pillow does not write."""
    height, width = picture.shape[:2]
    rows = deepen(picture).astype(">u2").reshape(height, -1)
    data = b"".join(b"\0" + row.tobytes() for row in rows)
    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    with open(path, "wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n")
        for kind, body in (b"IHDR", header), (b"IDAT", zlib.compress(data, 9)), (b"IEND", b""):
            file.write(struct.pack(">I", len(body)) + kind + body)
            file.write(struct.pack(">I", zlib.crc32(kind + body)))


def without_adobe(jpeg):
    """The same JPEG without the marker that says what its four colours are."""
    at = jpeg.index(b"\xff\xee")
    return jpeg[:at] + jpeg[at + 2 + int.from_bytes(jpeg[at + 2:at + 4], "big"):]


def write_pictures(directory):
    """One smooth picture, so that a JPEG differs little from it, and its grey."""
    y, x = np.mgrid[0:20, 0:24]
    planes = [128 + 100 * np.sin(0.11 * x * (c + 1) - 0.07 * y + c) for c in range(3)]
    colours = np.stack(planes, -1).astype(np.uint8)
    image = Image.fromarray(colours)
    grey, alpha = image.convert("L"), Image.fromarray((x * 10).astype(np.uint8))
    image.save(f"{directory}/colour.ppm")
    grey.save(f"{directory}/grey.pgm")
    resize_and_crop(image, (12, 12), 0.8, "bilinear").save(f"{directory}/centre_12.ppm")
    for name in "colour.png", "colour.bmp":
        image.save(f"{directory}/{name}")
    grey.save(f"{directory}/grey.png")
    Image.merge("RGBA", (*image.split(), alpha)).save(f"{directory}/alpha.png")
    Image.merge("LA", (grey, alpha)).save(f"{directory}/grey_alpha.png")
    Image.fromarray(deepen(np.asarray(grey))).save(f"{directory}/deep_grey.png")
    write_deep_png(f"{directory}/deep.png", colours)
    palette = image.quantize(16)
    palette.save(f"{directory}/palette.png")
    palette.convert("RGB").save(f"{directory}/palette.ppm")
    image.save(f"{directory}/colour.jpg", quality=95, subsampling=0)
    image.save(f"{directory}/progressive.jpg", quality=95, subsampling=0, progressive=True)
    grey.save(f"{directory}/grey.jpg", quality=95)
    jpeg = io.BytesIO()
    image.convert("CMYK").save(jpeg, "JPEG", quality=95)
    with open(f"{directory}/cmyk.jpg", "wb") as file:
        file.write(jpeg.getvalue())
    with open(f"{directory}/cmyk_untold.jpg", "wb") as file:
        file.write(without_adobe(jpeg.getvalue()))


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", metavar="FILE", help="or a directory, with --pictures")
    parser.add_argument("--pictures", action="store_true")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=24, help="number of cases (24)")
    arguments = parser.parse_args()
    if MISSING:
        sys.exit(f"pillow.py: {MISSING}; it needs Debian's python3-pil and python3-numpy")
    if arguments.pictures:
        write_pictures(arguments.path)
        return
    rng = np.random.default_rng(arguments.seed)
    write(arguments.path, [make_case(rng, number) for number in range(arguments.count)])


if __name__ == "__main__":
    main()
