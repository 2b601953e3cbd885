/* frame.c - physical memory in frames of 4 KiB, with a count of users for each.
 *
 * Free frames form a doubly linked list through the table below, so that a run of 512 of them can
 * be taken out of its middle for a large page.  Frame 0 heads the list: it is never free itself.
 * The kernel image and all below it belong to the kernel for good (users = 1 from the start); the
 * pages of user programs in it are shared with processes like any other frame.
 * Contents of free frames: whatever was there.  frame_quiesce() zeroes them at the end. */
#include "kernel.h"

struct frame {
	uint32_t next, previous;
	uint16_t users;
	uint16_t touched;		/* has been handed out at least once */
};

enum { LARGE_FRAMES = LARGE_PAGE_BYTES / PAGE_BYTES };

static struct frame *frames;		/* right behind the kernel image */
static uint32_t frame_count, first_frame;

static void list_append(uint32_t f)
{
	frames[f].previous = frames[0].previous;
	frames[f].next = 0;
	frames[frames[0].previous].next = f;
	frames[0].previous = f;
}

static void list_push(uint32_t f)
{
	frames[f].next = frames[0].next;
	frames[f].previous = 0;
	frames[frames[0].next].previous = f;
	frames[0].next = f;
}

static void list_remove(uint32_t f)
{
	frames[frames[f].previous].next = frames[f].next;
	frames[frames[f].next].previous = frames[f].previous;
}

void frame_init(void)
{
	uintptr_t table_end;

	frame_count = (uint32_t)(boot_info.ram_bytes >> PAGE_SHIFT);
	frames = (struct frame *)image_end();
	table_end = physical_of(frames + frame_count);
	if (table_end + 64 * PAGE_BYTES > boot_info.ram_bytes)
		panic("%u KiB of RAM are too little", (unsigned)(boot_info.ram_bytes / 1024));
	memset(frames, 0, frame_count * sizeof(*frames));
	first_frame = (uint32_t)((table_end + PAGE_BYTES - 1) >> PAGE_SHIFT);
	for (uint32_t f = 0; f < first_frame; f++)
		frames[f].users = 1;
	for (uint32_t f = first_frame; f < frame_count; f++)
		list_append(f);
}

static void frame_take(uint32_t f)
{
	list_remove(f);
	frames[f].users = 1;
	frames[f].touched = 1;
}

/* 512 free frames in a row, aligned: the highest such run. */
static uint32_t large_run(void)
{
	for (uint32_t f = frame_count & -(uint32_t)LARGE_FRAMES; f >= LARGE_FRAMES + first_frame;) {
		uint32_t i = 0;

		f -= LARGE_FRAMES;
		while (i < LARGE_FRAMES && !frames[f + i].users)
			i++;
		if (i == LARGE_FRAMES)
			return f;
	}
	return 0;
}

uintptr_t frame_alloc(uintptr_t bytes)
{
	uint32_t f = bytes == PAGE_BYTES ? frames[0].next : large_run();

	if (!f)
		panic("out of memory");
	for (uint32_t i = 0; i < bytes / PAGE_BYTES; i++)
		frame_take(f + i);
	return (uintptr_t)f << PAGE_SHIFT;
}

uintptr_t frame_alloc_zeroed(uintptr_t bytes)
{
	uintptr_t frame = frame_alloc(bytes);

	memset(direct(frame), 0, bytes);
	return frame;
}

/* A large page counts its users in its first frame. */
void frame_share(uintptr_t frame)
{
	frames[frame >> PAGE_SHIFT].users++;
}

bool frame_is_shared(uintptr_t frame)
{
	return frames[frame >> PAGE_SHIFT].users > 1;
}

void frame_free(uintptr_t frame, uintptr_t bytes)
{
	uint32_t f = (uint32_t)(frame >> PAGE_SHIFT);

	if (--frames[f].users)
		return;
	for (uint32_t i = 0; i < bytes / PAGE_BYTES; i++) {
		frames[f + i].users = 0;
		list_push(f + i);
	}
}

void frame_quiesce(void)
{
	frames[0].next = frames[0].previous = 0;
	for (uint32_t f = 0; f < frame_count; f++) {
		if (frames[f].users != (f < first_frame))
			panic("frame %u has %u users at the end", f, frames[f].users);
		if (f < first_frame)
			continue;
		if (frames[f].touched)
			memset(direct((uintptr_t)f << PAGE_SHIFT), 0, PAGE_BYTES);
		frames[f].touched = 0;
		list_append(f);
	}
}
