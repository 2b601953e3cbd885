#!/bin/sh
# The stepping screen through a real terminal (tmux): tests/screen/NAME.keys says what is stepped and which keys are
# pressed; each `shot` must become what tests/screen/NAME/SHOT.WxH shows. GOLDEN=write writes them instead: look at them.
#
#   size 80x24 200x60           the terminals it is done in
#   step ARGUMENTS              vmscope step ARGUMENTS
#   key KEY ...                 as tmux names them: s, Enter, C-c, "text"
#   resize 100x30               the terminal changes its size
#   shot NAME                   what the screen must come to show (within a minute)
#   shot-colours NAME           the same with its attributes
#   end                         vmscope must be gone, the terminal as it was
build=$1
only=${2:-*}
command -v tmux >/dev/null || { echo "not ok screen: tmux is not installed"; exit 1; }
unset TMUX
LC_ALL=C.UTF-8; export LC_ALL
tmp=$(mktemp -d) || exit 1
mux() { tmux -L $socket -f /dev/null "$@"; }
trap 'mux kill-server 2>/dev/null; rm -rf "$tmp"' EXIT
trap 'exit 1' INT TERM

capture() {
	mux capture-pane -p $1 -t 0 >"$tmp/raw" 2>/dev/null || echo "(no terminal)" >"$tmp/raw"
	# what a snapshot weighs changes with every field of the model: only that it is said, and how wide
	sed -e 's/[[:space:]]*$//' -e ':n' -e 's/\(snapshots every [0-9 ]* insns, [# ]*\)[0-9]\([0-9 ]* KB\)/\1#\2/' -e 'tn' "$tmp/raw" >"$tmp/now"
}

# until_shown GOLDEN FLAGS
until_shown() {
	tries=0
	while [ $tries -lt 600 ]; do
		capture "$2"
		cmp -s "$1" "$tmp/now" && return 0
		sleep 0.1
		tries=$((tries + 1))
		# a screen that has long been still is not going to change
		if cmp -s "$tmp/now" "$tmp/before"; then still=$((still + 1)); else still=0; fi
		[ $still -lt 100 ] || break
		cp "$tmp/now" "$tmp/before"
	done
	return 1
}
until_still() {
	still=0
	while [ $still -lt 8 ]; do
		capture "$1"
		if cmp -s "$tmp/now" "$tmp/before"; then still=$((still + 1)); else still=0; fi
		cp "$tmp/now" "$tmp/before"
		sleep 0.1
	done
}

# play FILE WxH
play() {
	name=$(basename "$1" .keys) size=$2 bad=
	w=${size%x*} h=${size#*x} socket=vmscope-test-$$-$name-$size
	mux new-session -d -x "$w" -y "$h" "sh" || { echo "not ok screen $name $size: no terminal"; return; }
	mux set-option -g status off
	mux resize-window -t 0 -x "$w" -y "$h" 2>/dev/null
	mux send-keys -t 0 "PS1='\$ '; clear" Enter
	while read -r what rest; do
		case $what in
		''|'#'*|size) ;;
		step)
			mux send-keys -t 0 "stty -echo; clear; '$PWD/$build/vmscope' step $rest; echo left with \$?" Enter
			tries=0
			until capture && grep -q '│\||' "$tmp/now" || [ $tries -gt 300 ]; do sleep 0.1; tries=$((tries + 1)); done;;
		key) eval "mux send-keys -t 0 $rest";;
		resize) mux resize-window -t 0 -x "${rest%x*}" -y "${rest#*x}";;
		shot|shot-colours|end)
			flags=
			[ $what = shot-colours ] && flags=-e
			[ $what = end ] && rest=end
			golden=tests/screen/$name/$rest.$size
			: >"$tmp/before"; still=0
			if [ "${GOLDEN:-}" = write ]; then
				mkdir -p "tests/screen/$name"
				until_still $flags
				cp "$tmp/now" "$golden"
			elif ! until_shown "$golden" $flags; then
				bad=1
				echo "not ok screen $name $rest $size"
				diff "$golden" "$tmp/now" | head -n 20
			fi;;
		*) echo "not ok screen $name: '$what' is no such line"; bad=1;;
		esac
	done <"$1"
	mux kill-server 2>/dev/null
	[ -n "$bad" ] || echo "ok screen $name $size"
}

for file in tests/screen/$only.keys; do
	for size in $(sed -n 's/^size //p' "$file"); do
		play "$file" "$size" </dev/null
	done
done
