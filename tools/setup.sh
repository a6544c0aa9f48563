# Source this from the repository's root, in any POSIX-like shell, so that `hatch` is found afterwards:
#
#     . tools/setup.sh && hatch run quickstart
#
# tools/prepare.sh does the work in a shell of its own and prints what to set in this one.
if _vrl_settings=$(sh tools/prepare.sh </dev/null); then
    eval "$_vrl_settings"
else
    false
fi
