#!/bin/sh
# What was never run on a GPU, settled in eight minutes on a borrowed one.
#
#   sh benchmarks/gpu.sh [OUT [--part NAME ...]]   OUT: a folder for what is found, default build/gpu; of all parts, those
#   REHEARSE=1 sh benchmarks/gpu.sh ...            the same on a CPU, in small and slower, to see that every part runs
#   sh benchmarks/gpu.sh --wheels                  fetches the wheels, where there is a package index
#
# Needs Linux and PYTHON (default python3) with torch, torchvision, numpy, scipy, pandas, pillow, psutil, filelock, jinja2,
# markdown-it-py, matplotlib, rich, safetensors, typer, tqdm, pytest and timm; no network. What else is missing (pydantic,
# ruamel-yaml, torch-fidelity, mlxtend and what these need; torch-mimicry, to compare with) comes from wheels in WHEELS
# (default .whl). MNIST's four files are read from MNIST (default originals/mnist). Parts that lack either say so.
# OUT gets three files, each at most 15 MiB: findings.jsonl (a line as soon as it is known), log.txt, results.tar.gz.
set -u
cd "$(dirname "$0")/.." || exit 2
WHEELS=${WHEELS:-.whl}
PYTHON=${PYTHON:-python3}

if [ "${1:-}" = --wheels ]; then
    # torch-mimicry has no wheel: one is built here.
    "$PYTHON" -m pip wheel --quiet --no-deps -w "$WHEELS" torch-mimicry==0.1.16 || exit 2
    set --
    for name in annotated-types mlxtend pydantic pydantic-core ruamel-yaml torch-fidelity typing-extensions typing-inspection; do
        set -- "$@" "$(sed -n "s/^\($name==[^ ]*\).*/\1/p" requirements.lock)"
    done
    exec "$PYTHON" -m pip download --quiet --no-deps --only-binary=:all: --python-version "${PYTHON_VERSION:-3.12}" \
        --implementation cp --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64 \
        --platform manylinux_2_28_x86_64 -d "$WHEELS" "$@"
fi

OUT=${1:-build/gpu}
[ $# -eq 0 ] || shift
mkdir -p "$OUT" && OUT=$(cd "$OUT" && pwd) && WORK=$(mktemp -d) && mkdir "$WORK/site" || exit 2
trap 'rm -rf "$WORK"' EXIT
if ls "$WHEELS"/*.whl >/dev/null 2>&1; then
    "$PYTHON" -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --target "$WORK/site" "$WHEELS"/*.whl ||
        exit 2
fi
if [ -n "${REHEARSE:-}" ]; then
    cp benchmarks/rehearsal.py "$WORK/site/sitecustomize.py"
    export OMP_NUM_THREADS=1
fi
export PYTHONPATH="$WORK/site${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1
"$PYTHON" -m benchmarks.gpu --out "$OUT" --work "$WORK" --mnist "${MNIST:-originals/mnist}" \
    ${REHEARSE:+--rehearse} "$@"
