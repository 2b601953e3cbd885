/* sensitivity.c - see sensitivity.h. */
#include "models/cpu/sensitivity.h"

#include "models/cpu/sys.h"

enum insn_form uop_form(const struct uop *u)
{
	for (unsigned i = 0; i < 2; i++) {
		/* reading another selector than CS and SS tells a program what it knows */
		if (u->kind[i] == OPK_SEG && (u->row == INSN_PUSH || i == 1) && u->reg[i] != SEG_CS && u->reg[i] != SEG_SS)
			return FORM_PLAIN;
		if (u->kind[i] == OPK_SEG)
			return FORM_SEG;
		if (u->kind[i] == OPK_CR)
			return FORM_CR;
		if (u->kind[i] == OPK_DR)
			return FORM_DR;
	}
	return u->body == insn_jmp_far || u->body == insn_call_far || u->body == insn_ret_far ? FORM_FAR : FORM_PLAIN;
}

enum sensitivity insn_sensitivity(enum insn i, enum insn_form form)
{
	static const enum sensitivity forms[] = {
		[FORM_SEG] = INSN_SENSITIVE,    /* selectors show the ring, and loading one looks at it */
		[FORM_CR] = INSN_PRIVILEGED, [FORM_DR] = INSN_PRIVILEGED,
		[FORM_FAR] = INSN_SENSITIVE,
	};
	return form == FORM_PLAIN ? (enum sensitivity)insn_rows[i].sensitivity : forms[form];
}

bool insn_trapped(const struct uop *u, enum cpu_mode mode)
{
	enum insn i = (enum insn)u->row;
	enum insn_form form = uop_form(u);
	if (insn_sensitivity(i, form) != INSN_SENSITIVE)
		return false;
	if (i == INSN_INT || i == INSN_INT3 || i == INSN_INT1)
		return false;
	return mode != MODE_V86 || (form == FORM_PLAIN && insn_rows[i].cost != COST_SEGLOAD);
}
