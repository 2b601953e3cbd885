/* hello64.S - a multiboot guest that switches to long mode and prints one line from ring 0.
 * prints: hello from 64-bit long mode                                                        */
#include "start64.inc"
#include "console.inc"

start64:
	PUTS	hello
	POWER_OFF

hello:	.asciz	"hello from 64-bit long mode\n"
