/* shared.h - the page that translated code and the VMM share. See shared.c. */
#ifndef VMM_BT_SHARED_H
#define VMM_BT_SHARED_H

#include "models/vmm/bt/cache.h"

uint64_t bt_shared_get(void *vcpu, size_t member, unsigned size);
void bt_share(struct vcpu *v);                          /* the way in: all of it as the guest's state has it */
void bt_take_cr8(struct vcpu *v);                       /* the way back: the guest's CR8 is its local APIC's again */
unsigned bt_peek_cr8(const struct vcpu *v);             /* for people: the guest's CR8; */
bool bt_vif(const struct vcpu *v, bool *on);            /* its IF, where that is in the page now */

#endif
