#!/bin/sh
# What was never run on a GPU, settled in eight minutes on a borrowed one.
#
#   sh benchmarks/gpu.sh [OUT]               OUT: a folder for what is found; default build/gpu
#   REHEARSE=1 sh benchmarks/gpu.sh [OUT]    the same on a CPU, in small, to see that every part runs
#
# Needs Python 3.11 or later with torch, torchvision, numpy, scipy, pandas, pillow, psutil, pytest and timm, and no network.
# What else is missing there (pydantic, ruamel-yaml, torch-fidelity, ...) is taken from wheels in WHEELS (default .whl),
# which `sh benchmarks/gpu.sh --wheels` fetches on a machine that has a package index.
# MNIST's four files are read from MNIST (default originals/mnist), torch-mimicry's wheel from WHEELS too; the parts
# that need them are left out without. Each part writes to OUT as it goes: findings.jsonl, and one log a part.
set -u
cd "$(dirname "$0")/.."
WHEELS=${WHEELS:-.whl}

if [ "${1:-}" = --wheels ]; then
    # The locked versions of what such a machine lacks, and the library that steps are compared with, which has no wheel.
    python3 -m pip wheel --quiet --no-deps -w "$WHEELS" torch-mimicry==0.1.16
    set --
    for name in annotated-types mlxtend pydantic pydantic-core ruamel-yaml torch-fidelity typing-extensions typing-inspection; do
        set -- "$@" "$(sed -n "s/^\($name==[^ ]*\).*/\1/p" requirements.lock)"
    done
    exec python3 -m pip download --quiet --no-deps --only-binary=:all: --python-version 3.12 --implementation cp \
        --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64 --platform manylinux_2_28_x86_64 \
        -d "$WHEELS" "$@"
fi

OUT=${1:-build/gpu}
mkdir -p "$OUT"
OUT=$(cd "$OUT" && pwd)
SITE=$(mktemp -d)
trap 'rm -rf "$SITE"' EXIT
if ls "$WHEELS"/*.whl >/dev/null 2>&1; then
    python3 -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --target "$SITE" "$WHEELS"/*.whl || exit 2
    export PYTHONPATH="$SITE${PYTHONPATH:+:$PYTHONPATH}"
fi
PYTHONUNBUFFERED=1 timeout 480 python3 -m benchmarks.gpu --out "$OUT" --mimicry "$SITE" \
    --mnist "${MNIST:-originals/mnist}" ${REHEARSE:+--rehearse}
