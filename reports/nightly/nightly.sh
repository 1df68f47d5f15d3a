#!/bin/sh
# One night of a lab: qualifies its NICs, compares with the night before, holds the run against a
# policy, and tells people. `vxqual init nightly` wrote it; docs/nightly.md explains it.
#   sh nightly.sh TOPOLOGY POLICY [OPTION...]     options go to `vxqual run`, such as --plan full
#
# VXQUAL_STORE    the store of runs, which outlives this directory; by default out/runs.sqlite
# VXQUAL_NOTIFY   whom to tell, as URLs of apprise with blanks between; by default nobody
# VXQUAL_WHEN     of what: changed (by default), failed or always
# VXQUAL_METRICS  the file for node_exporter's textfile collector, NAME.prom; by default none
#
# It leaves vxqual-report/: summary.md, comparison.md, nics.xml (JUnit), certificate/, and the run
# itself. Its exit code is 1 where a NIC regressed, and otherwise that of `vxqual gate`.
set -u
[ $# -ge 2 ] || { echo "usage: sh nightly.sh TOPOLOGY POLICY [OPTION...]" >&2; exit 4; }
topology=$1 policy=$2
shift 2
command -v vxqual >/dev/null || { echo "nightly.sh: no vxqual on the PATH: install its wheel here" >&2; exit 4; }
: "${VXQUAL_STORE:=out/runs.sqlite}"
report=vxqual-report
rm -rf "./$report"
mkdir "$report" || exit 4

newest() { find out -maxdepth 1 -type d -name '[0-9]*-[0-9]*-[0-9]*' 2>/dev/null | sort | tail -n 1; }
tell() { [ -z "${VXQUAL_NOTIFY:-}" ] || vxqual notify "$@"; }

before=$(newest)
vxqual run "$topology" --store "$VXQUAL_STORE" "$@"
ran=$?
run=$(newest)
if [ "$run" = "$before" ]; then
    # Never judge the run of another night in its place.
    tell --message "vxqual has no run of $topology this night: exit code $ran; the log of the job has the reason"
    exit $((ran ? ran : 3))
fi

vxqual compare "$run" --store "$VXQUAL_STORE" --markdown >"$report/comparison.md"
compared=$?
vxqual gate "$run" --policy "$policy" --mitigation-ok --out "$report/certificate"
gated=$?
vxqual report "$run" --junit "$report/nics.xml" >/dev/null
[ -z "${VXQUAL_METRICS:-}" ] || vxqual report "$run" --store "$VXQUAL_STORE" --metrics "$VXQUAL_METRICS" >/dev/null
vxqual report "$run" --store "$VXQUAL_STORE" --summary | tee "$report/summary.md"
tell "$run" --store "$VXQUAL_STORE" --when "${VXQUAL_WHEN:-changed}"
cp -R "$run" "$report/"

[ "$compared" -ne 1 ] || exit 1
exit "$gated"
