#!/bin/sh
# Verify the runs that a branch adds or changes below leaderboard/results, and print, as Markdown, how the board
# of each of their data sets changes. BASE: what the branch is compared with (default: origin/main). Exit status
# 1 if a run does not verify, is changed or removed, or anything else than new runs is among the results.
set -eu
base=$(git merge-base "${BASE:-origin/main}" HEAD)
results=leaderboard/results
status=0
before=$(mktemp -d)
trap 'rm -rf "$before"' EXIT

git diff --name-status --no-renames "$base" HEAD -- "$results" > "$before/changes"
if ! [ -s "$before/changes" ]; then
    echo "No run below \`$results\` changes."
    exit 0
fi

echo "## Runs"
echo
cut -f2 "$before/changes" | cut -d/ -f3-4 | sort -u > "$before/runs"
while read -r run; do
    echo "### \`$run\`"
    echo
    if grep -q "^[^A].*	$results/$run/" "$before/changes"; then
        echo "**Refused**: it changes or removes files of a run that is published. Make a new run."
        status=1
    elif ! [ -f "$results/$run/run.json" ] || ! [ -f "$results/$run/card.json" ]; then
        echo "**Refused**: it is no run made by \`popeq submit\` (it needs run.json, its predictions and card.json)."
        status=1
    elif [ "$(ls -A "$results/$run" | sort | sed 's/^predictions\.csv\.bz2$/predictions.csv/' | tr '\n' ' ')" != "card.json predictions.csv run.json " ]; then
        echo "**Refused**: it holds other files than run.json, predictions.csv or predictions.csv.bz2, and card.json."
        status=1
    elif popeq verify "$results/$run" --format markdown > "$before/output" 2>&1; then
        cat "$before/output"
    else
        echo "**Refused**: it does not verify."
        echo
        cat "$before/output"
        status=1
    fi
    echo
done < "$before/runs"

if [ "$status" -eq 0 ]; then
    echo "## Boards"
    git archive "$base" "$results" | tar -x -C "$before"
    for dataset in $(cut -d/ -f1 "$before/runs" | sort -u); do
        for side in before after; do
            root=.
            [ "$side" = before ] && root=$before
            if ! popeq leaderboard show "$root/$results/$dataset" --dataset "$dataset" --format markdown \
                > "$before/$side.md" 2>/dev/null; then
                echo "(no board)" > "$before/$side.md"
            fi
            cut -d'|' -f4-12 "$before/$side.md" | grep '|' > "$before/$side.rows" || true
        done
        echo
        echo "### $dataset"
        echo
        echo '```diff'
        diff -U 100 "$before/before.rows" "$before/after.rows" | tail -n +4 || true
        echo '```'
    done
fi
exit "$status"
