/* ap.S - what another processor executes after INIT and SIPI: real mode, CS:IP = 0800:0000.
 * smp.c copies this to 0x8000, below which the loader and the firmware have their things.
 * It adds to the shared counter AP_COUNT times, says so, and halts for good.                  */
	.section .rodata
	.globl	ap_code, ap_code_end
	.code16
ap_code:
	mov	%cs, %ax
	mov	%ax, %ds
	mov	ap_turns - ap_code, %ecx
1:	lock incl ap_counter - ap_code
	dec	%ecx
	jnz	1b
	lock incl ap_finished - ap_code
2:	cli
	hlt
	jmp	2b

	.balign	4
	.globl	ap_turns, ap_counter, ap_finished
ap_turns:	.long	0
ap_counter:	.long	0
ap_finished:	.long	0
ap_code_end:
