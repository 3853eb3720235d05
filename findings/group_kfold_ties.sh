#!/usr/bin/env bash
# scikit-learn 1.8.0: where trials have the same length, the folds of GroupKFold depend on the processor.
#
# Expectation: GroupKFold has no random state and "is deterministic": the same trials go to the same folds, whichever
# computer and whichever recent version makes them. The folds of a paper can be made again from its code.
#
# Behaviour: groups are sorted by size with a sort that is not stable, and in tasks with trials of one length, all sizes
# are equal. NumPy has sorts of its own for processors with AVX2 and AVX-512, which leave equal sizes in another order
# than its plain sort does. So the folds differ between processors (shown by switching these sorts off, which is what a
# processor without them does), and between 1.8 and 1.9.1, where the sort is stable. Up to 16 groups all agree, so that
# small tests do not show it.
#
# Why an analysis suffers: held-out scores of neurons, and the strength that is selected for each, change between the
# laptop and the cluster by as much as they do between two random splits.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export OMP_NUM_THREADS=1 HOME="$work"
for version in 1.8.0 1.9.1; do
    python3 -m venv "$work/$version"
    "$work/$version/bin/pip" install --quiet --no-compile --disable-pip-version-check \
        numpy==2.4.6 scikit-learn==$version 2>/dev/null
done

cat > "$work/folds.py" <<'PY'
import sys

import numpy as np
from sklearn.model_selection import GroupKFold

n_trials = int(sys.argv[1])
trial = np.repeat(np.arange(n_trials), 50)  # every trial has 50 samples
folds = [np.unique(trial[test]).tolist() for _, test in GroupKFold(5).split(trial, groups=trial)]
print(folds[0])
PY
folds() { "$work/$1/bin/python" "$work/folds.py" "$2"; }

new=$(folds 1.9.1 200)
here=$(folds 1.8.0 200)
plain=$(NPY_DISABLE_CPU_FEATURES="AVX512_SKX AVX512F AVX512CD AVX512_ICL AVX512_SPR AVX2 X86_V3 X86_V4" \
    folds 1.8.0 200 2>/dev/null)
echo "first of five folds of 200 trials, 1.9.1:   ${new:0:150} …"
echo "1.8.0 on this processor:                    ${here:0:150} …"
echo "1.8.0 on a processor without AVX:           ${plain:0:150} …"
[ "$(folds 1.8.0 15)" = "$(folds 1.9.1 15)" ] || { echo "The behaviour has changed: few groups differ." >&2; exit 1; }
[ "$plain" != "$new" ] || { echo "The behaviour has changed: the folds agree." >&2; exit 1; }
