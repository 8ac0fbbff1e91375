# Where this machine's Debian packages come from, for scripts that take some from another suite. To be sourced.

# own_archive SUITE: the address of the archive that apt has this suite from; nothing where it has none.
own_archive() {
  apt-get indextargets --format '$(REPO_URI)	$(RELEASE)	$(CREATED_BY)' 2>/dev/null |
    awk -F '\t' -v suite="$1" '$2 == suite && $3 == "Packages" { print $1; exit }'
}

# own_suite: the codename of the release that this machine runs.
own_suite() { (. /etc/os-release && printf '%s\n' "${VERSION_CODENAME:-}"); }
