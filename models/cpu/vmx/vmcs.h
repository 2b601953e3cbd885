/* vmcs.h - virtual-machine control structures: the table of fields, and the VMCSs a CPU keeps on chip.
 *
 * VMPTRLD makes a VMCS active: its fields come on chip (struct vmcs) and are read and written there. Memory sees them
 * again when VMCLEAR, VMXOFF's aftermath or the need for room writes them back, so software that reads the region of an
 * active VMCS finds stale data, as on hardware. The format in memory is this file's own (vmcs.c).
 * Source: SDM Vol. 3C, "Virtual-Machine Control Structures"; Vol. 3D, "Field Encoding in VMCS". */
#ifndef CPU_VMX_VMCS_H
#define CPU_VMX_VMCS_H

#include "sim/base.h"

struct cpu;

enum vmcs_field {
#define FIELD(NAME, encoding, name, needs, sentence) VMCS_##NAME,
#include "models/cpu/vmx/vmcs.def"
	VMCS_N
};
enum vmcs_width { VMCS_16, VMCS_64, VMCS_32, VMCS_NATURAL };            /* encoding bits 14:13 */
enum vmcs_type { VMCS_CONTROL, VMCS_READ_ONLY, VMCS_GUEST, VMCS_HOST }; /* encoding bits 11:10 */
struct vmcs_row { const char *name, *sentence; uint16_t encoding; uint8_t needs; };     /* needs: enum vmx_control, VMX_ALWAYS */
extern const struct vmcs_row vmcs_rows[VMCS_N];
static inline enum vmcs_width vmcs_width(enum vmcs_field f) { return (enum vmcs_width)(vmcs_rows[f].encoding >> 13 & 3); }
static inline enum vmcs_type vmcs_type(enum vmcs_field f) { return (enum vmcs_type)(vmcs_rows[f].encoding >> 10 & 3); }
uint64_t vmcs_mask(enum vmcs_field f);                          /* the bits a field of its width has */
const char *vmcs_section(enum vmcs_field f);                    /* title of the SDM's section on it */
struct field_bits;
const struct field_bits *vmcs_bits(enum vmcs_field f);            /* its named bits (sim/field.h), or NULL */

/* The controls, one enumerator each, in the order of control.def. */
enum vmx_control {
#define CONTROL(WORD, NAME, bit, since, name, sentence) VMX_##NAME,
#include "models/cpu/vmx/control.def"
	VMX_CONTROLS,
	VMX_ALWAYS = VMX_CONTROLS
};
enum vmx_word { VMX_WORD_PIN, VMX_WORD_PROC, VMX_WORD_PROC2, VMX_WORD_EXIT, VMX_WORD_ENTRY, VMX_WORDS };
struct vmx_control_row { const char *name, *sentence; uint8_t word, bit, since; };
extern const struct vmx_control_row vmx_control_rows[VMX_CONTROLS];
/* For constant expressions: which word, which bit. */
enum {
#define CONTROL(WORD, NAME, bit, since, name, sentence) VMX_WORD_OF_##NAME = VMX_WORD_##WORD, VMX_BIT_OF_##NAME = bit,
#include "models/cpu/vmx/control.def"
};
#define VMX_CTL(NAME) BIT(VMX_BIT_OF_##NAME)    /* the control as a bit of its word */

#define VMCS_REVISION 0x76730001u       /* IA32_VMX_BASIC 30:0 */
#define VMCS_NONE     (~0ull)           /* no VMCS pointer */

struct vmcs {                   /* plain; one on-chip VMCS */
	uint64_t pa;                    /* of its region, or VMCS_NONE: a free slot */
	uint64_t used;                  /* age: the least recently used one makes room */
	uint8_t launched;               /* launch state */
	uint8_t shadow;                 /* the shadow-VMCS indicator */
	uint8_t pad[6];
	uint64_t f[VMCS_N];             /* zero-extended */
};
#define VMCS_SLOTS 8

int vmcs_find(uint32_t encoding);               /* enum vmcs_field, or -1; bit 0 (the high half) is ignored */
bool vmcs_exists(const struct cpu *c, enum vmcs_field f);       /* on this CPU */

/* The slot of an active VMCS, brought on chip when it is not there (timed). Never NULL for an address in RAM. */
struct vmcs *vmcs_activate(struct cpu *c, uint64_t pa);
struct vmcs *vmcs_active(struct cpu *c, uint64_t pa);           /* NULL when not on chip */
/* Looking: the fields wherever they are now, on chip or in the region; false: not in RAM. */
bool vmcs_peek(const struct cpu *c, uint64_t pa, struct vmcs *out);
void vmcs_clear(struct cpu *c, uint64_t pa);                    /* VMCLEAR: write back, launch state clear, off chip */
/* The VMX instructions' view by encoding, full or high half, for software in root operation and shadow VMCSs. */
uint64_t vmcs_get(const struct vmcs *v, uint32_t encoding);     /* of a field that exists */
void vmcs_set(struct vmcs *v, uint32_t encoding, uint64_t value);

#endif
