/* snap.c - snapshots in memory: sections by shared chunks, RAM by copy-on-write pages.
 *
 * The snapshots form one list, oldest first, and the present comes after the newest. Each keeps the
 * old contents of the pages written between it and its successor. So page p at snapshot i is the
 * first copy found in i, i+1, ..., newest; without one, the page has not changed since and the
 * present has it.
 *
 * Restoring is writing: the pages that change are first kept in the newest snapshot like any
 * written page. Hence every snapshot, older or newer than the one restored, stays valid.
 *
 * Sections are cut into chunks; a chunk equal to the previous snapshot's is shared with it
 * (counted). */
#include "sim/snap_impl.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- chunks: counted bytes ---- */

static struct chunk *chunk_new(const void *bytes, size_t n)
{
	struct chunk *c = xcalloc(1, sizeof *c + n);

	c->refs = 1;
	memcpy(c->bytes, bytes, n);
	return c;
}

static void chunk_drop(struct chunk *c)
{
	if (c && --c->refs == 0)
		free(c);
}

size_t section_chunks(const struct section *s)
{
	return (s->size + PAGE_SIZE - 1) / PAGE_SIZE;
}

static size_t chunk_len(const struct section *s, size_t i)
{
	return s->size - i * PAGE_SIZE < PAGE_SIZE ? s->size - i * PAGE_SIZE : PAGE_SIZE;
}

/* ---- pages: an open-addressing map from page number to its kept contents ---- */

static size_t page_slot(const struct page_map *m, uint64_t page)
{
	size_t i = (page * 0x9e3779b97f4a7c15 >> 20) & (m->room - 1);

	while (m->slot[i] && m->kept[m->slot[i] - 1].page != page)
		i = (i + 1) & (m->room - 1);
	return i;
}

static struct kept_page *page_find(const struct page_map *m, uint64_t page)
{
	size_t i;

	if (!m->room)
		return NULL;
	i = page_slot(m, page);
	return m->slot[i] ? &m->kept[m->slot[i] - 1] : NULL;
}

static void page_add(struct page_map *m, uint64_t page, struct chunk *bytes)
{
	if (2 * (m->n + 1) > m->room) {
		m->room = m->room ? 2 * m->room : 64;
		free(m->slot);
		m->slot = xcalloc(m->room, sizeof *m->slot);
		m->kept = xrealloc(m->kept, m->room / 2 * sizeof *m->kept);
		for (size_t i = 0; i < m->n; i++)
			m->slot[page_slot(m, m->kept[i].page)] = (uint32_t)i + 1;
	}
	m->kept[m->n] = (struct kept_page){ .page = page, .bytes = bytes };
	m->slot[page_slot(m, page)] = (uint32_t)++m->n;
}

static void pages_fini(struct page_map *m)
{
	for (size_t i = 0; i < m->n; i++)
		chunk_drop(m->kept[i].bytes);
	free(m->kept);
	free(m->slot);
	memset(m, 0, sizeof *m);
}

bool page_is_zero(const uint8_t *p)
{
	uint64_t w[8];

	for (size_t i = 0; i < PAGE_SIZE; i += sizeof w) {
		memcpy(w, p + i, sizeof w);
		if (w[0] | w[1] | w[2] | w[3] | w[4] | w[5] | w[6] | w[7])
			return false;
	}
	return true;
}

static bool page_equals(const uint8_t *ram, const struct chunk *kept)
{
	return kept ? memcmp(ram, kept->bytes, PAGE_SIZE) == 0 : page_is_zero(ram);
}

static void page_put(uint8_t *ram, const struct chunk *kept)
{
	if (kept)
		memcpy(ram, kept->bytes, PAGE_SIZE);
	else
		memset(ram, 0, PAGE_SIZE);
}

/* ---- life ---- */

struct snaps *snaps_new(void)
{
	return xcalloc(1, sizeof(struct snaps));
}

static void snap_release(struct snaps *s, struct snap *sn)
{
	for (size_t i = 0; i < s->sections; i++) {
		for (size_t k = 0; k < section_chunks(&s->section[i]); k++)
			chunk_drop(sn->section[i][k]);
		free(sn->section[i]);
	}
	free(sn->section);
	pages_fini(&sn->pages);
	free(sn);
}

void snaps_free(struct snaps *s)
{
	struct snap *next;

	if (!s)
		return;
	for (struct snap *sn = s->oldest; sn; sn = next) {
		next = sn->newer;
		snap_release(s, sn);
	}
	free(s->section);
	free(s->hook);
	free(s);
}

void snaps_section(struct snaps *s, const char *name, uint32_t version, void *state, size_t size)
{
	struct section *sec;

	if (s->oldest)
		BUG("section '%s' added after the first snapshot", name);
	s->section = xrealloc(s->section, (s->sections + 1) * sizeof *s->section);
	sec = &s->section[s->sections++];
	memset(sec, 0, sizeof *sec);
	if ((size_t)snprintf(sec->name, sizeof sec->name, "%s", name) >= sizeof sec->name)
		BUG("section name '%s' is too long", name);
	sec->version = version;
	sec->state = state;
	sec->size = size;
}

void snaps_valid(struct snaps *s, const char *name, bool (*valid)(void *who, const void *state),
                 void *who)
{
	for (size_t i = 0; i < s->sections; i++)
		if (strcmp(s->section[i].name, name) == 0) {
			s->section[i].valid = valid;
			s->section[i].who = who;
			return;
		}
	BUG("no section '%s'", name);
}

void snaps_ram(struct snaps *s, const struct snap_ram *ram)
{
	s->pages += ram->size / PAGE_SIZE - s->memory[0].size / PAGE_SIZE;
	s->memory[0] = *ram;
	if (!s->memories)
		s->memories = 1;
}

uint64_t snaps_memory(struct snaps *s, const struct snap_ram *memory)
{
	uint64_t first = s->pages;

	if (!s->memories || s->memories == SNAP_MEMORIES || s->newest)
		BUG("a memory of %" PRIu64 " bytes comes before RAM, after %d others or after a snapshot", memory->size, SNAP_MEMORIES);
	s->memory[s->memories++] = *memory;
	s->pages += memory->size / PAGE_SIZE;
	return first;
}

void snaps_hook(struct snaps *s, void (*taken)(void *who), void (*restored)(void *who), void *who)
{
	s->hook = xrealloc(s->hook, (s->hooks + 1) * sizeof *s->hook);
	s->hook[s->hooks++] = (struct snap_hook){ taken, restored, who };
}

void snaps_tell_restored(struct snaps *s)
{
	for (size_t i = 0; i < s->hooks; i++)
		if (s->hook[i].restored)
			s->hook[i].restored(s->hook[i].who);
}

/* ---- taking ---- */

void snap_before_write(struct snaps *s, uint64_t page)
{
	uint8_t *flags = page_flags(s, page);

	if (!(*flags & RAM_CLEAN))
		return;
	*flags &= (uint8_t)~RAM_CLEAN;
	if (s->newest && !page_find(&s->newest->pages, page)) {
		const uint8_t *ram = page_bytes(s, page);

		page_add(&s->newest->pages, page,
		         page_is_zero(ram) ? NULL : chunk_new(ram, PAGE_SIZE));
	}
}

struct snap *snap_take(struct snaps *s, const char *label)
{
	struct snap *sn = xcalloc(1, sizeof *sn), *last = s->newest;

	snprintf(sn->label, sizeof sn->label, "%s", label ? label : "");
	sn->section = xcalloc(s->sections, sizeof *sn->section);
	for (size_t i = 0; i < s->sections; i++) {
		const struct section *sec = &s->section[i];
		size_t n = section_chunks(sec);

		sn->section[i] = xcalloc(n, sizeof **sn->section);
		for (size_t k = 0; k < n; k++) {
			const uint8_t *now = (const uint8_t *)sec->state + k * PAGE_SIZE;
			struct chunk *same = last ? last->section[i][k] : NULL;

			if (same && memcmp(same->bytes, now, chunk_len(sec, k)) == 0) {
				same->refs++;
			} else {
				same = chunk_new(now, chunk_len(sec, k));
				sn->own += chunk_len(sec, k);
			}
			sn->section[i][k] = same;
		}
	}
	/* Exactly the pages the last snapshot kept are not clean now. */
	if (last)
		for (size_t i = 0; i < last->pages.n; i++)
			*page_flags(s, last->pages.kept[i].page) |= RAM_CLEAN;
	else
		for (uint64_t p = 0; p < s->pages; p++)
			*page_flags(s, p) |= RAM_CLEAN;
	sn->older = last;
	if (last)
		last->newer = sn;
	else
		s->oldest = sn;
	s->newest = sn;
	for (size_t i = 0; i < s->hooks; i++)
		if (s->hook[i].taken)
			s->hook[i].taken(s->hook[i].who);
	return sn;
}

/* ---- going back ---- */

/* A set of page numbers: who was seen first. */
static bool seen(uint64_t *bits, uint64_t page)
{
	bool was = bits[page / 64] >> (page % 64) & 1;

	bits[page / 64] |= BIT(page % 64);
	return was;
}

void snap_restore(struct snaps *s, const struct snap *sn)
{
	uint64_t *done = xcalloc(s->pages / 64 + 1, sizeof *done);

	for (size_t i = 0; i < s->sections; i++)
		for (size_t k = 0; k < section_chunks(&s->section[i]); k++)
			memcpy((uint8_t *)s->section[i].state + k * PAGE_SIZE,
			       sn->section[i][k]->bytes,
			       chunk_len(&s->section[i], k));
	for (const struct snap *from = sn; from; from = from->newer) {
		/* The newest grows while its own pages are put back: those appended are
		 * done already. */
		size_t n = from->pages.n;

		for (size_t i = 0; i < n; i++) {
			struct kept_page k = from->pages.kept[i];
			uint8_t *ram = page_bytes(s, k.page);

			if (seen(done, k.page) || page_equals(ram, k.bytes))
				continue;
			snap_before_write(s, k.page);
			page_put(ram, k.bytes);
		}
	}
	free(done);
	snaps_tell_restored(s);
}

void snap_drop(struct snaps *s, struct snap *sn)
{
	struct snap *older = sn->older;

	/* An older snapshot looks for its pages here: hand over those it does not have itself. */
	if (older) {
		for (size_t i = 0; i < sn->pages.n; i++) {
			struct kept_page *k = &sn->pages.kept[i];

			if (!page_find(&older->pages, k->page)) {
				page_add(&older->pages, k->page, k->bytes);
				k->bytes = NULL;
			}
		}
		older->newer = sn->newer;
	} else {
		s->oldest = sn->newer;
	}
	if (sn->newer) {
		sn->newer->older = older;
	} else {
		s->newest = older;
		/* The pages its predecessor kept are the written ones now. */
		if (older)
			for (size_t i = 0; i < older->pages.n; i++)
				*page_flags(s, older->pages.kept[i].page) &= (uint8_t)~RAM_CLEAN;
	}
	snap_release(s, sn);
}

/* ---- looking ---- */

uint64_t snap_mix(uint64_t h, const void *bytes, size_t n)
{
	const uint8_t *p = bytes;

	for (; n >= 8; p += 8, n -= 8) {
		uint64_t w;

		memcpy(&w, p, 8);
		h = (h ^ w) * 0x9fb21c651e98df25;
		h ^= h >> 29;
	}
	if (n) {
		uint64_t w = (uint64_t)n << 56;

		memcpy(&w, p, n);       /* at most 7 bytes: the length stays in the top one */
		h = (h ^ w) * 0x9fb21c651e98df25;
		h ^= h >> 29;
	}
	return h;
}

uint64_t snaps_hash(const struct snaps *s)
{
	struct page_scan *scan = page_scan_new(s);
	uint64_t h = 0x766d73636f7065;

	for (size_t i = 0; i < s->sections; i++) {
		h = snap_mix(h, s->section[i].name, strlen(s->section[i].name));
		h = snap_mix(h, s->section[i].state, s->section[i].size);
	}
	for (uint64_t p = page_scan_next(scan, 0); p < s->pages; p = page_scan_next(scan, p + 1)) {
		h = snap_mix(h, &p, sizeof p);
		h = snap_mix(h, page_bytes(s, p), PAGE_SIZE);
	}
	page_scan_free(scan);
	return h;
}

static size_t first_difference(const uint8_t *a, const uint8_t *b, size_t n)
{
	size_t i = 0;

	while (i < n && a[i] == (b ? b[i] : 0))
		i++;
	return i;
}

bool snap_differs(const struct snaps *s, const struct snap *sn, char *where, size_t n)
{
	uint64_t *done, lowest = NEVER;
	size_t at = 0;

	for (size_t i = 0; i < s->sections; i++) {
		const struct section *sec = &s->section[i];

		for (size_t k = 0; k < section_chunks(sec); k++) {
			size_t len = chunk_len(sec, k);
			size_t d = first_difference((const uint8_t *)sec->state + k * PAGE_SIZE,
			                            sn->section[i][k]->bytes, len);

			if (d < len) {
				snprintf(where, n, "section %s, byte %#zx", sec->name,
				         k * PAGE_SIZE + d);
				return true;
			}
		}
	}
	done = xcalloc(s->pages / 64 + 1, sizeof *done);
	for (const struct snap *from = sn; from; from = from->newer)
		for (size_t i = 0; i < from->pages.n; i++) {
			const struct kept_page *k = &from->pages.kept[i];
			const uint8_t *ram = page_bytes(s, k->page);

			if (seen(done, k->page) || page_equals(ram, k->bytes) || k->page >= lowest)
				continue;
			lowest = k->page;
			at = first_difference(ram, k->bytes ? k->bytes->bytes : NULL, PAGE_SIZE);
		}
	free(done);
	if (lowest == NEVER)
		return false;
	snprintf(where, n, "RAM page %#" PRIx64 ", byte %#zx", lowest, at);
	return true;
}

uint64_t snap_bytes(const struct snap *sn)
{
	uint64_t sum = sizeof *sn + sn->own + sn->pages.room * sizeof(uint32_t) +
	               sn->pages.room / 2 * sizeof(struct kept_page);

	for (size_t i = 0; i < sn->pages.n; i++)
		if (sn->pages.kept[i].bytes)
			sum += PAGE_SIZE;
	return sum;
}
