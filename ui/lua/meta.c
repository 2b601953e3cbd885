/* meta.c - the ---@meta file: the scenario language for editors that understand LuaCATS
 * annotations. */
#include <stdio.h>
#include <string.h>

#include "ui/cli/item.h"
#include "ui/lua/api.h"

struct class { const char *name, *sentence; struct { const char *name, *type, *doc; } field[20]; };

/* Options tables: their keys are checked by the functions that take them. */
static const struct class options[] = {
	{ "BootOptions", "what to load", {
		{ "kernel", "string", "image file: Linux, Multiboot, PVH, boot sector, or flat with base" },
		{ "cmdline?", "string", "the kernel's command line" },
		{ "initrd?", "string", "initial RAM disk" },
		{ "modules?", "string[]", "Multiboot modules: \"file arguments\"" },
		{ "base?", "integer", "load and enter a flat binary here" },
	} },
	{ "VmOptions", "a virtual machine: the keys of machine (ram, cpus, disk, mmu, page, eager, tags ...) and of boot", {
		{ "kernel", "string", "image file, as for boot" },
		{ "cmdline?", "string", "the kernel's command line" },
		{ "initrd?", "string", "initial RAM disk" },
		{ "modules?", "string[]", "Multiboot modules: \"file arguments\"" },
		{ "base?", "integer", "load and enter a flat binary here" },
		{ "cpu?", "string", "CPU virtualization: vmx" },
		{ "mmu?", "string", "memory virtualization: ept, shadow.wp, ..." },
		{ "ram?", "string|integer", "its memory; 64M" },
		{ "cpus?", "integer", "virtual CPUs; 1" },
		{ "console?", "boolean", "false: its console is kept but not printed" },
	} },
	{ "RunOptions", "until when to run", {
		{ "until_?", "string|fun(m: Machine): any", "\"guest-exit\" (the default), a trace event's name, or a predicate asked every `every` instructions" },
		{ "until_console?", "string", "until the guest has printed this text" },
		{ "until_address?", "integer|string", "until this linear address or symbol is about to execute" },
		{ "max_cycles?", "integer", "at most so many cycles more" },
		{ "max_instructions?", "integer", "at most so many instructions more" },
		{ "every?", "integer", "instructions between two questions to the predicate: 1" },
	} },
	{ "ClassifyOptions", "the CPU to classify the instructions of", {
		{ "profile", "string?", "its profile: skylake" },
		{ "umip", "boolean?", "with user-mode instruction prevention" },
		{ "trap_critical", "boolean?", "the what-if machine whose critical instructions trap" },
	} },
	{ "Verdict", "what an instruction is", {
		{ "instruction", "string", "its mnemonic, and the form where that matters: \"mov sreg\"" },
		{ "mode", "integer", "32 or 64" },
		{ "class", "string", "privileged, critical, innocuous, or not executed" },
		{ "control", "boolean", "it changed a resource without a trap" },
		{ "behaviour", "boolean", "its results told a resource or the ring, without a trap" },
		{ "evidence", "string", "the two executions that show it" },
	} },
	{ "EquivOptions", "the run under test: keys of machine and m:vm (cpu, mmu, profile, ram: 64M, ...), and", {
		{ "kernel", "string", "the image" },
		{ "cmdline?", "string", "its command line" },
		{ "initrd?", "string", "initial RAM disk, or first module" },
		{ "console?", "boolean", "true: what the guest prints is printed" },
		{ "max_instructions?", "integer", "of the guest" },
		{ "max_cycles?", "integer", "of the machine under test" },
	} },
	{ "Equivalence", "what equiv found", {
		{ "ok", "boolean", "every instruction did what it does on a bare machine" },
		{ "text", "string", "in words" },
		{ "instructions", "integer", "of the guest, compared" },
		{ "interrupts", "integer", "taken over by the bare machine" },
		{ "address", "integer?", "linear, of the instruction that differed" },
		{ "ring", "integer?", "the guest's" },
		{ "symbol", "string?", "where that is" },
		{ "instruction", "string?", "disassembled" },
		{ "critical", "boolean?", "by the table of instructions" },
		{ "reason", "string?", "why" },
		{ "fields", "table[]?", "each with name, bare and test" },
	} },
	{ "GoOptions", "a moment", {
		{ "instruction", "integer?", "after so many instructions of all CPUs" },
		{ "cycle", "integer?", "the first moment at or after this cycle" },
		{ "event", "string?", "a trace event, exit.cpuid (list exits), exception.14" },
		{ "n", "integer?", "the n-th since the beginning: 1" },
	} },
	{ "GuidePage", "a page of a guide", {
		{ "title", "string", "its first line" },
		{ "text", "string", "what to know and what to press; lines are broken to the pane's width" },
		{ "show", "string?", "a pane to look at meanwhile (vmscope list panes)" },
		{ "done", "(fun(): boolean)?", "asked after each key; the next page comes when it says true" },
	} },
	{ "ExitEvent", "a VM exit, before it is served", {
		{ "event", "string", "exit.cpuid, ..." },
		{ "cycle", "integer", "when" },
		{ "cpu", "integer", "the physical CPU" },
		{ "vcpu", "integer", "the virtual one" },
		{ "reason", "integer", "basic exit reason" },
		{ "qualification", "integer", "exit qualification" },
		{ "length", "integer", "VM-exit instruction length" },
		{ "rip", "integer", "the guest's RIP" },
		{ "regs", "table<string, integer>", "general registers but RSP: what is there afterwards is what the guest finds" },
	} },
	{ "Report", "a table to print", {
		{ "title?", "string", "printed above" },
		{ "columns", "string[]", "column heads" },
		{ "rows", "table[]", "each an array in the columns' order, or a table by column name" },
	} },
	{ "CompareOptions", "what to compare; lists may be a single name", {
		{ "workload?", "string[]|string", "what the guests run, parameters if wanted: \"gups size=16m\"; the standard ones" },
		{ "technique?", "string[]|string", "native, ept, ept:2M, shadow.wp, vmx/ept, ...; the standard ones" },
		{ "profile?", "string[]|string", "CPU profiles; skylake" },
		{ "page?", "string[]|string", "EPT page sizes: every ept once with each" },
		{ "image?", "string", "the guest: a built one by name, or a file; kernel64" },
		{ "initrd?", "string", "initial RAM disk" },
		{ "ram?", "string|integer", "the guest's memory; 128M" },
		{ "cpus?", "integer", "CPUs of the machine and the guest; 1" },
		{ "set?", "table<string, any>", "rows of the profile or configuration" },
		{ "sweep?", "string", "\"name=a..b[:step|xN]\": a profile row or a parameter of the workload" },
		{ "except?", "string[]|string", "final memory that may differ: a symbol or LOW-HIGH" },
		{ "memory?", "boolean", "false: only the consoles are compared" },
		{ "all?", "boolean", "every pair of techniques that is modelled" },
		{ "show?", "string", "parts of the text: summary,why,exits,walks,ledger" },
		{ "max_cycles?", "integer", "of each case" },
		{ "seed?", "integer", "of every random stream" },
	} },
	{ "Comparison", "what compare found; report prints it", {
		{ "ok", "boolean", "every case ran to its end and did the same work as on the bare machine" },
		{ "rows", "ComparisonRow[]", "one for each case" },
		{ "divergences", "string[]", "where techniques diverge from the bare machine" },
		{ "text", "string", "the tables" },
	} },
	{ "ComparisonRow", "one case; the keys of vmscope list metrics are fields too", {
		{ "profile", "string", "CPU profile" },
		{ "workload", "string", "as it was named" },
		{ "technique", "string", "\"vmx/ept:2M\"" },
		{ "value", "integer|nil", "of the sweep" },
		{ "outcome", "string", "ok, failed, limit, refused, crashed, not run" },
		{ "why", "string|nil", "what is wrong" },
		{ "slowdown", "number|nil", "cycles by the bare machine's" },
		{ "why_text", "string|nil", "on the rows of the bare machine: who wins, by how much and why" },
		{ "console", "string", "what the guest printed" },
		{ "shares", "table<string, integer>", "the ledger in a few parts" },
		{ "stats", "table<string, integer>", "every statistic and cell of the ledger that is not 0, of the measured part" },
	} },
	{ "MicroStep", "something that happened inside an instruction: a trace event, whose own arguments are fields too", {
		{ "event", "string", "its name (vmscope list events)" },
		{ "text", "string", "a line for people" },
		{ "took", "integer", "cycles since the step before" },
		{ "cycle", "integer", "when" },
		{ "component", "string", "who: cpu0, ..." },
	} },
	{ "Event", "what a listener is told; the event's own arguments are fields too", {
		{ "event", "string", "its name" },
		{ "cycle", "integer", "when" },
		{ "component", "string", "who: cpu0, ..." },
		{ "cpu", "integer|nil", "the number when it was a CPU" },
		{ "line", "string|nil", "of a console line" },
	} },
	{ "Translation", "a block of translated code", {
		{ "rip", "integer", "the guest's address" },
		{ "at", "integer", "that of its translation" },
		{ "vcpu", "integer", "whose code cache it is in" },
		{ "instructions", "integer", "of the guest" },
		{ "guest_bytes", "integer", "their length" },
		{ "bytes", "integer", "length of the translation" },
		{ "live", "boolean", "false: dropped" },
		{ "exits", "table[]", "direct branches out of it: target, chained" },
		{ "lines", "table[]", "translated instructions: at, code, note; where one of the guest's begins also rip, guest" },
	} },
	{ "Stop", "what may stop a run", {
		{ "id", "integer", "for unbreak" },
		{ "text", "string", "as it was written" },
		{ "hits", "integer", "how often it has stopped the run" },
	} },
	{ "StopHit", "what has stopped a run", {
		{ "id", "integer", "of the stop" },
		{ "text", "string", "as it was written" },
		{ "why", "string", "a sentence" },
		{ "cpu", "integer", "which CPU" },
		{ "address", "integer", "of memory what was accessed, otherwise that of the next instruction" },
		{ "access", "\"read\"|\"write\"|nil", "of memory" },
		{ "before", "integer", "the value before, of memory and fields" },
		{ "after", "integer", "the value now" },
	} },
	{ "EntryFailure", "a VM-entry check that failed", {
		{ "check", "string", "its name (vmscope list checks)" },
		{ "title", "string", "of the section in SDM Vol. 3C" },
		{ "field", "string", "the VMCS field" },
		{ "found", "integer", "its value; of an MSR-load area's entry, the value to load" },
		{ "wrong", "integer", "the bits of it that are wrong" },
		{ "bits", "string", "the same in words" },
		{ "expected", "string", "what the field must be" },
		{ "hint", "string", "what usually went wrong" },
		{ "consequence", "string", "the error or the exit it leads to when it is the first" },
		{ "cpu", "integer", "which CPU" },
		{ "cycle", "integer", "when" },
		{ "rip", "integer", "of the VMLAUNCH or VMRESUME" },
		{ "entry", "integer|nil", "number of the MSR-load area's entry, from 1" },
		{ "msr", "integer|nil", "its MSR" },
	} },
	{ "Walk", "a translation", {
		{ "page_size", "integer", "bytes of the page, when there is one" },
		{ "refs", "table[]", "each reference: level, index, table, address, entry" },
	} },
};

void api_meta(void)
{
	puts("---@meta\n-- The scenario language of vmscope, for editors. Made by `make meta` from ui/lua/api.def and the configuration\n"
	     "-- tables; do not edit.\n");
	for (size_t i = 0; i < ARRAY_LEN(options); i++) {
		printf("---%s\n---@class %s\n", options[i].sentence, options[i].name);
		for (size_t k = 0; k < ARRAY_LEN(options[i].field) && options[i].field[k].name; k++)
			printf("---@field %s %s %s\n", options[i].field[k].name,
			       options[i].field[k].type, options[i].field[k].doc);
		putchar('\n');
	}
	puts("---configuration of a machine\n---@class MachineOptions\n---@field console? boolean false: the guest's console is not echoed to stdout\n"
	     "---@field cost? table<string, integer> base costs by class: { syscall = 100 }");
	for (size_t i = 0; i < config_rows_n; i++) {
		const char *type = strcmp(config_rows[i].value, "true|false") == 0 ? "boolean" :
		                   "string|number";

		char who[80];

		printf("---@field %s? %s %s%s%s\n", config_rows[i].key,
		       strcmp(config_rows[i].key, "profile") == 0 ? "string|table" : type,
		       setup_users(config_rows[i].key, who, sizeof who), *config_rows[i].who ? ": " : "", config_rows[i].sentence);
	}
	for (size_t i = 0; i < profile_rows_n; i++) {
		const char *key = profile_rows[i].key;

		if (strncmp(key, "cost.", 5) != 0)
			printf(strchr(key, '.') ? "---@field [\"%s\"]? integer %s\n" :
			       "---@field %s? integer %s\n", key, profile_rows[i].sentence);
	}
	for (unsigned i = 0; i < VMM_COSTS; i++)
		printf("---@field [\"vmm.%s\"]? integer %s\n", vmm_cost_rows[i].name, vmm_cost_rows[i].sentence);
	for (int k = API_MACHINE; k < API_MODULES; k++) {
		printf("\n---@class %s\n", api_class[k]);
		if (k == API_CPU || k == API_VIEW)
			puts("---@field [string] integer|View fields and bits by name: vmscope list fields");
		if (k == API_STATS || k == API_LEDGER)
			printf("---@field [string] integer by name: vmscope list %s\n",
			       k == API_STATS ? "stats" : "ledger");
		for (size_t i = 0; i < api_rows_n; i++)
			if ((int)api_rows[i].module == k)
				printf("---@field %s %s %s\n", api_rows[i].name, api_rows[i].type,
				       api_rows[i].doc);
	}
	puts("\n---values of --set KEY=VALUE\n---@type table<string, any>\nset = {}");
	for (size_t i = 0; i < api_rows_n; i++)
		if (api_rows[i].module == API_GLOBAL)
			printf("\n---%s\n---@type %s\n%s = nil\n", api_rows[i].doc,
			       api_rows[i].type, api_rows[i].name);
}
