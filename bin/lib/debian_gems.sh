#!/usr/bin/env bash
# Compiles the gems that Debian has compiled for its default Ruby for the Ruby in use as well, from Debian's own sources, and
# puts them where Debian's Ruby looks for those of this version. For bin/debian-ruby, inside the system that it makes; tries
# each gem once.
set -euo pipefail

IFS=$'\t' read -r version native < <(ruby -e 'puts [RbConfig::CONFIG["ruby_version"], RbConfig::CONFIG["vendorarchdir"]].join("\t")')
to=/usr/share/rubygems-integration/$version
export NOKOGIRI_USE_SYSTEM_LIBRARIES=1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

compile() { # compile PACKAGE: its extensions, into the directory of libraries for this Ruby
  local extension
  rm -rf "$work/source"
  mkdir "$work/source"
  (cd "$work/source" && apt-get source -q "$1") || return
  while read -r extension; do
    (cd "$(dirname "$extension")" && ruby extconf.rb && make && make install "sitearchdir=$native" "sitelibdir=$work/lib") || return
  done < <(find "$work/source" -name .pc -prune -o -path '*/ext/*' -name extconf.rb -print)
}

# These also have themselves in Ruby; nio4r asks for NIO4R_PURE=true.
pure() { [[ $1 = nio4r-* || $1 = websocket-driver-* ]]; }

mkdir -p "$to/specifications" "$to/gems" "$to/tried"
for specification in /usr/share/rubygems-integration/[0-9]*/specifications/*.gemspec /usr/lib/*/rubygems-integration/[0-9]*/specifications/*.gemspec; do
  [ -e "$specification" ] || continue
  name=$(basename "$specification" .gemspec)
  from=$(dirname "$(dirname "$specification")")
  [ "${from##*/}" != "$version" ] && [ ! -e "$to/tried/$name" ] || continue
  printf '== %s\n' "$name"
  touch "$to/tried/$name"
  compile "$(dpkg -S "$specification" | cut -d: -f1)" || { echo "$name could not be compiled"; pure "$name" || continue; }
  [ ! -d "$from/gems/$name" ] || ln -sfn "$from/gems/$name" "$to/gems/$name"
  # Its extension is among the libraries of the system, where RubyGems does not look for it.
  sed -e '/\.extensions *=/d' -e '/^# stub: ext\//d' "$specification" >"$to/specifications/$name.gemspec"
done
