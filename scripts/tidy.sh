#!/bin/sh
# Runs "go mod tidy" in each module given as an argument. The modules of this
# repository require each other at v0.0.0, which no proxy has; while tidy runs,
# replace directives say where they are.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
base=github.com/rowhouse/rowhouse
for module in "$@"; do
	cd "$root/$module"
	for other in "$@"; do
		path=$base
		[ "$other" = . ] || path=$base/$other
		go mod edit -replace "$path@v0.0.0=$root/$other"
	done
	GOWORK=off go mod tidy
	for other in "$@"; do
		path=$base
		[ "$other" = . ] || path=$base/$other
		go mod edit -dropreplace "$path@v0.0.0"
	done
done
