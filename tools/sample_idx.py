#!/usr/bin/python3
"""Draw a small sample of an IDX data set (MNIST, Fashion-MNIST), balanced over its classes.

The files of examples/data were made by

    apt-get install dataset-fashion-mnist
    tools/sample_idx.py /usr/share/datasets/fashion-mnist examples/data

The draw has no random part: of the images of each class, in the order of the file, it takes evenly
spaced ones, and it writes all that it took in the order of the file. Training images come from the
training files only, test images from the test files only. Input files may be plain or gzipped
(NAME or NAME.gz); output files are plain.
"""
import argparse
import gzip
import os
import struct
import sys
import zlib

SPLITS = ("train", "t10k")
IMAGES_MAGIC = 0x00000803  # unsigned bytes, three dimensions
LABELS_MAGIC = 0x00000801  # unsigned bytes, one dimension


def read_bytes(path):
    """Return the contents of PATH, or of PATH.gz unpacked."""
    if os.path.exists(path):
        with open(path, "rb") as f:
            return f.read()
    try:
        with gzip.open(path + ".gz", "rb") as f:
            return f.read()
    except FileNotFoundError:
        raise ValueError(f"there is neither {path} nor {path}.gz") from None


def read_idx(path, magic, dims):
    """Return (dimensions, data bytes) of an IDX file of unsigned bytes."""
    data = read_bytes(path)
    header = 4 + 4 * dims
    if len(data) < header:
        raise ValueError(f"{path}: shorter than an IDX header")
    found, *shape = struct.unpack(f">{1 + dims}I", data[:header])
    if found != magic:
        raise ValueError(f"{path}: starts with {found:#010x}, not with {magic:#010x}")
    size = 1
    for extent in shape:
        size *= extent
    if len(data) != header + size:
        raise ValueError(f"{path}: {len(data) - header} data bytes where its header says {size}")
    return shape, data[header:]


def draw(labels, count):
    """Return the sorted indices of COUNT labels, as many of each class, evenly spaced in each."""
    classes = sorted(set(labels))
    if count < 1 or count % len(classes):
        raise ValueError(f"{count} images cannot be shared out among {len(classes)} classes")
    share = count // len(classes)
    taken = []
    for label in classes:
        members = [i for i, other in enumerate(labels) if other == label]
        if len(members) < share:
            raise ValueError(f"class {label} has {len(members)} images, {share} are wanted")
        taken += [members[k * len(members) // share] for k in range(share)]
    return sorted(taken)


def sample(source, split, count):
    """Return the files of a sample of COUNT images and their labels of one SPLIT of folder SOURCE:
    name and contents."""
    images_name = f"{split}-images-idx3-ubyte"
    labels_name = f"{split}-labels-idx1-ubyte"
    (total, rows, columns), images = read_idx(os.path.join(source, images_name), IMAGES_MAGIC, 3)
    (label_total,), labels = read_idx(os.path.join(source, labels_name), LABELS_MAGIC, 1)
    if label_total != total:
        raise ValueError(f"{source}: {split} has {total} images, but {label_total} labels")
    taken = draw(labels, count)
    size = rows * columns
    print(f"{split}: {count} of {total} images, {rows} x {columns}")
    return [(images_name, struct.pack(">4I", IMAGES_MAGIC, count, rows, columns)
             + b"".join(images[i * size:(i + 1) * size] for i in taken)),
            (labels_name, struct.pack(">2I", LABELS_MAGIC, count) + bytes(labels[i] for i in taken))]


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", help="folder with the four files of the whole data set")
    parser.add_argument("target", help="folder for the four files of the sample")
    parser.add_argument("--train", type=int, default=5000, metavar="N",
                        help="number of training images (default %(default)s)")
    parser.add_argument("--test", type=int, default=2000, metavar="N",
                        help="number of test images (default %(default)s)")
    args = parser.parse_args()
    try:
        if os.path.realpath(args.source) == os.path.realpath(args.target):
            raise ValueError("the sample would overwrite the data set: name another target folder")
        files = []  # all of them, before the first is written
        for split, count in zip(SPLITS, (args.train, args.test)):
            files += sample(args.source, split, count)
        os.makedirs(args.target, exist_ok=True)
        for name, contents in files:
            with open(os.path.join(args.target, name), "wb") as f:
                f.write(contents)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        sys.exit(f"sample_idx.py: {error}")


if __name__ == "__main__":
    main()
