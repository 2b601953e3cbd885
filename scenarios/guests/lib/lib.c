/* lib.c - memory, text, formatting. */
#include "lib.h"

/* Whole words first, then the bytes that are left. */
void *memcpy(void *to, const void *from, size_t n)
{
	void *start = to;
	size_t words = n / sizeof(uintptr_t), bytes = n % sizeof(uintptr_t);

#ifdef __x86_64__
	__asm__ volatile("rep movsq" : "+D"(to), "+S"(from), "+c"(words) : : "memory");
#else
	__asm__ volatile("rep movsl" : "+D"(to), "+S"(from), "+c"(words) : : "memory");
#endif
	__asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(bytes) : : "memory");
	return start;
}

void *memset(void *to, int byte, size_t n)
{
	void *start = to;
	uintptr_t pattern = (uintptr_t)-1 / 255 * (unsigned char)byte;
	size_t words = n / sizeof(uintptr_t), bytes = n % sizeof(uintptr_t);

#ifdef __x86_64__
	__asm__ volatile("rep stosq" : "+D"(to), "+c"(words) : "a"(pattern) : "memory");
#else
	__asm__ volatile("rep stosl" : "+D"(to), "+c"(words) : "a"(pattern) : "memory");
#endif
	__asm__ volatile("rep stosb" : "+D"(to), "+c"(bytes) : "a"(pattern) : "memory");
	return start;
}

bool same_text(const char *a, const char *b)
{
	while (*a && *a == *b)
		a++, b++;
	return *a == *b;
}

static void put_number(void (*put)(void *, char), void *to, uintptr_t n, unsigned base,
		       unsigned width, char fill)
{
	char digits[24];
	unsigned count = 0;

	do
		digits[count++] = "0123456789abcdef"[n % base];
	while (n /= base);
	for (; width > count; width--)
		put(to, fill);
	while (count)
		put(to, digits[--count]);
}

void format(void (*put)(void *, char), void *to, const char *text, va_list values)
{
	for (; *text; text++) {
		unsigned width = 0;
		char fill = ' ';
		const char *s;
		int d;

		if (*text != '%') {
			put(to, *text);
			continue;
		}
		if (*++text == '0')
			fill = '0';
		for (; *text >= '0' && *text <= '9'; text++)
			width = width * 10 + (unsigned)(*text - '0');
		switch (*text) {
		case 's':
			for (s = va_arg(values, const char *); *s; s++, width -= width > 0)
				put(to, *s);
			for (; width; width--)
				put(to, ' ');
			break;
		case 'c':
			put(to, (char)va_arg(values, int));
			break;
		case 'd':
			d = va_arg(values, int);
			if (d < 0)
				put(to, '-');
			put_number(put, to, d < 0 ? 0u - (unsigned)d : (unsigned)d, 10, width,
				   fill);
			break;
		case 'u':
			put_number(put, to, va_arg(values, unsigned), 10, width, fill);
			break;
		case 'x':
			put_number(put, to, va_arg(values, unsigned), 16, width, fill);
			break;
		case 'l':	/* %lx */
			text++;
			put_number(put, to, va_arg(values, unsigned long), 16, width, fill);
			break;
		default:
			put(to, *text);
		}
	}
}
