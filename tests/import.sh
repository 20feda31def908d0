#!/bin/sh
# import.sh - tests/import.py, where there is a PyTorch to compare with.

here=$(cd "$(dirname "$0")" && pwd)
if ! /usr/bin/python3 -c 'import torch' 2>/dev/null; then
    echo "import: skipped, for there is no PyTorch for /usr/bin/python3 (Debian: python3-torch)"
    exit 0
fi
exec "$here/import.py" "$@"
