#!/usr/bin/python3
"""Time resnet.h against PyTorch on this machine, alternating, and print the ratios.

    tools/compare_torch.py                                all that the READMEs compare, and ResNet-50's predictions
    tools/compare_torch.py --net resnet20 --mode train --batch 128 --threads 2

Needs tools/bench (make -C tools) and Debian's python3-torch. PyTorch runs at the best of its settings
that are known: contiguous and channels_last, the faster of the two in this very run; for predictions
traced, frozen and optimised by torch.jit. Its nets are those of golden.py, written with PyTorch's own
layers. Each round times both, in a process each; the ratio is that of the medians over all rounds.

--busy N starts N processes that never sleep beside both, as other people's programs would be.

--isa avx2 holds both to AVX2, and --tcmalloc preloads that allocator for PyTorch where it is installed
(libtcmalloc-minimal4), which makes it a little faster.
"""
import argparse
import ctypes.util
import os
import re
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
DEPTH_UNITS = {"resnet20": "3,3,3", "resnet110": "18,18,18", "resnet164": "18,18,18",
               "resnet1001": "111,111,111", "resnet50": "3,4,6,3"}
TABLE = [  # net, mode, batch: what is compared without --net
    ("resnet20", "train", 128), ("resnet110", "train", 128), ("resnet110-original", "train", 128),
    ("resnet164", "train", 128), ("resnet20", "train", 32), ("resnet110", "train", 32),
    ("resnet164", "train", 32), ("resnet20", "infer", 128), ("resnet110", "infer", 128),
    ("resnet164", "infer", 128), ("resnet20", "infer", 1), ("resnet110", "infer", 1),
    ("resnet164", "infer", 1), ("resnet50-original", "train", 16), ("resnet50-original", "infer", 8),
    ("resnet50-original", "infer", 1)]


def torch_net(name):
    """Return the PyTorch net of that name and the size of its images."""
    from golden import Description, Net
    base = name.replace("-original", "")
    imagenet = base == "resnet50"
    desc = Description(
        block="basic" if base in ("resnet20", "resnet110") else "bottleneck",
        order="original" if name.endswith("-original") else "full_preact",
        resize="A" if base in ("resnet20", "resnet110") else "B",
        shortcut_bn=1 if name.endswith("-original") else 0,
        stride_on="3x3" if imagenet else "first",
        stem="imagenet" if imagenet else "cifar", width=64 if imagenet else 16,
        units=DEPTH_UNITS[base], classes=1000 if imagenet else 10, size=224 if imagenet else 32)
    return Net(desc).float(), desc.image[0], desc.classes


def torch_worker(arguments):
    """Time one setting of PyTorch and print images a second: the body of a process of its own."""
    import torch
    from torch.nn import functional
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    layout = torch.channels_last if arguments.worker == "channels_last" else torch.contiguous_format
    net, size, classes = torch_net(arguments.net)
    net = net.to(memory_format=layout)
    images = torch.randn(arguments.batch, 3, size, size).to(memory_format=layout)
    labels = torch.arange(arguments.batch) % classes
    if arguments.mode == "train":
        optimiser = torch.optim.SGD(net.parameters(), lr=1e-3, momentum=0.9, weight_decay=1e-4)

        def step():
            optimiser.zero_grad(set_to_none=True)
            functional.cross_entropy(net(images), labels).backward()
            optimiser.step()
    else:
        net.eval()
        with torch.no_grad():
            traced = torch.jit.optimize_for_inference(torch.jit.freeze(torch.jit.trace(net, images)))

        def step():
            with torch.no_grad():
                traced(images)
    for _ in range(3):
        step()
    times = []
    begun = time.perf_counter()
    while len(times) < 5 or time.perf_counter() - begun < arguments.seconds:
        before = time.perf_counter()
        step()
        times.append(time.perf_counter() - before)
    print(arguments.batch / statistics.median(times))


def run(command, environment=None):
    """Return the output of a command; end with its message if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False,
                          env=dict(os.environ, **(environment or {})))
    if done.returncode:
        sys.exit(f"compare_torch.py: {' '.join(command)} ended with {done.returncode}: "
                 + done.stderr.strip()[-500:])
    return done.stdout


def time_torch(a, net, mode, batch, layout):
    """Images a second of PyTorch in a process of its own."""
    wide = a.isa == "avx512" or (a.isa == "auto" and "avx512f" in open("/proc/cpuinfo", encoding="ascii").read())
    # Both keep their numbers in large pages where Linux has them.
    environment = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
                   "ATEN_CPU_CAPABILITY": "avx512" if wide else "avx2",
                   "OPENBLAS_CORETYPE": "SkylakeX" if wide else "Haswell", "PYTHONWARNINGS": "ignore"}
    if not wide:
        environment["ONEDNN_MAX_CPU_ISA"] = "AVX2"
    if a.tcmalloc:
        environment["LD_PRELOAD"] = "libtcmalloc_minimal.so.4"
    return float(run([sys.executable, __file__, "--worker", layout, "--net", net, "--mode", mode,
                      "--batch", str(batch), "--threads", str(a.threads), "--seconds", str(a.seconds)],
                     environment))


def time_ours(a, net, mode, batch):
    """Images a second of resnet.h."""
    text = run([os.path.join(HERE, "bench"), "--net", net, "--mode", mode, "--batch", str(batch),
                "--threads", str(a.threads), "--isa", a.isa, "--seconds", str(a.seconds),
                "--budget", a.budget])
    return float(re.search(r": ([0-9.]+) images/s", text).group(1))


def compare(a, net, mode, batch):
    """Alternate, and print a row of the table."""
    layouts = ["contiguous", "channels_last"]
    torch_rates = {layout: [] for layout in layouts}
    ours = []
    for _ in range(a.rounds):
        ours.append(time_ours(a, net, mode, batch))
        for layout in layouts:
            torch_rates[layout].append(time_torch(a, net, mode, batch, layout))
    medians = {layout: statistics.median(rates) for layout, rates in torch_rates.items()}
    best = max(layouts, key=medians.get)
    ratio = statistics.median(ours) / medians[best]
    print(f"| {net} | {mode} | {batch} | {statistics.median(ours):.1f} | {medians[best]:.1f} ({best}) "
          f"| {ratio:.2f} x |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--net", choices=sorted(DEPTH_UNITS) + [f"{name}-original" for name in sorted(DEPTH_UNITS)],
                        help="without it: all of them, one after the other")
    parser.add_argument("--mode", choices=("train", "infer"), default="train")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--busy", type=int, default=0, help="competing processes (0)")
    parser.add_argument("--isa", choices=("auto", "avx2", "avx512"), default="auto")
    parser.add_argument("--budget", default="0", help="bytes of ours in training, with K, M or G (no limit)")
    parser.add_argument("--rounds", type=int, default=5, help="alternations (5)")
    parser.add_argument("--seconds", type=float, default=2, help="of each timing (2)")
    parser.add_argument("--tcmalloc", action="store_true", help="preload it for PyTorch")
    parser.add_argument("--worker", choices=("contiguous", "channels_last"), help=argparse.SUPPRESS)
    a = parser.parse_args()
    if a.worker:
        torch_worker(a)
        return
    if a.rounds < 1:
        parser.error("--rounds should be 1 or more")
    if not os.access(os.path.join(HERE, "bench"), os.X_OK):
        sys.exit("compare_torch.py: there is no tools/bench; make -C tools builds it")
    if a.tcmalloc and not ctypes.util.find_library("tcmalloc_minimal"):
        sys.exit("compare_torch.py: no tcmalloc here; install libtcmalloc-minimal4")
    # Each ends by itself when this process is no more, however that ended.
    spin = "import os\nparent = os.getppid()\nwhile os.getppid() == parent: pass"
    competitors = [subprocess.Popen([sys.executable, "-c", spin]) for _ in range(a.busy)]
    print(f"{a.threads} threads, instruction set {a.isa}, {a.rounds} rounds, {a.busy} competitors, images/s\n\n"
          "| net | mode | batch | resnet.h | PyTorch | ratio |\n|---|---|---|---|---|---|", flush=True)
    try:
        for net, mode, batch in [(a.net, a.mode, a.batch)] if a.net else TABLE:
            compare(a, net, mode, batch)
    finally:
        for competitor in competitors:
            competitor.kill()


if __name__ == "__main__":
    main()
