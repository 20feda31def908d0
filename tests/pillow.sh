#!/bin/sh
# pillow.sh - more of what tests/pictures is called with: other windows, crops and nets, drawn anew,
# scaled by Pillow where that is.
#
# tests/pillow.sh   (after make -C tests pictures)

here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
if ! /usr/bin/python3 -c 'import PIL, numpy' 2>/dev/null; then
    echo "pillow: skipped, for there is no Pillow (python3-pil, python3-numpy)"
    exit 0
fi
for seed in 2 3; do
    "$here/../tools/pillow.py" --seed $seed --count 160 "$work/$seed.safetensors" || exit 1
done
"$here/pictures" "$work"/*.safetensors
