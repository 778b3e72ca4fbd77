# Sourced by the scripts: one environment for all of them, made when missing, renewed when out of date.
# shellcheck shell=bash
set -euo pipefail

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
VENV="$ROOT/.venv"
PYTHON="$VENV/bin/python"

find_python() {
    local candidate
    for candidate in "${MODELRY_PYTHON:-python3.11}" python3.11 python3.12 python3.13 python3 python; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    echo "Modelry needs Python 3.11 or newer. Install it, or name it: MODELRY_PYTHON=/path/to/python $0" >&2
    return 1
}

# prepare EXTRA: after this, $PYTHON has everything of `pip install .[EXTRA]`. Says so on stderr only when it has to work.
prepare() {
    local extra=$1 want python
    want="$(cat "$ROOT/pyproject.toml" "$ROOT/script/constraints.txt" | cksum)"
    is_ready "$extra" "$want" && return
    mkdir -p "$VENV"
    # Two scripts started at once: the second waits, and then finds the work done.
    if command -v flock >/dev/null; then
        exec 9>"$VENV/.lock"
        flock 9
    fi
    if ! is_ready "$extra" "$want"; then
        python="$(find_python)"
        "$PYTHON" -c '' 2>/dev/null || "$python" -m venv --clear "$VENV"
        echo "Installing what Modelry needs (only when it changed) …" >&2
        if ! "$PYTHON" -m pip install --quiet --disable-pip-version-check --no-input \
            -c "$ROOT/script/constraints.txt" -e "$ROOT[$extra]" >"$VENV/install.log" 2>&1; then
            cat "$VENV/install.log" >&2
            echo "Installing failed; the lines above say why." >&2
            return 1
        fi
        echo "$want" >"$VENV/.installed-$extra"
    fi
    if command -v flock >/dev/null; then exec 9>&-; fi
}

is_ready() {
    local stamp
    for stamp in "$VENV/.installed-$1" "$VENV/.installed-test"; do
        [[ -f "$stamp" && "$(<"$stamp")" == "$2" ]] && "$PYTHON" -c '' 2>/dev/null && return 0
    done
    return 1
}

# local_settings: where a machine of one's own keeps data, and a secret key made once for it.
local_settings() {
    export MODELRY_HOME="${MODELRY_HOME:-$ROOT/var}"
    if [[ -z "${MODELRY_SECRET_KEY:-}" ]]; then
        local key="$MODELRY_HOME/secret-key"
        if [[ ! -s "$key" ]]; then
            mkdir -p "$MODELRY_HOME"
            (umask 077 && "$PYTHON" -c 'import secrets; print(secrets.token_urlsafe(64))' >"$key.$$" && mv -n "$key.$$" "$key")
            rm -f "$key.$$"
        fi
        MODELRY_SECRET_KEY="$(<"$key")"
        export MODELRY_SECRET_KEY
    fi
}
