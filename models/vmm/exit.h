/* exit.h - the service routines, one per exit reason: see exit_service.def. */
#ifndef VMM_EXIT_H
#define VMM_EXIT_H

#include "models/vmm/vmm.h"

/* The virtual CPU is in a state to go on in, or its VM is refused. */
typedef void exit_service(struct vcpu *v);
#define SERVICE(REASON, function, sentence) exit_service serve_##function;
#include "models/vmm/exit_service.def"

struct exit_service_row { exit_service *serve; const char *sentence; };
extern const struct exit_service_row exit_services[EXIT_REASONS];       /* serve NULL: refused by name */

bool vcpu_long64(struct vcpu *v);               /* it executes 64-bit code */
void vcpu_gp0(struct vcpu *v);                  /* #GP(0), the instruction not done */

#endif
