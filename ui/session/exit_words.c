/* exit_words.c - VM-exit qualifications in words.
 * Source: SDM Vol. 3C, "Exit Qualification" of each kind of exit. */
#include <inttypes.h>
#include <stdio.h>

#include "models/vmm/pv/hypercall.h"
#include "ui/session/history.h"

static const char *const regs[] = { "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15" };

static void cr_words(uint64_t q, char *buf, size_t n)
{
	unsigned cr = q & 15, reg = q >> 8 & 15;
	switch (q >> 4 & 3) {
	case 0:  snprintf(buf, n, "mov cr%u, %s", cr, regs[reg]); break;
	case 1:  snprintf(buf, n, "mov %s, cr%u", regs[reg], cr); break;
	case 2:  snprintf(buf, n, "clts"); break;
	default: snprintf(buf, n, "lmsw %#x%s", (unsigned)(q >> 16 & 0xffff), q & BIT(6) ? " from memory" : "");
	}
}

static void io_words(uint64_t q, char *buf, size_t n)
{
	snprintf(buf, n, "%s%s %#x, %u byte%s%s", q & BIT(5) ? "rep " : "", q & BIT(3) ? q & BIT(4) ? "ins" : "in" : q & BIT(4) ? "outs" : "out",
	         (unsigned)(q >> 16 & 0xffff), (unsigned)(q & 7) + 1, q & 7 ? "s" : "", q & BIT(6) ? ", port as immediate" : "");
}

static void ept_words(uint64_t q, uint64_t gpa, char *buf, size_t n)
{
	snprintf(buf, n, "%s%s%sgpa %#" PRIx64 ", EPT allows %s%s%s%s%s", q & 1 ? "read " : "", q & 2 ? "write " : "", q & 4 ? "fetch " : "", gpa,
	         q & 0x38 ? "" : "nothing", q & 8 ? "r" : "", q & 16 ? "w" : "", q & 32 ? "x" : "",
	         !(q & BIT(7)) ? "" : q & BIT(8) ? "" : "; by the walk of the guest's tables");
}

static void event_words(uint32_t info, uint64_t q, char *buf, size_t n)
{
	static const char *const types[] = { "interrupt", "", "NMI", "exception", "int n", "int1", "int3 or into", "other" };
	static const char *const names[] = { "#DE", "#DB", "NMI", "#BP", "#OF", "#BR", "#UD", "#NM", "#DF", "9", "#TS", "#NP", "#SS", "#GP", "#PF", "15", "#MF",
	                                     "#AC", "#MC", "#XM", "#VE", "#CP" };
	unsigned vector = info & 0xff;
	if (!(info & BIT(31)))
		buf[0] = '\0';
	else if (vector == 14)
		snprintf(buf, n, "#PF at %#" PRIx64, q);
	else if (vector < ARRAY_LEN(names) && (info >> 8 & 7) >= 2)
		snprintf(buf, n, "%s", names[vector]);
	else
		snprintf(buf, n, "%s %#x", types[info >> 8 & 7], vector);
}

const char *exit_words(uint32_t reason, uint64_t q, uint32_t info, uint64_t gpa, char *buf, size_t n)
{
	static const char *const task[] = { "CALL", "IRET", "JMP", "task gate" };
	buf[0] = '\0';
	switch (reason & 0xffff) {
	case EXIT_EXCEPTION: case EXIT_EXTINT: event_words(info, q, buf, n); break;
	case EXIT_CR_ACCESS:     cr_words(q, buf, n); break;
	case EXIT_IO:            io_words(q, buf, n); break;
	case EXIT_EPT_VIOLATION: ept_words(q, gpa, buf, n); break;
	case EXIT_EPT_MISCONFIG: snprintf(buf, n, "gpa %#" PRIx64, gpa); break;
	case EXIT_MOV_DR:
		snprintf(buf, n, q & BIT(4) ? "mov %2$s, dr%1$u" : "mov dr%1$u, %2$s", (unsigned)(q & 7), regs[q >> 8 & 15]);
		break;
	case EXIT_INVLPG:        snprintf(buf, n, "linear %#" PRIx64, q); break;
	case EXIT_TASK_SWITCH:   snprintf(buf, n, "to %#x by %s", (unsigned)(q & 0xffff), task[q >> 30 & 3]); break;
	case EXIT_SIPI:          snprintf(buf, n, "vector %#x", (unsigned)(q & 0xff)); break;
	case EXIT_HYPERCALL:     snprintf(buf, n, "%s", q < PV_CALLS ? hypercall_rows[q].name : "unknown"); break;
	default:
		if (reason & BIT(31))
			snprintf(buf, n, "the VM entry failed, qualification %" PRIu64, q);
	}
	return buf;
}
