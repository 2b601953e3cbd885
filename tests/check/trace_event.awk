# trace_event.awk - does a file that vmscope wrote follow the trace event format's rules? One event a line, as it writes them.
# Per track: B and E balanced, times of beginnings never going back, slices nested (no two overlap partly), dur >= 0; ids of
# arrows in pairs, s before f and both on a slice; every track of slices named; required keys. Prints what is wrong.
function field(key,   p, rest) {
	p = index($0, "\"" key "\":")
	if (!p)
		return ""
	rest = substr($0, p + length(key) + 3)
	if (substr(rest, 1, 1) == "\"") {
		rest = substr(rest, 2)
		return substr(rest, 1, index(rest, "\"") - 1)
	}
	match(rest, /^[-0-9.]+/)
	return substr(rest, 1, RLENGTH)
}
# whole nanoseconds: exact up to 2^53
function nanoseconds(text,   part) {
	if (split(text, part, ".") != 2 || length(part[2]) != 3)
		wrong("a time is not microseconds with three digits: " text)
	return part[1] * 1000 + part[2]
}
function wrong(what) {
	if (++bad <= 5)
		print FILENAME ":" NR ": " what
}
# leave every X slice that has ended; what begins now must end within the innermost
function enter(track, from, to) {
	while (depth[track] && kind[track, depth[track]] == "X" && until[track, depth[track]] <= from &&
	       !(until[track, depth[track]] == from && to == from && began[track, depth[track]] == from))
		depth[track]--
	if (depth[track] && kind[track, depth[track]] == "X" && to > until[track, depth[track]])
		wrong("a slice ends after the one it is in")
	if (from < last[track])
		wrong("time goes back on its track")
	last[track] = from
}
NR == 1 { if ($0 != "{\"traceEvents\":[") wrong("does not begin with traceEvents"); next }
/^\],$/ { closed = 1; next }
closed { next }
!/^{"ph":".*},?$/ || /[{,],/ || /,}/ { wrong("not one object a line") }
{
	ph = field("ph"); track = field("pid") "/" field("tid")
	if (ph == "" || field("pid") == "" || field("tid") == "")
		wrong("ph, pid or tid is missing")
	if (ph != "E" && field("name") == "" && ph != "M")
		wrong("a name is missing")
	count[ph]++
}
ph == "M" { if (index($0, "\"thread_name\"")) named[track] = 1; next }
{ ts = nanoseconds(field("ts")); if (ph ~ /[BXE]/ && !(track in named)) wrong("a track without a name") }
ph == "B" {
	enter(track, ts, ts)
	depth[track]++; kind[track, depth[track]] = "B"; opened[track]++
}
ph == "X" {
	dur = nanoseconds(field("dur"))
	if (dur < 0)
		wrong("dur < 0")
	enter(track, ts, ts + dur)
	depth[track]++; kind[track, depth[track]] = "X"; until[track, depth[track]] = ts + dur; began[track, depth[track]] = ts
}
ph == "E" {
	while (depth[track] && kind[track, depth[track]] == "X") {
		if (until[track, depth[track]] > ts)
			wrong("E inside a slice")
		depth[track]--
	}
	if (!depth[track])
		wrong("E without B")
	else
		depth[track]--
	if (ts < last[track])
		wrong("time goes back on its track")
	last[track] = ts; opened[track]--
}
ph == "i" { if (field("s") != "t") wrong("an instant without scope"); if (ts < last[track]) wrong("time goes back on its track"); last[track] = ts }
ph == "C" { if (!index($0, "\"args\":{\"")) wrong("a counter without values"); if (ts < counted[field("name"), field("pid")]) wrong("a counter goes back"); counted[field("name"), field("pid")] = ts }
ph == "s" { start[field("id")] = ts }
ph == "f" { if (!(field("id") in start)) wrong("an arrow without its beginning"); else if (start[field("id")] > ts) wrong("an arrow back in time"); delete start[field("id")]; if (field("bp") != "e") wrong("an arrow that does not end on a slice") }
ph !~ /^[BEXiCsfM]$/ { wrong("unknown phase " ph) }
END {
	if (!closed)
		wrong("not ended")
	for (t in opened)
		if (opened[t])
			wrong("track " t ": " opened[t] " slices do not end")
	for (id in start)
		wrong("arrow " id " does not end")
	printf "%d slices, %d instants, %d counter samples, %d arrows\n", count["B"] + count["X"], count["i"], count["C"], count["f"]
	exit bad != 0
}
