/* libFuzzer's door to the target named at compile time: -DTARGET=fuzz_loader */
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	return TARGET(data, n);
}
