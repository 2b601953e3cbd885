# vcd.awk - is a file a value change dump as IEEE 1364 has it? Declarations first; times only grow; every change is of a declared
# variable, as wide as declared, and a change; scopes balanced. Prints what is wrong.
function wrong(what) { if (++bad <= 5) print FILENAME ":" NR ": " what }
function change(id, bits, value) {
	if (!(id in width))
		wrong("an undeclared variable")
	else if (width[id] != bits)
		wrong("a value of " bits " bits for one of " width[id])
	if (!dumping && now[id] == value)
		wrong("no change")
	now[id] = value; changes++
}
!defined && $1 == "$scope" { scopes++; if ($NF != "$end") wrong("no $end") }
!defined && $1 == "$upscope" { scopes-- }
!defined && $1 == "$timescale" { if ($0 !~ /^\$timescale 1 ps \$end$/) wrong("timescale"); scale = 1 }
!defined && $1 == "$var" {
	if (NF != 6 || $2 != "wire" || $NF != "$end") wrong("a $var of another form")
	if ($4 in width) wrong("one identifier twice")
	width[$4] = $3; vars++
}
$1 == "$enddefinitions" { defined = 1; if (scopes) wrong("scopes are not balanced"); if (!scale) wrong("no timescale"); next }
!defined { next }
/^#/ { t = substr($0, 2); if (t !~ /^[0-9]+$/ || (timed && t + 0 <= time)) wrong("time does not grow"); time = t + 0; timed = 1; next }
$0 == "$dumpvars" { dumping = dumped = 1; next }
$0 == "$end" { dumping = 0; next }
!timed { wrong("a value before the first time") }
/^[01]/ { change(substr($0, 2), 1, substr($0, 1, 1)); next }
/^b[01]+ / { change($2, length($1) - 1, $1); next }
{ wrong("neither time nor value") }
END {
	if (!dumped) wrong("no initial values")
	for (id in width) if (!(id in now)) wrong("variable " id " has no value")
	printf "%d variables, %d changes\n", vars, changes
	exit bad != 0
}
