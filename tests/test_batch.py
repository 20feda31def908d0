#!/usr/bin/python3
"""Writes the test images of ../shared/data as its own program does, without the training images: needs Pillow.

    tests/test_batch.py ../shared/data/cifar10-jpeg.tar.xz cifar-10-batches-bin/test_batch.bin
"""
import hashlib
import io
import sys
import tarfile

from PIL import Image

CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


def main(archive, out):
    records = []
    with tarfile.open(archive) as tar:
        for member in tar:
            if member.name.startswith("test/") and member.name.endswith(".jpg"):
                planes = Image.open(io.BytesIO(tar.extractfile(member).read())).convert("RGB").split()
                label = CLASSES.index(member.name.split("/")[1])
                record = bytes([label]) + b"".join(plane.tobytes() for plane in planes)
                records.append((hashlib.sha256(member.name.encode()).digest(), record))
    with open(out, "wb") as file:
        file.write(b"".join(record for _, record in sorted(records)))


if __name__ == "__main__":
    main(*sys.argv[1:])
