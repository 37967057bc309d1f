#!/usr/bin/env bash
# Coverage of everything that .ci/run tests, in all its processes; fails if a file of rexkit/ has too little.
set -euo pipefail
cd "$(dirname "$0")/.."
rm -rf .ci/coverage
mkdir .ci/coverage

# Each Python process writes what it ran (see tool.coverage in pyproject.toml).
export COVERAGE_PROCESS_START="$PWD/pyproject.toml" COVERAGE_FILE="$PWD/.ci/coverage/data"
bash .ci/run

unset COVERAGE_PROCESS_START
. .ci/venv/bin/activate
coverage combine -q
coverage json -q -o .ci/coverage/report.json
python .ci/check_coverage.py .ci/coverage/report.json
