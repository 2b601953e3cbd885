/* json.h - writing JSON: commas, indentation and escapes are this file's business. */
#ifndef UI_EXPORT_JSON_H
#define UI_EXPORT_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct json { FILE *f; unsigned depth; bool first, compact; };

void json_init(struct json *j, FILE *f, bool compact);
/* Every value has a key inside an object, and NULL inside an array. */
void json_object(struct json *j, const char *key);
void json_array(struct json *j, const char *key);
void json_end_object(struct json *j);
void json_end_array(struct json *j);
void json_u64(struct json *j, const char *key, uint64_t v);
void json_i64(struct json *j, const char *key, int64_t v);
void json_real(struct json *j, const char *key, double v);
void json_number(struct json *j, const char *key, const char *digits);    /* as it stands */
void json_bool(struct json *j, const char *key, bool v);
void json_text(struct json *j, const char *key, const char *v);
void json_bytes(struct json *j, const char *key, const char *v, size_t n);     /* invalid UTF-8 becomes U+FFFD */
void json_null(struct json *j, const char *key);

#endif
