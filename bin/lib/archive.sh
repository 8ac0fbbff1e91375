# Where this machine's Debian packages come from, for scripts that take some from another suite. To be sourced.

# own_archive [SUITE]: the address of the archive of Debian's that apt has this suite from, or any release at all; nothing
# where it has none. What /etc/os-release says plays no part: packages of another suite may have replaced that file.
own_archive() {
  apt-get indextargets --format '$(REPO_URI)	$(RELEASE)	$(LABEL)	$(CREATED_BY)' 2>/dev/null |
    awk -F '\t' -v suite="${1:-}" '$3 == "Debian" && $4 == "Packages" && (suite == "" ? $2 !~ /-/ : $2 == suite) { print $1; exit }'
}
