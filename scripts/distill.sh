#!/usr/bin/env bash
# Keeps a small part of what fuzzing has found interesting as seeds, so that `make test` runs it: for each target the inputs of Go's fuzz cache that
# together reach all that the cache reaches, where a statement counts anew each time its executions double.
#
#   scripts/distill.sh [TARGET...]     default: every fuzz target; for one: scripts/distill.sh FuzzChunked
#
# At most 60 files and 200 KB for a target. Earlier seeds stay: some of them are findings.
set -euo pipefail
cd "$(dirname "$0")/.."

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cache=$(go env GOCACHE)/fuzz

# features prints what one seed of a target reaches, a word each: the place and the logarithm of its count.
features() {
	local binary=$1 target=$2 seed=$3
	"$binary" -test.run="^$target\$/^$seed\$" -test.coverprofile="$work/profile" >/dev/null || return
	awk 'NR > 1 && $NF > 0 { n = 0; for (c = $NF; c > 1; c /= 2) n++; print $1 "*" n }' "$work/profile"
}

# distill chooses among the cached inputs of one target, in the package's directory.
distill() {
	local dir=$1 target=$2 seeds=testdata/fuzz/$2 seed
	local from=$cache/$(go list ./"$dir")/$target
	[ -d "$from" ] || return 0
	go test -c -covermode=count -coverpkg=./internal/... -o "$work/test" ./"$dir"
	pushd "$dir" >/dev/null
	mkdir -p "$seeds" "$work/features"
	ls "$seeds" >"$work/kept"
	cp -n "$from"/* "$seeds"
	for seed in "$seeds"/*; do
		seed=${seed##*/}
		features "$work/test" "$target" "$seed" >"$work/features/$seed"
	done
	(cd "$seeds" && stat -c '%s %n' -- *) >"$work/sizes"
	choose >"$work/chosen"
	for seed in "$seeds"/*; do
		grep -qxF "${seed##*/}" "$work/kept" "$work/chosen" || rm "$seed"
	done
	echo "$dir $target: $(ls "$seeds" | wc -l) of $(wc -l <"$work/sizes") inputs, $(cat "$seeds"/* | wc -c) bytes"
	popd >/dev/null
	rm -r "$work/features"
}

# choose prints the seeds to keep: again and again the one that reaches most of what none before it reaches, for its size.
choose() {
	awk -v kept="$work/kept" -v dir="$work/features" '
		BEGIN { while ((getline name < kept) > 0) have[name] = 1 }
		{
			size[$2] = $1
			while ((getline line < (dir "/" $2)) > 0) reaches[$2] = reaches[$2] " " line
		}
		function take(name,   n, i, f) {
			n = split(reaches[name], f, " ")
			for (i = 1; i <= n; i++) seen[f[i]] = 1
			files++; bytes += size[name]; print name; delete size[name]
		}
		END {
			for (name in have) if (name in size) take(name)
			while (files < 60) {
				best = ""
				for (name in size) {
					if (bytes + size[name] > 200000) continue
					n = split(reaches[name], f, " "); gain = 0
					for (i = 1; i <= n; i++) if (!(f[i] in seen)) gain++
					if (gain > 0 && (best == "" || gain * size[best] > most * size[name])) { best = name; most = gain }
				}
				if (best == "") break
				take(best)
			}
		}' "$work/sizes"
}

for file in $(grep -rl '^func Fuzz' --include='*_test.go' .); do
	for target in $(sed -n 's/^func \(Fuzz[A-Za-z0-9]*\)(.*/\1/p' "$file"); do
		if [ $# -eq 0 ] || [[ " $* " == *" $target "* ]]; then
			distill "$(dirname "${file#./}")" "$target"
		fi
	done
done
