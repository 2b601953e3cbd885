/* kvm_hello.c - the smallest user of /dev/kvm: a virtual machine with one page of real-mode code that adds, writes what
 * it got to a port, asks CPUID, touches memory that is not there, and halts.
 *
 * Run inside Linux, on a processor whose virtualization extensions work; real.sh puts it into an initramfs.
 * Prints one line for each way the guest came back and "kvm: PASS" when all were as they must be.
 * Source: Linux, Documentation/virt/kvm/api.rst. */
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define CODE 0x1000             /* guest-physical address of the code */
#define HOLE 0xD000             /* nothing is there: MMIO */
#define PORT 0x3f8

/* AX = 7 + BX; prints it in decimal digit form; CPUID 0; store to the hole; load from it; HLT. */
static const uint8_t code[] = {
	0xba, PORT & 0xff, PORT >> 8,           /* mov dx, PORT */
	0xb8, 0x07, 0x00,                       /* mov ax, 7 */
	0x01, 0xd8,                             /* add ax, bx */
	0x04, '0',                              /* add al, '0' */
	0xee,                                   /* out dx, al */
	0x66, 0x31, 0xc0, 0x0f, 0xa2,           /* xor eax, eax; cpuid */
	0xc6, 0x06, HOLE & 0xff, HOLE >> 8, 0x5a,       /* mov byte [HOLE], 5ah */
	0xa0, HOLE & 0xff, HOLE >> 8,           /* mov al, [HOLE] */
	0xba, PORT & 0xff, PORT >> 8,           /* mov dx, PORT: CPUID changed it */
	0xee,                                   /* out dx, al */
	0xf4,                                   /* hlt */
};

static int must(int value, const char *what)
{
	if (value < 0) {
		perror(what);
		exit(1);
	}
	return value;
}

int main(void)
{
	int kvm = must(open("/dev/kvm", O_RDWR | O_CLOEXEC), "/dev/kvm");
	int vm = must(ioctl(kvm, KVM_CREATE_VM, 0), "KVM_CREATE_VM");
	uint8_t *ram = mmap(NULL, 0x4000, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	memcpy(ram + CODE, code, sizeof code);
	struct kvm_userspace_memory_region region = { .memory_size = 0x4000, .userspace_addr = (uintptr_t)ram };
	must(ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region), "KVM_SET_USER_MEMORY_REGION");
	int cpu = must(ioctl(vm, KVM_CREATE_VCPU, 0), "KVM_CREATE_VCPU");
	int size = must(ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0), "KVM_GET_VCPU_MMAP_SIZE");
	struct kvm_run *run = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, cpu, 0);
	struct kvm_sregs s;
	must(ioctl(cpu, KVM_GET_SREGS, &s), "KVM_GET_SREGS");
	s.cs.base = s.cs.selector = s.ds.base = s.ds.selector = 0;
	must(ioctl(cpu, KVM_SET_SREGS, &s), "KVM_SET_SREGS");
	struct kvm_regs r = { .rip = CODE, .rbx = 2, .rflags = 2 };
	must(ioctl(cpu, KVM_SET_REGS, &r), "KVM_SET_REGS");

	char said[8] = "";
	size_t n = 0;
	int stored = 0, loaded = 0;
	for (;;) {
		must(ioctl(cpu, KVM_RUN, 0), "KVM_RUN");
		if (run->exit_reason == KVM_EXIT_IO && run->io.direction == KVM_EXIT_IO_OUT && run->io.port == PORT) {
			char c = *((char *)run + run->io.data_offset);
			printf("kvm: the guest wrote '%c' to port %#x\n", c, run->io.port);
			if (n + 1 < sizeof said)
				said[n++] = c;
		} else if (run->exit_reason == KVM_EXIT_MMIO && run->mmio.phys_addr == HOLE) {
			printf("kvm: the guest %s %#llx\n", run->mmio.is_write ? "stored at" : "loaded from",
			       (unsigned long long)run->mmio.phys_addr);
			if (run->mmio.is_write)
				stored = run->mmio.data[0] == 0x5a && run->mmio.len == 1;
			else
				loaded = 1;
			run->mmio.data[0] = '!';
		} else {
			break;
		}
	}
	printf("kvm: exit reason %u\n", run->exit_reason);
	int ok = run->exit_reason == KVM_EXIT_HLT && strcmp(said, "9!") == 0 && stored && loaded;
	puts(ok ? "kvm: PASS" : "kvm: FAIL");
	return !ok;
}
