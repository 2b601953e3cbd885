/* wrap.c - sentences on lines that fit. */
#include "ui/export/wrap.h"

#include <stdarg.h>
#include <stdbool.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { NARROW = 20 };           /* a column of text is not made narrower than this */

void wrap(FILE *f, unsigned at, unsigned indent, unsigned width, const char *text)
{
	bool begin = true;      /* of a line: no blank before the word, no line break either */

	if (width && indent + NARROW > width)
		width = indent + NARROW;
	while (*text) {
		const unsigned blanks = (unsigned)strspn(text, " ");
		const unsigned word = (unsigned)strcspn(text + blanks, " \n");

		if (text[blanks] == '\n') {
			fprintf(f, "\n%*s", (int)indent, "");
			at = indent;
			begin = true;
			text += blanks + 1;
			text += strspn(text, " ");
			continue;
		}
		if (!begin && width && at + blanks + word > width) {
			fprintf(f, "\n%*s", (int)indent, "");
			at = indent;
		} else {
			fprintf(f, "%*s", (int)blanks, "");
			at += blanks;
		}
		fwrite(text + blanks, 1, word, f);
		at += word;
		begin = false;
		text += blanks + word;
	}
}

void wrap_line(FILE *f, unsigned indent, const char *fmt, ...)
{
	char text[2048];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	wrap(f, 0, indent, WRAP_PAGE, text);
	fputc('\n', f);
}

unsigned wrap_terminal(void)
{
	struct winsize w;

	return isatty(STDOUT_FILENO) && ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col >= 40 ? w.ws_col : 0;
}
