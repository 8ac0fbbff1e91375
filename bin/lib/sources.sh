# The sources, copied to where a script builds them apart. To be sourced, by scripts that are in the repository's directory.

# copy_sources DIRECTORY [NAME...]: what git has or would take, and nothing that an earlier copy had; a build (target, tmp)
# stays where it is, and so do those named.
copy_sources() {
  local name kept=()
  for name in target tmp "${@:2}"; do kept+=(! -name "$name"); done
  mkdir -p "$1"
  find "$1" -mindepth 1 -maxdepth 1 "${kept[@]}" -exec rm -rf {} +
  git ls-files -z --cached --others --exclude-standard | while IFS= read -r -d '' name; do
    [ ! -e "$name" ] || printf '%s\0' "$name"
  done | tar --create --null --files-from=- | tar --extract --directory="$1"
}
