#!/bin/sh
# real.sh - boot software that nobody here wrote and see it work: xv6 to its shell and through usertests, Debian's
# memtest86+ to its screen, Debian's Linux kernel with a busybox initramfs to a shell, and that kernel's own KVM running
# a tiny guest (kvm_hello.c) on the simulated CPU's VMX.
#
# xv6 is the user's to build (mit-pdos/xv6-public: kernel, fs.img) and named with --images DIR, or DIR/xv6.  The rest
# comes from Debian's archive: apt-get download and dpkg -x into --cache, nothing is installed.
# What cannot run here is skipped by name.  Exit status: 0 nothing failed, 1 a case failed, 2 wrong usage.
set -u
LC_ALL=C; export LC_ALL

here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
images= vmscope=$top/vmscope only= cache=$top/build/real logs= speed=fast limit=3600 qemu= mmus=native

usage() {
	cat >&2 <<-EOF
	usage: real.sh [--images DIR] [--vmscope PROGRAM] [--only CASE,...] [--speed detailed|fast] [--timeout S]
	               [--cache DIR] [--logs DIR] [--mmu TECHNIQUE,...] [--qemu]
	  cases: xv6-1 xv6-2 (usertests on 1 and 2 CPUs) xv6-ls memtest-64 memtest-32 linux kvm
	  --timeout  host seconds for one case (default $limit)
	  --mmu      each case on the bare machine (native) and in a virtual machine: ept, shadow.wp, bt/shadow, trap/shadow:whatif (the CPU
	             whose critical instructions trap), ... (default native); nested: the case kvm alone, in a virtual machine that is offered VMX
	  --qemu     run the cases on QEMU (TCG) instead, to check the cases themselves
	EOF
	exit 2
}
need() { [ $# -ge 2 ] || usage; }
while [ $# -gt 0 ]; do
	case $1 in
	--images) need "$@"; images=$2; shift;;
	--vmscope) need "$@"; vmscope=$2; shift;;
	--only) need "$@"; only=$2; shift;;
	--cache) need "$@"; cache=$2; shift;;
	--logs) need "$@"; logs=$2; shift;;
	--speed) need "$@"; speed=$2; shift;;
	--timeout) need "$@"; limit=$2; shift;;
	--mmu) need "$@"; mmus=$2; shift;;
	--qemu) qemu=1;;
	*) echo "real.sh: unknown argument '$1'" >&2; usage;;
	esac
	shift
done
if [ -n "$qemu" ]; then
	command -v qemu-system-x86_64 >/dev/null || { echo "real: skipped: qemu-system-x86_64 is not installed"; exit 0; }
elif [ ! -x "$vmscope" ]; then
	echo "real.sh: $vmscope: no such program; run make first" >&2; exit 2
fi
mkdir -p "$cache" || exit 2
tmp=$(mktemp -d "${TMPDIR:-/tmp}/real.XXXXXX") || exit 2
trap 'rm -rf "$tmp"' EXIT
trap 'exit 2' INT TERM
[ -n "$logs" ] && { mkdir -p "$logs" || exit 2; } || logs=$tmp
passed=0 failed=0 skipped=0

wanted() { case ",${only:-$1}," in *,"$1",*) ;; *) return 1;; esac; }
skip() { echo "$1: skipped: $2"; skipped=$((skipped + 1)); }

# debian PACKAGE FILE: print the path of FILE out of Debian's PACKAGE, fetched once; nothing when it cannot be had.
# A * in FILE matches any name.
debian() {
	dir=$cache/$1
	if [ ! -d "$dir" ]; then
		command -v apt-get >/dev/null && command -v dpkg >/dev/null || return 1
		(
			mkdir "$tmp/$1" && cd "$tmp/$1" && apt-get download "$1" >/dev/null 2>&1 &&
				dpkg -x ./*.deb "$dir.part" && mv "$dir.part" "$dir"
		) || { rm -rf "$dir.part"; return 1; }
	fi
	for f in "$dir"/$2; do [ -f "$f" ] && { echo "$f"; return 0; }; done
	return 1
}

# The initramfs's files: busybox, and an /init that runs /extra, if there is one, and leaves a shell on the serial console.
make_root() {
	busybox=$(debian busybox-static bin/busybox) || return 1
	root=$tmp/root
	rm -rf "$root"
	mkdir -p "$root/bin" "$root/proc" "$root/sys" "$root/dev"
	cp "$busybox" "$root/bin/busybox"
	for name in sh mount setsid; do ln -s busybox "$root/bin/$name"; done
	cat >"$root/init" <<-'EOF'
	#!/bin/sh
	export PATH=/bin
	/bin/busybox --install -s /bin
	mount -t proc proc /proc
	mount -t sysfs sys /sys
	mount -t devtmpfs dev /dev
	echo "init: userspace reached"
	[ -e /extra ] && sh /extra
	exec setsid -c sh -c 'exec sh </dev/ttyS0 >/dev/ttyS0 2>&1'
	EOF
	chmod +x "$root/init"
}
make_initrd() {
	"$busybox" --list | grep -qx cpio || command -v cpio >/dev/null || return 1
	initrd=$cache/initrd-$1.gz
	(
		cd "$root" && find . | sort |
			if command -v cpio >/dev/null; then cpio -o -H newc -R 0:0 --quiet; else "$busybox" cpio -o -H newc; fi |
			gzip -9n >"$initrd.part" && mv "$initrd.part" "$initrd"
	)
	[ -s "$initrd" ]
}

# run NAME SCRIPT KERNEL CPUS RAM [flags]: boot KERNEL, typing by SCRIPT: its @expect lines are also what must appear, in order.
# Flags are vmscope's: --append S, --initrd F, --disk F, --disk2 F, --max-cycles N.
run() {
	name=$1 script=$2 kernel=$3 cpus=$4 ram=$5
	shift 5
	[ "$mmu" = native ] || name=$name@$(echo "$mmu" | tr /: --)
	case $mmu in
	nested) vm="--mmu ept --set nested=true";;
	*:whatif) vm=${mmu%:whatif} vm="--cpu ${vm%/*} --mmu ${vm#*/} --set trap.critical=1";;
	*/*) vm="--cpu ${mmu%/*} --mmu ${mmu#*/}";;
	*) vm="--mmu $mmu";;
	esac
	out=$logs/$name.log
	begin=$(date +%s)
	if [ -n "$qemu" ]; then
		run_qemu "$@"
	else
		# shellcheck disable=SC2086  # flags are words
		timeout -k 5 "$limit" "$vmscope" boot "$kernel" --cpus "$cpus" --ram "$ram" --speed "$speed" --quiet $vm \
			--input "$script" "$@" >"$out" 2>"$out.err" </dev/null
	fi
	status=$?
	# Colours and cursor movements out, then each awaited text in its turn.
	missing=$(sed -n 's/^@expect "\(.*\)"$/\1/p' "$script" | awk -v log_="$out" '
		BEGIN {
			esc = sprintf("%c", 27)
			while ((getline line <log_) > 0) { gsub(/\r/, "", line); gsub(esc "\\[[0-9;?]*[A-Za-z]", "", line); text = text line "\n" }
		}
		{ at = index(text, $0); if (!at) { print; exit } text = substr(text, at + length($0)) }')
	took=$(($(date +%s) - begin))
	if [ -z "$missing" ] && [ "$status" = 0 ]; then
		echo "$name: ok ($took s)"; passed=$((passed + 1))
	else
		echo "$name: FAILED (status $status, $took s)${missing:+: never printed \"$missing\"}"
		tail -n 5 "$out" | tr -d '\r' | sed 's/^/    | /'
		tail -n 3 "$out.err" 2>/dev/null | sed 's/^/    ! /'
		failed=$((failed + 1))
	fi
}

# The same on QEMU: translate the flags, and play the script against the growing log.
run_qemu() {
	q="-M pc -cpu max -accel tcg -smp $cpus -m ${ram%[MG]}$(echo "$ram" | tr -d 0-9) -display none -monitor none -no-reboot"
	index=0
	append= initrd=
	while [ $# -gt 0 ]; do
		case $1 in
		--append) append=$2;;
		--initrd) initrd=$2;;
		--disk) cp "$2" "$tmp/disk0"; q="$q -drive file=$tmp/disk0,index=0,media=disk,format=raw";;
		--disk2) cp "$2" "$tmp/disk1"; q="$q -drive file=$tmp/disk1,index=1,media=disk,format=raw";;
		esac
		shift 2
	done
	rm -f "$tmp/in"; mkfifo "$tmp/in"
	: >"$out"
	# shellcheck disable=SC2086
	timeout -k 5 "$limit" qemu-system-x86_64 $q -serial stdio -kernel "$kernel" ${append:+-append "$append"} ${initrd:+-initrd $initrd} \
		<"$tmp/in" >"$out" 2>"$out.err" &
	pid=$!
	exec 3>"$tmp/in"
	at=1 result=0
	while IFS= read -r line; do
		case $line in
		"@expect "*)
			want=${line#@expect ?}
			while :; do
				kill -0 "$pid" 2>/dev/null || { result=1; break 2; }
				next=$(tr -d '\r' <"$out" | awk -v want="${want%?}" -v at="$at" '
					{ text = text $0 "\n" }
					END { text = substr(text, at); i = index(text, want); if (i) print at + i - 1 + length(want) }')
				[ -n "$next" ] && { at=$next; break; }
				sleep 0.2
			done;;
		"@exit "*) break;;
		*) printf '%s\n' "$line" >&3;;
		esac
	done <"$script"
	exec 3>&-
	kill "$pid" 2>/dev/null; wait "$pid" 2>/dev/null
	return $result
}

xv6_case() {
	name=$1 cpus=$2
	wanted "$name" || return 0
	dir=
	for d in "$images" "$images/xv6"; do [ -f "$d/kernel" ] && [ -f "$d/fs.img" ] && { dir=$d; break; }; done
	[ -n "$dir" ] || { skip "$name" "no xv6 kernel and fs.img (--images DIR)"; return 0; }
	cat >"$tmp/xv6.in" <<-'EOF'
	@expect "init: starting sh"
	@expect "$"
	ls
	@expect "usertests"
	@expect "console"
	@expect "$"
	EOF
	[ "$name" = xv6-ls ] && echo '@exit 0' >>"$tmp/xv6.in" || cat >>"$tmp/xv6.in" <<-'EOF'
	usertests
	@expect "usertests starting"
	@expect "ALL TESTS PASSED"
	@expect "$"
	@exit 0
	EOF
	boot=$dir/xv6.img
	[ -f "$boot" ] || boot=$dir/fs.img
	run "$name" "$tmp/xv6.in" "$dir/kernel" "$cpus" 512M --disk "$boot" --disk2 "$dir/fs.img" --max-cycles 2000000000000
}

memtest_case() {
	name=$1 file=$2
	wanted "$name" || return 0
	kernel=$(debian memtest86+ "boot/$file") || { skip "$name" "Debian's package memtest86+ cannot be had here"; return 0; }
	# Its serial console repeats the screen, position by position.
	cat >"$tmp/memtest.in" <<-'EOF'
	@expect "Memtest86+"
	@expect "Testing"
	@expect "Pass"
	@exit 0
	EOF
	run "$name" "$tmp/memtest.in" "$kernel" 1 64M --append console=ttyS0,115200 --max-cycles 400000000000
}

# The kernel and the initramfs of a case, or say why it is skipped.
need_linux() {
	version=$(apt-cache depends linux-image-cloud-amd64 2>/dev/null | sed -n 's/.*Depends: \(linux-image-[0-9][^ ]*\).*/\1/p' | head -n 1)
	# Once fetched, the kernel in the cache will do without apt.
	[ -n "$version" ] || version=$(cd "$cache" && ls -d linux-image-[0-9]* 2>/dev/null | head -n 1)
	[ -n "$version" ] || { skip "$1" "Debian's package linux-image-cloud-amd64 cannot be had here"; return 1; }
	kernel=$(debian "$version" 'boot/vmlinuz-*') || { skip "$1" "Debian's package $version cannot be had here"; return 1; }
	make_root || { skip "$1" "no initramfs: Debian's package busybox-static cannot be had here"; return 1; }
}

linux_case() {
	wanted linux || return 0
	need_linux linux || return 0
	make_initrd linux || { skip linux "no initramfs: cpio is missing"; return 0; }
	cat >"$tmp/linux.in" <<-'EOF'
	@expect "init: userspace reached"
	@expect "/ #"
	echo vm""scope says hello
	@expect "vmscope says hello"
	@expect "/ #"
	uname -a
	@expect "Linux (none)"
	@expect "GNU/Linux"
	@expect "/ #"
	@exit 0
	EOF
	run linux "$tmp/linux.in" "$kernel" 1 512M --initrd "$initrd" --append "console=ttyS0 panic=-1" --max-cycles 2000000000000
}

# Linux as a hypervisor: its kvm-intel (kvm-amd on QEMU, which has no VMX) is loaded and runs kvm_hello.c's guest.
kvm_case() {
	wanted kvm || return 0
	need_linux kvm || return 0
	${CC:-cc} -std=c17 -D_DEFAULT_SOURCE -O2 -static -o "$root/bin/kvm_hello" "$here/kvm_hello.c" ||
		{ skip kvm "no C compiler that links statically"; return 0; }
	for module in virt/lib/irqbypass arch/x86/kvm/kvm arch/x86/kvm/kvm-intel arch/x86/kvm/kvm-amd; do
		ko=$(debian "$version" "lib/modules/*/kernel/$module.ko") || { skip kvm "no $module.ko in Debian's package $version"; return 0; }
		cp "$ko" "$root/"
	done
	cat >"$root/extra" <<-'EOF'
	insmod /irqbypass.ko
	insmod /kvm.ko
	insmod /kvm-intel.ko || insmod /kvm-amd.ko
	kvm_hello
	EOF
	make_initrd kvm || { skip kvm "no initramfs: cpio is missing"; return 0; }
	cat >"$tmp/kvm.in" <<-'EOF'
	@expect "kvm: the guest wrote '9' to port 0x3f8"
	@expect "kvm: PASS"
	@expect "/ #"
	@exit 0
	EOF
	run kvm "$tmp/kvm.in" "$kernel" 1 512M --initrd "$initrd" --append "console=ttyS0 panic=-1" --max-cycles 2000000000000
}

for mmu in $(echo "$mmus" | tr , ' '); do
	[ "$mmu" = nested ] && { kvm_case; continue; }
	xv6_case xv6-1 1
	xv6_case xv6-2 2
	xv6_case xv6-ls 1
	memtest_case memtest-64 memtest86+x64.bin
	memtest_case memtest-32 memtest86+ia32.bin
	linux_case
	[ "$mmu" = native ] && kvm_case
done
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
