# A Debian system in a directory, for scripts that build and test there without touching this machine: its Rust toolchain
# and crates are this machine's, the sources are a copy. All mounts are in a mount namespace of the script's own, and end
# with it, however it ends. To be sourced, after archive.sh and sources.sh, by scripts that have set
#
#   program   what the script is called in its lines
#   home      a directory for its log, its lock and the system
#   root      the system's directory
#   suite     of which it is

log=$home/log

say() { printf '%s: %s\n' "$program" "$*"; }
fail() { printf '%s: %s\n' "$program" "$*" >&2; exit 2; }

# Says why there can be no other system on this machine; nothing where there can.
system_obstacle() {
  if [ "$(id -u)" != 0 ]; then echo "needs root, to make another system in a directory and to mount things in it"
  elif ! command -v apt-get >/dev/null; then echo "takes the system from Debian's packages, and this machine has no apt"
  elif ! command -v cargo >/dev/null; then echo "cargo is not here: install Rust first (rustup)"
  elif [ -z "$(own_archive)" ]; then echo "apt knows no archive of Debian's to take the system from"
  elif ! unshare --mount --propagation private --pid --fork sh -c \
    'mount -t tmpfs none /mnt && mknod /mnt/null c 1 3 && : >/mnt/null' 2>/dev/null; then
    echo "may not mount or make device files here: it needs a machine or a container with those rights"
  elif ! command -v debootstrap >/dev/null && ! apt-get install -s -q debootstrap >/dev/null 2>&1; then
    echo "debootstrap is neither here nor among apt's packages"
  elif ! archive_answers; then echo "the archive $(own_archive) does not answer"
  fi
}

archive_answers() { # with apt's own settings of proxies
  local file status=0
  file=$(mktemp)
  timeout 60 /usr/lib/apt/apt-helper download-file "$(own_archive | sed 's,/*$,,')/dists/$suite/Release" "$file" >/dev/null 2>&1 || status=$?
  rm -f "$file"
  return $status
}

# Goes on in a mount and process namespace of the script's own; alone. Give it the script and its arguments.
enter_namespace() {
  [ "${SYSTEM_NAMESPACE:-}" != yes ] || return 0
  mkdir -p "$home"
  exec 9>"$home/lock"
  flock --nonblock 9 || fail "another $program is at work in $home"
  : >"$log"
  local status=0
  SYSTEM_NAMESPACE=yes unshare --mount --propagation private --pid --fork --kill-child "$@" 9>&- || status=$?
  if declare -F after_namespace >/dev/null; then after_namespace; fi
  exit $status
}

failed() { tail -n 20 "$log" >&2; fail "failed: $*; the whole output is in $log"; }

quietly() { # quietly SECONDS COMMAND...: its output goes to the log
  timeout --kill-after=10 "$@" >>"$log" 2>&1 || failed "${@:2}"
}

inside() { # inside SECONDS COMMAND...: runs it in the other system
  timeout --kill-after=10 "$1" chroot "$root" env -i HOME=/root LANG=C.UTF-8 TMPDIR=/tmp DEBIAN_FRONTEND=noninteractive \
    CARGO_HOME=/opt/cargo RUSTUP_HOME=/opt/rustup CARGO_NET_OFFLINE=true ${CI:+CI="$CI"} ${PIP_CERT:+PIP_CERT="$PIP_CERT"} \
    ${RB_SYS_CARGO_PROFILE:+RB_SYS_CARGO_PROFILE="$RB_SYS_CARGO_PROFILE"} ${RUBY_YJIT_ENABLE:+RUBY_YJIT_ENABLE="$RUBY_YJIT_ENABLE"} \
    ${PATIENCE:+PATIENCE="$PATIENCE"} \
    PATH=/opt/cargo/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "${@:2}"
}

inside_quietly() { inside "$@" >>"$log" 2>&1 || failed "in $root: ${*:2}"; }

in_work() { # in_work SECONDS COMMAND...: runs it in the copy of the sources
  inside "$1" sh -c 'cd /work && exec "$@"' sh "${@:2}"
}

install_debootstrap() {
  command -v debootstrap >/dev/null && return
  say "installing debootstrap"
  quietly 900 env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends debootstrap
}

make_system() { # make_system SUITE: lays it in $root
  local uri part=$root.part script=
  uri=$(own_archive)
  install_debootstrap
  say "making a $1 system in $root (about a minute)"
  rm -rf --one-file-system "$part" "$root"
  # The script of sid will do for every later suite, also one that this debootstrap does not know.
  [ -e "/usr/share/debootstrap/scripts/$1" ] || script=/usr/share/debootstrap/scripts/sid
  quietly 900 debootstrap --variant=minbase --include=ca-certificates "$1" "$part" "$uri" $script
  trust_as_outside "$part"
  mv -T "$part" "$root"
}

# A mirror that stands still, or one behind an authority of its own, is trusted in the system ($1) if it is trusted here.
trust_as_outside() {
  apt-config dump Acquire::Check-Valid-Until >"$1/etc/apt/apt.conf.d/90as-outside"
  [ ! -d /usr/local/share/ca-certificates ] || cp -r /usr/local/share/ca-certificates "$1/usr/local/share/"
  quietly 60 chroot "$1" update-ca-certificates
}

mount_host() {
  mount -t proc proc "$root/proc"
  mount --rbind /dev "$root/dev"
  mount --rbind /sys "$root/sys"
  # As it is now, and not when the system was made.
  cp -L /etc/resolv.conf /etc/hosts "$root/etc/"
}

mount_toolchain() {
  local from name
  quietly 600 cargo fetch --locked
  for name in cargo rustup; do
    case $name in cargo) from=${CARGO_HOME:-$HOME/.cargo} ;; rustup) from=${RUSTUP_HOME:-$HOME/.rustup} ;; esac
    mkdir -p "$root/opt/$name"
    [ ! -d "$from" ] || mount --bind "$from" "$root/opt/$name"
  done
}
