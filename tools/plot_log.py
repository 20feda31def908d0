#!/usr/bin/python3
"""Draw the training curves of one or more logs as an SVG.

    tools/plot_log.py LOG.csv... OUT.svg

A log is a CSV file whose first line names its columns; of these, epoch, iteration, train_loss,
train_error, test_loss and test_error are used (errors in percent). A value may be empty, and is then
left out of its curve. Two panels show loss and error, dashed lines training and solid lines testing,
a colour for each log. Nothing but Python's standard library is needed.
"""
import argparse
import csv
import io
import math
import os
import sys
from xml.sax.saxutils import escape

COLUMNS = ("epoch", "iteration", "train_loss", "train_error", "test_loss", "test_error")
PANELS = (("Loss", "train_loss", "test_loss", ""), ("Error", "train_error", "test_error", " %"))

# Colours that remain distinct to colour-blind eyes (Okabe and Ito), the faint yellow left out.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
INK, FAINT, GRID = "#222222", "#666666", "#e4e4e4"
FONT = 'font-family="DejaVu Sans, Helvetica, Arial, sans-serif"'

PANEL_WIDTH, PANEL_HEIGHT = 430, 300
LEFT, TOP, GAP, RIGHT = 58, 40, 74, 20
LEGEND_TOP, LEGEND_ROW = 62, 20
CHARACTER = 7.3  # width of a legend's character, on the safe side


def read_log(path):
    """Return {column: values} of a log; a missing or non-finite value is None."""
    try:
        with open(path, newline="", encoding="utf-8") as f:
            contents = f.read()
    except UnicodeDecodeError:
        raise ValueError(f"{path} is no text file") from None
    rows = list(csv.reader(io.StringIO(contents)))
    if not rows:
        raise ValueError(f"{path} is empty")
    names = [name.strip() for name in rows[0]]
    missing = [name for name in COLUMNS if name not in names]
    if missing:
        raise ValueError(f"{path}: its first line does not name {', '.join(missing)}")
    log = {name: [] for name in COLUMNS}
    for number, row in enumerate(rows[1:], 2):
        if not row:
            continue
        if number == len(rows) and not contents.endswith("\n"):
            break  # the trainer is still writing this line
        if len(row) != len(names):
            raise ValueError(f"{path}, line {number}: {len(row)} values, but {len(names)} columns")
        for name in COLUMNS:
            word = row[names.index(name)].strip()
            try:
                value = float(word) if word else None
            except ValueError:
                raise ValueError(f"{path}, line {number}: {name} is {word!r}, not a number") from None
            log[name].append(value if value is not None and math.isfinite(value) else None)
    if not log["epoch"]:
        raise ValueError(f"{path} has no line of values yet")
    return log


def pick_x(logs):
    """Return the column for the horizontal axis: the epoch, unless some epoch has several lines."""
    for log in logs:
        if len(set(log["epoch"])) < len(log["epoch"]):
            return "iteration"
    return "epoch"


def nice_step(span, count):
    """Return a step of 1, 2 or 5 times a power of ten that divides SPAN into about COUNT parts."""
    rough = span / count
    power = 10 ** math.floor(math.log10(rough))
    return min((factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999))


def ticks(low, high, count, least=0.0):
    """Return the multiples of a nice step in LOW .. HIGH; LEAST is the least step."""
    step = max(nice_step(high - low, count), least)
    first, last = math.ceil(low / step - 1e-6), math.floor(high / step + 1e-6)
    return [i * step for i in range(first, last + 1)]


def value_top(values):
    """Return the upper end of a value axis; a few values of a diverging run may lie above it."""
    if not values:
        return 1.0
    values = sorted(values)
    usual = values[int(0.95 * (len(values) - 1))]
    top = min(values[-1], 2 * usual) if usual > 0 else values[-1]
    return top * 1.04 if top > 0 else 1.0


def number(value):
    """Return a tick's label: 30000 as 30k, no needless zeros."""
    if abs(value) >= 10000 and round(value) % 1000 == 0:
        return f"{value / 1000:g}k"
    return f"{value:.10g}"


def text(x, y, words, anchor="middle", colour=INK, size=12, extra=""):
    return (f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" '
            f'fill="{colour}"{extra}>{escape(words)}</text>')


def line(x1, y1, x2, y2, colour, width=1.0, dash=""):
    dash = f' stroke-dasharray="{dash}"' if dash else ""
    return (f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" '
            f'stroke="{colour}" stroke-width="{width}"{dash}/>')


def curve(points, colour, test):
    """Return the SVG of one curve; a lone point becomes a dot."""
    if len(points) == 1:
        x, y = points[0]
        return (f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}" '
                f'fill-opacity="{1 if test else 0.5}"/>')
    width, dash = (1.8, "") if test else (1.2, ' stroke-dasharray="5 3"')
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return (f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{width}" '
            f'stroke-linejoin="round"{dash}/>')


def panel(index, logs, x_name):
    """Return the SVG of one panel: axes, grid, curves."""
    title, train_name, test_name, unit = PANELS[index]
    x0, y0 = LEFT + index * (PANEL_WIDTH + GAP), TOP
    x1, y1 = x0 + PANEL_WIDTH, y0 + PANEL_HEIGHT

    xs = [x for log in logs for x in log[x_name] if x is not None]
    low, high = (min(xs), max(xs)) if xs else (0.0, 1.0)
    if low == high:
        low, high = low - 0.5, high + 0.5
    top = value_top([y for log in logs for name in (train_name, test_name)
                     for y in log[name] if y is not None])

    def place(x, y):
        return x0 + (x - low) / (high - low) * PANEL_WIDTH, y1 - y / top * PANEL_HEIGHT

    parts = [text(x0, y0 - 14, title, "start", size=14, extra=' font-weight="bold"')]
    for y in ticks(0, top, 6):
        py = place(low, y)[1]
        parts += [line(x0, py, x1, py, GRID), text(x0 - 8, py + 4, number(y) + unit, "end", FAINT)]
    for x in ticks(low, high, 7, 1):
        px = place(x, 0)[0]
        parts += [line(px, y1, px, y1 + 5, FAINT), text(px, y1 + 19, number(x), colour=FAINT)]
    parts += [line(x0, y1, x1, y1, FAINT), text((x0 + x1) / 2, y1 + 38, x_name.capitalize())]

    parts.append(f'<g clip-path="url(#panel{index})">')
    drawn = 0
    for test, name in ((False, train_name), (True, test_name)):
        for i, log in enumerate(logs):
            points = [place(x, y) for x, y in zip(log[x_name], log[name])
                      if x is not None and y is not None]
            if points:
                drawn += 1
                parts.append(curve(points, COLOURS[i % len(COLOURS)], test))
    parts.append("</g>")
    if not drawn:
        parts.append(text((x0 + x1) / 2, (y0 + y1) / 2, "no values", colour=FAINT))
    clip = (f'<clipPath id="panel{index}"><rect x="{x0 - 4}" y="{y0 - 4}" width="{PANEL_WIDTH + 8}" '
            f'height="{PANEL_HEIGHT + 8}"/></clipPath>')
    return [clip] + parts


def legend(names, width):
    """Return the SVG of the legend and its number of rows."""
    entries = [("test", FAINT, 1.8, ""), ("train", FAINT, 1.2, "5 3")]
    longest = int((width - LEFT - RIGHT - 40) / CHARACTER)
    for i, name in enumerate(names):
        if len(name) > longest:
            name = "…" + name[1 - longest:]
        entries.append((name, COLOURS[i % len(COLOURS)], 3.0, ""))
    parts, x, row = [], LEFT, 0
    for i, (name, colour, stroke, dash) in enumerate(entries):
        room = 34 + CHARACTER * len(name) + 22
        if x + room - 22 > width - RIGHT and x > LEFT:
            x, row = LEFT, row + 1
        y = TOP + PANEL_HEIGHT + LEGEND_TOP + row * LEGEND_ROW
        parts += [line(x, y - 4, x + 26, y - 4, colour, stroke, dash), text(x + 34, y, name, "start")]
        x += room + (14 if i == 1 else 0)
    return parts, row + 1


def legend_names(paths):
    """Return the files' names without folders and .csv; with their folders where two are the same."""
    paths = [path[:-4] if path.endswith(".csv") else path for path in paths]
    names = [os.path.basename(path) for path in paths]
    return [path if names.count(name) > 1 else name for path, name in zip(paths, names)]


def draw(paths, logs, x_name):
    """Return the whole SVG."""
    width = LEFT + 2 * PANEL_WIDTH + GAP + RIGHT
    key, rows = legend(legend_names(paths), width)
    height = TOP + PANEL_HEIGHT + LEGEND_TOP + rows * LEGEND_ROW - 6
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
             f'viewBox="0 0 {width} {height}" {FONT}>',
             f'<rect width="{width}" height="{height}" fill="#ffffff"/>']
    for index in range(len(PANELS)):
        parts += panel(index, logs, x_name)
    return "\n".join(parts + key + ["</svg>"]) + "\n"


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("logs", nargs="+", metavar="LOG.csv", help="logs of training")
    parser.add_argument("output", metavar="OUT.svg", help="the drawing to write")
    parser.add_argument("--x", choices=("epoch", "iteration"),
                        help="horizontal axis (default: epoch, or iteration where an epoch has "
                             "several lines)")
    args = parser.parse_args()
    if not args.output.lower().endswith(".svg"):
        parser.error(f"the last name is the drawing's and has to end in .svg, not {args.output}")
    try:
        logs = [read_log(path) for path in args.logs]
        picture = draw(args.logs, logs, args.x or pick_x(logs))
        with open(args.output, "w", encoding="utf-8") as f:
            f.write(picture)
    except (OSError, csv.Error, ValueError) as error:
        sys.exit(f"plot_log.py: {error}")


if __name__ == "__main__":
    main()
