#!/bin/sh
# Runs make targets one after another, and says at the end how long each took: phases.sh TARGETS …
# Several targets in one argument run side by side; what each prints is shown when it ends.
set -u
told='' code=0 all=$(date +%s)
for targets in "$@"; do
    began=$(date +%s)
    case $targets in *' '*) beside='-j 2 --output-sync=target' ;; *) beside='' ;; esac
    # shellcheck disable=SC2086  # several words on purpose
    ${MAKE:-make} --no-print-directory $beside $targets || code=$?
    told=$told$(printf '%6d s  %s' $(($(date +%s) - began)) "$targets")'
'
    [ "$code" = 0 ] || break
done
printf '\n%s%6d s  in all\n' "$told" $(($(date +%s) - all))
exit "$code"
