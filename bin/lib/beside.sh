# Commands that run beside others, for scripts that print the output of each whole, and that leave no process behind
# however they end. To be sourced, by bash.
#
#   beside NAME COMMAND...     starts it; its output is kept
#   show NAME                  waits for it, prints its output; where it has failed, says its status and adds NAME to `failed`
#   attended COMMAND...        runs it now; a signal to the script ends it, which bash would put off until it has ended
#   lower_priority LEVEL       in such a command: it and all that it starts get the CPU that others leave

declare -A beside_pids=()
beside_kept=$(mktemp -d "${TMPDIR:-/tmp}/tidegate-beside.XXXXXX")
attended_pid=

# Under job control a command in the background can be interrupted, and has a process group of its own.
beside() { # COMMAND may be a function
  set -m
  { failed=(); "${@:2}"; } >"$beside_kept/$1" 2>&1 </dev/null &
  set +m
  beside_pids[$1]=$!
}

show() {
  local pid=${beside_pids[$1]} status=0
  ! kill -0 "$pid" 2>/dev/null || printf '\n(waiting for: %s)\n' "$1"
  wait "$pid" || status=$?
  cat "$beside_kept/$1"
  [ $status = 0 ] || { printf '%s: ended with status %s\n' "$1" "$status"; failed+=("$1"); }
}

attended() {
  local status=0
  set -m
  "$@" </dev/null &
  set +m
  attended_pid=$!
  wait "$attended_pid" || status=$?
  attended_pid=
  return $status
}

lower_priority() { renice -n "$1" -p "$BASHPID" >/dev/null; }

# Ends a process and all below it. Each is stopped first, so that it starts no more.
end_tree() {
  local child
  kill -STOP "$1" 2>/dev/null || return 0
  for child in $(pgrep -P "$1"); do end_tree "$child"; done
  kill -KILL "$1" 2>/dev/null || true
}

end_all() {
  local pid
  exec 2>/dev/null # bash tells of each process that was killed
  for pid in $(jobs -rp); do end_tree "$pid"; done
  rm -rf "$beside_kept"
}

# What is attended hears of the signal, and may still say what it has found out.
interrupted() { # interrupted SIGNAL STATUS
  local tries=50
  trap '' INT TERM HUP
  if [ -n "$attended_pid" ]; then
    kill "-$1" "$attended_pid" 2>/dev/null || true
    while kill -0 "$attended_pid" 2>/dev/null && [ $((tries -= 1)) -gt 0 ]; do sleep 0.1; done
  fi
  exit "$2"
}

trap end_all EXIT
trap 'interrupted INT 130' INT
trap 'interrupted TERM 143' TERM
trap 'interrupted HUP 129' HUP
