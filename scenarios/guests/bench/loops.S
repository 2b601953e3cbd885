/* loops.S - the measured loops of bench64, in assembly so that the number of instructions per
 * iteration is a fact and not a compiler's choice.  The constants are in loops.h.
 * Arguments as in the System V ABI: rdi, rsi, rdx, rcx.                                        */

/* void cross_out(u8 *sieve, u64 start, u64 step, u64 end): clear every step-th byte */
	.text
	.globl	cross_out
	.balign	64
cross_out:
1:	movb	$0, (%rdi,%rsi)
	add	%rdx, %rsi
	cmp	%rcx, %rsi
	jb	1b
	ret

/* void fill_bytes(u8 *sieve, u64 n): n > 0 */
	.globl	fill_bytes
	.balign	64
fill_bytes:
	xor	%ecx, %ecx
1:	movb	$1, (%rdi,%rcx)
	inc	%rcx
	cmp	%rsi, %rcx
	jb	1b
	ret

/* u64 sum_bytes(const u8 *sieve, u64 n): n > 0 */
	.globl	sum_bytes
	.balign	64
sum_bytes:
	xor	%eax, %eax
1:	movzbl	-1(%rdi,%rsi), %ecx
	add	%rcx, %rax
	dec	%rsi
	jnz	1b
	ret

/* void copy_words(u64 *to, const u64 *from, u64 words): words > 0 */
	.globl	copy_words
	.balign	64
copy_words:
	xor	%ecx, %ecx
1:	mov	(%rsi,%rcx,8), %rax
	mov	%rax, (%rdi,%rcx,8)
	inc	%rcx
	cmp	%rdx, %rcx
	jb	1b
	ret

/* void *chase(void *node, u64 steps): steps > 0; each node's first word points to the next */
	.globl	chase
	.balign	64
chase:	mov	%rdi, %rax
1:	mov	(%rax), %rax
	dec	%rsi
	jnz	1b
	ret

	.globl	roi_begin, roi_end
	.balign	16
roi_begin:
	ret
	.balign	16
roi_end:
	ret
