# Where this machine's Debian packages come from, for scripts that take some from another suite. To be sourced.

# own_archive [SUITE]: the address of the archive of Debian's that apt has this suite from, or any release at all; nothing
# where it has none. What /etc/os-release says plays no part: packages of another suite may have replaced that file.
own_archive() {
  apt-get indextargets --format '$(REPO_URI)	$(RELEASE)	$(LABEL)	$(CREATED_BY)' 2>/dev/null |
    awk -F '\t' -v suite="${1:-}" '$3 == "Debian" && $4 == "Packages" && (suite == "" ? $2 !~ /-/ : $2 == suite) { print $1; exit }'
}

# unpack_packages URI SUITE WORK PACKAGE...: downloads packages of that suite and unpacks them in WORK/root, with state and cache of
# apt's in WORK; apt's own are not touched, and no root is needed.
unpack_packages() {
  local uri=$1 suite=$2 work=$3 package
  shift 3
  rm -rf "$work/root" "$work/apt"
  mkdir -p "$work/root" "$work"/apt/{parts,debs,lists/partial,cache/archives/partial}
  printf 'deb %s %s main\n' "$uri" "$suite" >"$work/apt/sources.list"
  local apt=(apt-get -q -o Dir::Etc::sourcelist="$work/apt/sources.list" -o Dir::Etc::sourceparts="$work/apt/parts"
    -o Dir::Etc::preferences=/dev/null -o Dir::Etc::preferencesparts="$work/apt/parts"
    -o Dir::State::lists="$work/apt/lists" -o Dir::Cache="$work/apt/cache" -o APT::Sandbox::User="$(id -un)"
    -o Acquire::Languages=none -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false)
  "${apt[@]}" update && (cd "$work/apt/debs" && "${apt[@]}" download "${@/%//$suite}") || return
  for package in "$work"/apt/debs/*.deb; do dpkg-deb -x "$package" "$work/root" || return; done
}
