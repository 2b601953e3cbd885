/* start.S - bench64's way in: long mode, then bench_main(multiboot information) in C. */
#include "start64.inc"
#include "console.inc"

start64:
	mov	%edi, %edi		/* the upper half is not zero by contract */
	call	bench_main
	POWER_OFF
