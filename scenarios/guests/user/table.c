/* table.c - the first thing in the user image: where programs start, and the main function of each
 * workload in the order of lib/workload.def, 0 for those that the kernel runs itself.            */
#include "user.h"

void user_start(void);

#define KERNEL_PROTOTYPE(name)
#define USER_PROTOTYPE(name) int user_##name(const struct params *p);
#define WORKLOAD(name, where, ...) where##_PROTOTYPE(name)
#include "../lib/workload.def"

#define KERNEL_MAIN(name) 0,
#define USER_MAIN(name) (uintptr_t)user_##name,

extern const uintptr_t user_table[];
__attribute__((section(".user_table"), used)) const uintptr_t user_table[] = {
	(uintptr_t)user_start,
#define WORKLOAD(name, where, ...) where##_MAIN(name)
#include "../lib/workload.def"
};
